"""Command lines and settings that ask for nothing that can be done: exit 2, and what to type."""

from __future__ import annotations

import resource
import sys

import pytest

from cli import COUNT_WORDS, PYMR, CommandLine, Outcome

MAP_ONLY = """\
import pymr

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

job = pymr.Job(mapper=mapper, reducer=None)
"""


def ready(cli: CommandLine, worker: str = COUNT_WORDS) -> CommandLine:
    """Return a folder in which `start --input in.txt worker.py` would work."""
    cli.write("in.txt", "b a\na\n")
    cli.write("worker.py", worker)
    return cli


def start(cli: CommandLine, *flags: str, **environ: str) -> Outcome:
    return cli.run("start", "--output=out", "--input=in.txt", *flags, "worker.py", environ=environ)


def test_a_run_of_this_machine_is_not_left_to_the_background(cli: CommandLine) -> None:
    """It would be silently in the foreground; nothing is begun."""
    ready(cli)

    start(cli, "--detach").refused(2, "--detach is for runs on workers that join", "nohup pymr")

    assert not (cli.folder / "out").exists()


@pytest.mark.parametrize(
    "flag",
    ["--slots=2", "--listen=127.0.0.1:0", "--join-file=x", "--metrics=127.0.0.1:0", "--load=kind"],
)
def test_flags_of_runs_on_other_machines_are_not_ignored(cli: CommandLine, flag: str) -> None:
    """Who forgets `--on hosts` would have a run of this machine; nothing is begun."""
    ready(cli)

    start(cli, flag).refused(2, f"{flag.partition('=')[0]} is for runs ", "add --on ")

    assert not (cli.folder / "out").exists()


@pytest.mark.parametrize(
    ("on", "flag", "where", "here"),
    [
        ("hosts", "--registry=r.example/x", "in pods (--on kubernetes)", "on workers that join"),
        ("hosts", "--context=kind-x", "in pods (--on kubernetes)", "on workers that join"),
        ("kubernetes", "--listen=127.0.0.1:0", "on workers that join (--on hosts)", "in pods"),
        ("kubernetes", "--metrics=127.0.0.1:0", "on workers that join (--on hosts)", "in pods"),
    ],
)
def test_flags_of_the_other_kind_of_machines_are_not_ignored(
    cli: CommandLine, on: str, flag: str, where: str, here: str
) -> None:
    """Who asks for a port of a master in a pod would wait for it; nobody is asked for anything."""
    ready(cli)
    name = flag.partition("=")[0]

    cli.run("start", f"--on={on}", "--input=in.txt", flag, "worker.py").refused(
        2, f"{name} is for runs {where}, and this one is {here}", f"the same without {name}"
    )


@pytest.mark.parametrize("command", ["plan", "check"])
def test_what_a_start_refuses_is_refused_by_who_only_plans(cli: CommandLine, command: str) -> None:
    """It would be planned in another way than it is run."""
    ready(cli)

    cli.run(command, "--input=in.txt", "--slots=3", "worker.py").refused(2, "--slots is for runs ")
    cli.run(command, "--on=kubernetes", "--input=in.txt", "--region=eu", "worker.py").refused(
        2, "--region is `eu`, and without --store", "no --region"
    )


def test_settings_of_other_machines_may_stand_in_the_environment(cli: CommandLine) -> None:
    """They are for all runs of an account, of which some are of this machine."""
    ready(cli)

    assert start(cli, PYMR_SLOTS="2", PYMR_REGISTRY="registry.example.org/team").code == 0


def test_pymr_alone_shows_how_to_begin(cli: CommandLine) -> None:
    """No command at all is a question; the answer is the help, and stdout stays empty."""
    outcome = cli.run()

    assert outcome.code == 2
    assert outcome.stdout == ""
    assert "Usage: pymr" in outcome.stderr
    assert "pymr start --input FILE worker.py" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("start", ["no WORKER given", "pymr start --input PATH [OPTIONS] WORKER"]),
        ("start --input in.txt", ["no WORKER given", "pymr start --help"]),
        ("start worker.py", ["no input given", "--input PATH"]),
        ("strat", ["no such command: `strat`", "did you mean `start`?"]),
        ("--input in.txt", ["no such option: `--input`", "pymr --help"]),
        ("worker", ["no --join-file given", "pymr worker --help"]),
        ("start --inptu in.txt", ["no such option: `--inptu`", "did you mean `--input`?"]),
        ("start worker.py --input", ["option `--input` requires an argument", "start --help"]),
        ("start --input=in.txt worker.py more", ["unexpected", "(more)", "pymr start --help"]),
        ("start in.txt worker.py", ["unexpected", "(worker.py)", "hint: --input in.txt  "]),
        ("start --quiet=yes worker.py", ["option `--quiet` does not take a value"]),
        ("start --set x --input=in.txt worker.py", ["`--set x`", "KEY=VALUE"]),
        ("head", ["no RUN given", "pymr head --help"]),
        ("head x -n 99999999999999999999", ["--rows", f"0<=x<={sys.maxsize}"]),
        ("jobs -n 99999999999999999999", ["--number", f"1<=x<={sys.maxsize}"]),
        ("worker --join-file=x --slots 99999", ["--slots", "1<=x<=1024"]),
        ("start\x1b[31m", ["no such command: `start\\x1b[31m`"]),
    ],
)
def test_a_mistyped_command_line_says_what_to_type(
    cli: CommandLine, arguments: str, parts: list[str]
) -> None:
    """The message names the word that is wrong, and the nearest one or the way to the help."""
    outcome = ready(cli).run(*arguments.split())

    outcome.refused(2, *parts, "hint: ")
    assert outcome.stdout == ""
    assert not (cli.folder / "pymr-out").exists()


def test_b67_a_map_only_job_says_so_in_its_worker(cli: CommandLine) -> None:
    """`reducer=None` makes parts of the map outputs; `--reducers 0` says where that is set."""
    ready(cli)

    start(cli, "--reducers=0").refused(2, "--reducers is 0", "reducer=None in worker.py")
    cli.write("worker.py", MAP_ONLY)
    assert start(cli).succeeded() == ["b\t1", "a\t1", "a\t1"]


def test_b68_one_reducer_gives_total_order(cli: CommandLine) -> None:
    """All keys in one part, sorted."""
    ready(cli)
    cli.write("in.txt", "".join(f"{number * 7919 % 1000:04d}\n" for number in range(1000)))

    rows = start(cli, "--reducers=1", "--mappers=9").succeeded()

    assert rows == [f"{number:04d}\t1" for number in range(1000)]


def test_b69_too_many_reducers_are_refused_with_the_reason(cli: CommandLine) -> None:
    """Each map output has an index row for each partition."""
    said = start(ready(cli), "--reducers=100000").refused(2, "--reducers is 100000")

    assert "at most 10000: every map output keeps an index of all partitions" in said


@pytest.mark.parametrize("text", ["-1", "NaN", "abc"])
def test_b70_a_number_of_reducers_is_a_whole_number(cli: CommandLine, text: str) -> None:
    """The value that was seen stands beside one that would do."""
    start(ready(cli), f"--reducers={text}").refused(2, "--reducers is `", "such as `--reducers 4`")


@pytest.mark.parametrize("text", ["0", "many"])
def test_b71_a_number_of_workers_is_at_least_one(cli: CommandLine, text: str) -> None:
    """Nobody to do the work is no way to run a job."""
    start(ready(cli), f"--workers={text}").refused(2, "--workers is ", "at least 1")


def test_b71_more_workers_than_processes_are_clamped_with_a_notice(cli: CommandLine) -> None:
    """The run goes on with as many as may start."""
    limits = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (2000, limits[1]))
    try:
        outcome = start(ready(cli), "--workers=100000")
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, limits)

    outcome.succeeded("workers is 100000, going on with 1000", "2000 processes allowed")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("workers = 1\nreducers 2\n", ["line 2", "`reducers 2` is not TOML"]),
        ("wrokers = 4\n", ["line 1", "no setting `wrokers`", "did you mean `workers`?"]),
        ("workers = 1\nworkers = 2\n", ["line 2", "`workers` stands there a second time"]),
        ("\nworkers = true\n", ["line 2: workers is `true`", "such as `workers = 4`"]),
        ("name = '\xff'\n".encode("latin-1"), ["line 1", "0xff is not UTF-8"]),
    ],
    ids=["syntax", "unknown key", "duplicate key", "wrong type", "not UTF-8"],
)
def test_b82_a_wrong_configuration_file_is_named_with_its_line(
    cli: CommandLine, content: str | bytes, parts: list[str]
) -> None:
    """File, line, key, and the nearest valid name."""
    cli.write("pymr.toml", content)

    start(ready(cli)).refused(2, "./pymr.toml ", *parts)


def test_b82_a_configuration_file_that_cannot_be_read_is_named(cli: CommandLine) -> None:
    """Silently going on without it would run another job than the one that was set up."""
    path = cli.write("pymr.toml", "workers = 1\n")
    path.chmod(0)
    ready(cli)

    outcome = cli.run("start", "--input=in.txt", "worker.py", without_override=True)

    outcome.refused(2, "./pymr.toml cannot be read: Permission denied", "chmod u+r ./pymr.toml")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ('workers = "4"', ["workers is `4` (a string)", "such as `workers = 4`"]),
        ("workers = -1", ["workers is -1", "at least 1"]),
        ("workers = 1e3", ["workers is `1000.0`", "such as `workers = 4`"]),
        ('memory = "2 gigs"', ["memory is `2 gigs`", 'such as `memory = "2G"`']),
        ('memory = "64MB"', ["memory is `64MB`", "expected a size in bytes, K, M, G or T"]),
    ],
)
def test_b83_a_number_of_the_wrong_kind_is_refused_with_an_example(
    cli: CommandLine, content: str, parts: list[str]
) -> None:
    """A value of TOML has a type, and it must be the setting's."""
    cli.write("pymr.toml", content)

    start(ready(cli)).refused(2, "./pymr.toml line 1: ", *parts)


def test_b83_a_size_may_have_a_fraction(cli: CommandLine) -> None:
    """`1.5G` is what people write."""
    start(ready(cli), "--memory=1.5G").succeeded()


def test_b84_garbage_in_a_variable_names_the_variable(cli: CommandLine) -> None:
    """Who wrote it may have forgotten it is there."""
    outcome = start(ready(cli), PYMR_WORKERS="many")

    outcome.refused(2, "PYMR_WORKERS is `many`", "such as `PYMR_WORKERS=4`")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([b"--set=k=\xff", b"worker.py"], r"--set k is `k=\xff`"),
        ([b"--output=o\xff", b"worker.py"], r"o\xff`, which is not UTF-8"),
        ([b"w\xff.py"], r"w\xff.py`, which is not UTF-8"),
    ],
)
def test_what_stands_in_the_manifest_is_text(
    cli: CommandLine, arguments: list[bytes], part: str
) -> None:
    """Names of inputs may be any bytes; ours are JSON."""
    ready(cli)
    cli.write(b"w\xff.py", COUNT_WORDS)

    cli.run("start", "--input=in.txt", *arguments).refused(2, part, "expected text")


def test_a_folder_for_copies_that_cannot_be_made(cli: CommandLine) -> None:
    """The setting is at fault, not the input."""
    ready(cli)

    outcome = cli.run("start", "--input=-", "--tmp-dir=in.txt", "worker.py", stdin=b"a\n")

    outcome.refused(6, "cannot make the folder `in.txt/", "Not a directory", "--tmp-dir")


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("in.txt", "`in.txt` is a file, expected a new or empty directory"),
        ("in.txt/x", "`in.txt/x` cannot be used: Not a directory"),
        ("/proc/x", "`/proc/x` cannot be used"),
        ("full", "`full` holds files that are not PyMR's: `mine`"),
    ],
)
def test_f100_f104_an_output_that_cannot_be_written(
    cli: CommandLine, output: str, part: str
) -> None:
    """Nothing of the user's is touched."""
    ready(cli)
    cli.write("full/mine", "x")
    cli.write("other.txt", "a\n")

    outcome = cli.run("start", "--input=other.txt", f"--output={output}", "worker.py")

    outcome.refused(4, part, "--output")
    assert (cli.folder / "full/mine").read_text() == "x"


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-", "<&-"])
def test_closed_standard_streams_harm_nothing(cli: CommandLine, closed: str) -> None:
    """No file of ours gets their number: the result is what it always is."""
    ready(cli)

    outcome = cli.shell(f"'{PYMR}' start --output=out --input=in.txt worker.py {closed}")

    assert outcome.succeeded() == ["a\t2", "b\t1"]


def test_output_that_nobody_can_take_is_no_bug(cli: CommandLine) -> None:
    """A full disk behind stdout is exit 6, and a full one behind stderr changes no result."""
    ready(cli)
    start(cli).succeeded()

    full = cli.shell(f"'{PYMR}' cat out > /dev/full")

    assert full.code == 6
    assert "✗ cannot write to standard output: No space left on device" in full.stderr
    again = f"'{PYMR}' start --overwrite --output=out --input=in.txt worker.py 2> /dev/full"
    assert cli.shell(again).code == 0
    assert cli.run("verify", "out").code == 0


def test_a_folder_that_was_removed_is_no_place_to_work_in(cli: CommandLine) -> None:
    """Said so, before anything is looked for in it."""
    outcome = cli.shell(f"mkdir gone; cd gone; rmdir ../gone; '{PYMR}' start --input=a worker.py")

    outcome.refused(2, "the current folder cannot be used", "cd to another folder")
