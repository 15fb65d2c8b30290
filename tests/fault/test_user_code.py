"""User code that does to its process what no user code should: it changes nothing for the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import processes_of

HEAD = "import builtins, gc, json, os, signal, subprocess, sys, threading, time\nimport pymr\n"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A folder with an input of five lines."""
    command_line = CommandLine(tmp_path)
    command_line.write("in.txt", "1\n2\n3\n4\n5\n")
    return command_line


def worker(mapper: str, *, head: str = "", job: str = "reducer=pymr.SUM") -> str:
    """Return a worker file with a LINES mapper of the given body, which emits its line."""
    body = "".join(f"    {line}\n" for line in mapper.splitlines())
    return (
        f"{HEAD}{head}\ndef mapper(ctx, line):\n{body}    ctx.emit(line, 1)\n\n"
        f"job = pymr.Job(mapper=mapper, input=pymr.LINES, {job})\n"
    )


ROWS = [f"{number}\t1" for number in range(1, 6)]


# -- how a process ends ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("sys.exit(0)", "mapper raised SystemExit in map-0000"),
        ("sys.exit('so long')", "mapper raised SystemExit in map-0000"),
        ("raise KeyboardInterrupt", "mapper raised KeyboardInterrupt in map-0000"),
        ("raise GeneratorExit", "mapper raised GeneratorExit in map-0000"),
        ("raise type('Own', (BaseException,), {})", "mapper raised Own in map-0000"),
        ("import _thread; _thread.interrupt_main()", "KeyboardInterrupt"),
    ],
)
def test_f74_f75_what_would_end_the_process_is_an_exception(
    cli: CommandLine, call: str, said: str
) -> None:
    """With its record, and the second time that is all."""
    outcome = cli.start("--input=in.txt", worker=worker(f"if line == '2':\n    {call}\n    pass"))

    outcome.refused(1, said, 'record  in.txt  line 2 (byte 2):  "2"')


@pytest.mark.parametrize("call", ["sys.exit(7)", "raise ValueError(7)"])
def test_f75_the_end_of_a_thread_is_its_own(cli: CommandLine, call: str) -> None:
    """Python ends the thread; what it says is printed."""
    mapper = f"def run():\n    {call}\nthread = threading.Thread(target=run)\nthread.start()\nthread.join()"

    assert cli.start("--input=in.txt", worker=worker(mapper)).succeeded() == ROWS


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("os._exit(0)", "ended by itself with exit code 0"),
        ("os._exit(3)", "ended by itself with exit code 3"),
        ("threading.Thread(target=os._exit, args=[4]).start(); signal.pause()", "exit code 4"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV, a crash in compiled code"),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL, a crash in compiled code"),
        ("os.abort()", "SIGABRT, by which compiled code gives up"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, from outside, or as memory ran out"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV, a crash in compiled code"),
    ],
    ids=["exit-0", "exit-3", "thread", "segv", "ill", "abort", "kill", "crash"],
)
def test_f8_f74_f79_a_task_that_ends_its_process_fails_the_job(
    cli: CommandLine, call: str, said: str
) -> None:
    """After four losses: how, what it read, what it said last, what to do; others stay committed."""
    cli.write("in2.txt", "xxxxxxx\n")
    mapper = f"if line == '2':\n    print('now')\n    {call}"

    outcome = cli.start(
        *("--input=in2.txt", "--input=in.txt", "--name=lost", "--mappers=2"), worker=worker(mapper)
    )

    assert outcome.code == 1, outcome.stderr
    lost, _, failure = outcome.stderr.partition("last printed, of what pymr logs lost shows:\n")
    assert lost.count("map-0001 lost: ") == 3, "the fourth ends the run"
    assert failure.startswith("  now\n")
    trace = " --trace" if "SIGKILL" in said else ""  # Else a handler says where it was.
    for part in (
        said,
        "(map-0001)\n",
        "  input  in.txt [1:10]\n",
        "  1 of 2 map tasks finished and kept",
        f"hint: pymr debug lost map-0001{trace}   shows where it ends; then   pymr resume lost",
    ):
        assert part in failure.replace("is finished", "finished").replace(
            "are finished", "finished"
        )
    if "SIG" in said and "SIGKILL" not in said:  # The stack is written by a handler.
        assert "    ▸ " in failure
        assert " in mapper\n" in failure
        assert "Current thread" in cli.run("logs", "lost", "map-0001", "--attempt=1").stdout
    assert processes_of(cli) == []


def test_f79_how_a_process_ended_is_known_where_sigchld_is_ignored(cli: CommandLine) -> None:
    """As some init systems and shells leave it."""
    cli.write("worker.py", worker("os.abort()"))
    start = f"'{cli.pymr}' start --input=in.txt --output=out worker.py"

    outcome = cli.shell(f"env --ignore-signal=CHLD {start}")

    outcome.refused(1, "was killed by SIGABRT")


def test_f89_recursion_without_end_is_an_exception(cli: CommandLine) -> None:
    """Its frames are cut to their ends."""
    outcome = cli.start(
        "--input=in.txt", worker=worker("f(0)", head="def f(n):\n    return f(n + 1)\n")
    )

    outcome.refused(1, "mapper raised RecursionError in map-0000", "py:4 in f", "in.txt  line 1")


# -- what is left of an attempt --------------------------------------------------------------

SET = """\
if line == '1':
    os.chdir('/')
    os.umask(0o777)
    os.environ['PATH'] = '/nowhere'
    os.environ['NEW'] = '1'
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
    signal.setitimer(signal.ITIMER_REAL, 20)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    gc.disable()
    sys.setrecursionlimit(77)
    sys.set_int_max_str_digits(700)
    sys.stdout = sys.stderr = sys.stdin = None
    os.dup2(os.open(os.devnull, os.O_RDONLY), 1)
"""
LOOK = """\
umask = os.umask(0o22)
os.umask(umask)
ctx.emit('folder', os.path.basename(os.getcwd()))
ctx.emit('umask', umask)
ctx.emit('environ', [os.environ.get('NEW'), os.environ['KEPT'], '/nowhere' in os.environ['PATH']])
ctx.emit('term', signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
ctx.emit('alarm', signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
ctx.emit('timer', list(signal.getitimer(signal.ITIMER_REAL)))
ctx.emit('blocked', len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
ctx.emit('gc', gc.isenabled())
ctx.emit('recursion', sys.getrecursionlimit())
ctx.emit('digits', len(str(10 ** 5000)))
print('heard')
"""


def test_f84_what_an_attempt_changes_is_gone_for_the_next(cli: CommandLine) -> None:
    """In the same process: the map task changes all, the reduce task finds it as it was."""
    reducer = "def reducer(ctx, key, values):\n    if key != '1':\n        return\n"
    reducer += "".join(f"    {line}\n" for line in LOOK.splitlines())
    head = f"os.environ['KEPT'] = 'yes'\nsys.setrecursionlimit(777)\nprint('loaded')\n{reducer}"

    outcome = cli.start(
        "--input=in.txt", "--format=jsonl", worker=worker(SET, head=head, job="reducer=reducer")
    )

    seen = dict(
        row.removeprefix('{"key":"').removesuffix("}").split('","value":')
        for row in outcome.succeeded()
    )
    umask = seen.pop("umask")
    assert seen == {
        "folder": '"here"',
        "environ": '[null,"yes",false]',
        "term": "true",
        "alarm": "true",
        "timer": "[0.0,0.0]",
        "blocked": "0",
        "gc": "true",
        "recursion": "777",
        "digits": "5001",
    }
    assert umask != "511"
    assert cli.run("logs", "out", "reduce-0").stdout == "heard\n"


def test_f84_inputs_are_found_wherever_the_mapper_goes(cli: CommandLine) -> None:
    """Names are looked up in the folder where the command was typed."""
    (cli.folder / "other").mkdir()
    cli.write("other/in2.txt", "wrong\n")
    cli.write("in2.txt", "right\n")

    outcome = cli.start(
        *("--input=in.txt", "--input=in2.txt", "--mappers=1"),
        worker=worker("os.chdir(os.path.dirname(__file__) + '/other')"),
    )

    assert outcome.succeeded() == [*ROWS, "right\t1"]


@pytest.mark.parametrize(
    ("place", "highest"), [("import", 256), ("mapper", 256), ("mapper", 65536), ("setup", 65536)]
)
def test_f84_closed_descriptors_are_an_error_or_no_matter(
    cli: CommandLine, place: str, highest: int
) -> None:
    """Ours are out of the way of those who close the first 256; else the attempt fails, cleanly."""
    close = f"os.closerange(0, {highest})"
    written = worker(
        close if place == "mapper" else "pass",
        head=f"{close}\n" if place == "import" else f"def setup(ctx):\n    {close}\n",
        job="reducer=pymr.SUM" + (", setup=setup" if place == "setup" else ""),
    )

    outcome = cli.start("--input=in.txt", worker=written)

    if place == "import":
        assert outcome.succeeded() == ROWS
    else:
        outcome.refused(1, "map-0000", "clos")
    assert processes_of(cli) == []


PATCH = """\
def broken(*arguments, **named):
    raise AssertionError("a patched function was called")

class Broken:
    def __getattr__(self, name):
        return broken

def patch():
    for module, names in (
        (time, "time monotonic perf_counter process_time sleep time_ns monotonic_ns"),
        (json, "loads dumps load dump"),
        (os, "open read write pread close link unlink fsync stat fstat replace listdir umask"),
        (signal, "signal getsignal setitimer pthread_sigmask"),
    ):
        for name in names.split():
            setattr(module, name, broken)
    builtins.open = broken
    sys.stdout = sys.stderr = Broken()
"""


@pytest.mark.parametrize("when", ["import", "call"])
def test_f85_patched_modules_are_the_users_affair(cli: CommandLine, when: str) -> None:
    """Ours have what they need from before, in all that follows."""
    written = worker(
        "patch()" if when == "call" else "pass",
        head=PATCH + ("patch()\n" if when == "import" else ""),
        job="reducer=reducer",
    ).replace(
        "\ndef mapper",
        "\ndef reducer(ctx, key, values):\n    ctx.emit(key, sum(values))\n\ndef mapper",
    )

    outcome = cli.start("--input=in.txt", "--spill=1", worker=written)

    assert outcome.succeeded() == ROWS
    assert cli.run("verify", "out").code == 0


def test_f81_arguments_are_decoded_anew_and_globals_are_the_users(cli: CommandLine) -> None:
    """What a reducer does to a value reaches no other call; a global lives as its process does."""
    head = (
        "seen = []\n"
        "def reducer(ctx, key, values):\n"
        "    for value in values:\n"
        "        value.append(key)\n"
        "        ctx.emit(key, [value, len(seen)])\n"
        "    seen.append(key)\n"
    )
    mapper = "shared.append(line)\nctx.emit('all', shared)\nreturn"

    outcome = cli.start(
        *("--input=in.txt", "--format=jsonl", "--reducers=1"),
        worker=worker(mapper, head="shared = []\n" + head, job="reducer=reducer"),
    )

    assert outcome.succeeded() == [
        '{"key":"all","value":['
        + str([str(n) for n in range(1, m + 1)] + ["all"]).replace("'", '"').replace(" ", "")
        + ",0]}"
        for m in range(1, 6)
    ]


# -- processes of user code ------------------------------------------------------------------

DAEMON = """\
if line in '12':
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(f'daemon-{line}', 'w').close()
            signal.alarm(60)  # whatever the test finds
            signal.pause()
        os._exit(0)
    os.wait()
    while not os.path.exists(f'daemon-{line}'):
        pass
"""


def test_f76_what_an_attempt_leaves_running_is_ended_with_it(cli: CommandLine) -> None:
    """Daemons too, which have left their parent and its session; they are counted."""
    mapper = DAEMON + "if line == '3':\n    subprocess.Popen(['tail', '-f', '/dev/null'])\n"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    assert outcome.succeeded("  3 leftover children of attempts killed") == ROWS
    assert '"kind":"StraysEnded"' in cli.run("show", "out", "--json").stdout
    assert processes_of(cli) == []


def test_f76_children_of_the_import_are_helpers_of_all_attempts(cli: CommandLine) -> None:
    """They are ended with the process, and what an attempt has waited for is no matter."""
    head = "helper = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
    ask = "helper.stdin.write(b'x\\n')\nhelper.stdin.flush()\nassert helper.stdout.readline()\n"
    reducer = "def reducer(ctx, key, values):\n" + "".join(
        f"    {text}\n" for text in (*ask.splitlines(), "ctx.emit(key, sum(values))")
    )

    outcome = cli.start(
        "--input=in.txt",
        worker=worker(f"{ask}subprocess.run(['true'])", head=head + reducer, job="reducer=reducer"),
    )

    assert outcome.succeeded() == ROWS
    assert "leftover" not in outcome.stderr
    assert processes_of(cli) == []


def test_f76_a_child_that_holds_the_pipes_hides_no_death(cli: CommandLine) -> None:
    """The process ends while a fork of it lives on: the kernel tells, and the fork is ended."""
    mapper = "if line == '2':\n    if os.fork() == 0:\n        signal.pause()\n    os._exit(5)"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    outcome.refused(1, "ended by itself with exit code 5")
    assert processes_of(cli) == []


def test_f76_daemons_of_a_process_that_crashes_are_ended_too(cli: CommandLine) -> None:
    """The command adopts them."""
    mapper = DAEMON + "if line == '3':\n    os._exit(5)\n"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    outcome.refused(1, "ended by itself with exit code 5")
    assert processes_of(cli) == []


def test_f88_an_import_that_starts_threads_and_prints_is_one_like_others(cli: CommandLine) -> None:
    """A thread that prints for ever does not hold the run up."""
    head = (
        "def chatter():\n    while True:\n        print('x' * 1000)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
    )

    outcome = cli.start("--input=in.txt", worker=worker("pass", head=head))

    assert outcome.succeeded("; pymr logs ") == ROWS
    assert processes_of(cli) == []


# -- memory ----------------------------------------------------------------------------------


def test_f78_a_process_that_leaks_is_replaced(cli: CommandLine) -> None:
    """100 MB a task, twelve tasks: never more than a few of them at once."""
    cli.write("in.txt", "".join(f"line {n:02d}\n" for n in range(12)))
    head = "leak = []\nsizes = []\ndef setup(ctx):\n    leak.append(bytearray(100_000_000))\n"

    outcome = cli.start(
        *("--input=in.txt", "--mappers=12", "--reducers=1", "--memory=256M"),
        worker=worker(
            "ctx.emit('most', len(leak))", head=head, job="reducer=pymr.MAX, setup=setup"
        ),
    )

    rows = outcome.succeeded("  a task process was replaced 4 times: its memory grew from task to")
    assert "most\t3" in rows
    assert cli.run("show", "out", "--json").stdout.count('"kind":"ProcessReplaced"') == 4


def test_f78_what_the_first_task_has_loaded_stays(cli: CommandLine) -> None:
    """A model that is loaded once is no leak, however large."""
    cli.write("in.txt", "".join(f"line {n:02d}\n" for n in range(12)))
    head = (
        "model = []\ndef setup(ctx):\n    if not model:\n"
        "        model.append(bytearray(200_000_000))\n"
    )

    outcome = cli.start(
        *("--input=in.txt", "--mappers=12", "--reducers=1", "--memory=256M"),
        worker=worker("pass", head=head, job="reducer=pymr.SUM, setup=setup"),
    )

    assert len(outcome.succeeded()) == 12
    assert "replaced" not in outcome.stderr
