"""Workers that misbehave: threads that emit, forks that return, imports that die or hang."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli import PYMR, CommandLine

HEAD = "import os, signal, time\nimport pymr\n"


def worker(mapper: str, *, job: str = "reducer=pymr.SUM", head: str = "") -> str:
    """Return a worker file with a LINES mapper of the given body."""
    body = "".join(f"    {line}\n" for line in mapper.splitlines())
    return (
        f"{HEAD}{head}\ndef mapper(ctx, line):\n{body}\n"
        f"job = pymr.Job(mapper=mapper, input=pymr.LINES, {job})\n"
    )


@pytest.fixture
def cli(tmp_path):
    """A folder with an input of five lines."""
    command_line = CommandLine(tmp_path)
    command_line.write("in.txt", "1\n2\n3\n4\n5\n")
    return command_line


def test_emits_of_another_thread_fail_the_job_even_if_their_error_is_hidden(cli):
    """A lost emit is a wrong result: the attempt remembers what a future swallowed."""
    mapper = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ctx.emit('main', 1)\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    pool.submit(ctx.emit, line, 1)\n"
    )

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    outcome.refused(1, "emit was called by another thread")


THREADS = (
    "from concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor(4) as pool:\n"
    "    for number in range(200):\n"
    "        pool.submit(ctx.emit, (line, number), 'x' * 2000)\n"
)


@pytest.mark.parametrize("place", ["mapper", "reducer"])
def test_threads_that_emit_rows_of_output_lose_none_and_mix_none(place, cli):
    """Nothing is shuffled any more, so only the order of rows is that of the calls."""
    if place == "mapper":
        written = worker(THREADS, job="reducer=None")
    else:
        body = "".join(f"    {text}\n" for text in THREADS.splitlines())
        head = f"\ndef reducer(ctx, line, values):\n{body}\n"
        written = worker("ctx.emit(line, 1)\n", job="reducer=reducer", head=head)

    outcome = cli.start("--input=in.txt", worker=written)

    keys = [f'["{line}",{number}]' for line in range(1, 6) for number in range(200)]
    assert sorted(outcome.succeeded()) == sorted(f"{key}\t{'x' * 2000}" for key in keys)
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize("leave", ["return", "raise SystemExit", "ctx.emit(line, 1)"])
def test_f76_a_forked_child_that_comes_back_from_the_mapper_changes_nothing(leave, cli):
    """The child ends where the mapper returns; its parent's records are all there, once."""
    mapper = f"if line == '3' and os.fork() == 0:\n    {leave}\nelse:\n    ctx.emit(line, 1)\n"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    assert outcome.succeeded() == [f"{number}\t1" for number in range(1, 6)]
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize("leave", ["return", "raise SystemExit", "ctx.emit(key, 7)"])
@pytest.mark.parametrize("spill", ["64M", "1"])
def test_f76_a_forked_child_that_comes_back_from_the_combiner_changes_nothing(leave, spill, cli):
    """It would write beside its parent, into the same run."""
    head = (
        "def combiner(ctx, key, values):\n"
        f"    if os.fork() == 0:\n        {leave}\n    else:\n        ctx.emit(key, sum(values))\n"
        "def reducer(ctx, key, values):\n    ctx.emit(key, sum(values))\n"
    )
    rough = worker("ctx.emit('k', int(line))", job="reducer=reducer, combiner=combiner", head=head)

    outcome = cli.start("--input=in.txt", f"--spill={spill}", worker=rough)

    assert outcome.succeeded() == ["k\t15"]
    assert cli.run("verify", "out").code == 0


def test_f76_multiprocessing_in_a_mapper_finds_the_functions_of_the_worker(cli):
    """Processes that user code spawns import the worker by its own name."""
    head = "import multiprocessing\n\ndef double(number):\n    return 2 * number\n"
    mapper = (
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    ctx.emit(line, pool.map(double, [int(line)])[0])\n"
    )

    outcome = cli.start("--input=in.txt", "--timeout=50s", worker=worker(mapper, head=head))

    assert outcome.succeeded() == [f"{number}\t{2 * number}" for number in range(1, 6)]


def die_at_import(condition: str) -> str:
    """Return lines that kill the importing process while `condition` holds for its count."""
    return (
        "with open('imports', 'a+') as log:\n"
        "    log.write('x')\n    log.seek(0)\n    count = len(log.read())\n"
        f"if {condition}:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )


def test_one_kill_while_the_code_is_imported_is_borne(cli):
    """The first process may be killed from outside; another one takes its place."""
    outcome = cli.start(
        "--input=in.txt", worker=worker("ctx.emit(line, 1)", head=die_at_import("count == 1"))
    )

    assert len(outcome.succeeded()) == 5


def test_f88_an_import_that_always_kills_its_process_is_refused(cli):
    """Three kills in a row are the code's doing."""
    outcome = cli.start(
        "--input=in.txt", worker=worker("ctx.emit(line, 1)", head=die_at_import("True"))
    )

    outcome.refused(2, "ended its process while it was imported", "SIGKILL")


def test_workers_that_die_before_they_are_ready_end_the_run(cli):
    """Only the first import works: the run says so after a few, and does not spawn for ever."""
    cli.write(
        "worker.py",
        worker(
            "while not os.path.exists('never'):\n    pass",
            head=die_at_import("count > 1").replace("signal.SIGKILL", "signal.SIGKILL"),
        ),
    )

    outcome = cli.run(
        "start", "--input=in.txt", "--output=out", "--workers=2", "--mappers=2", "worker.py"
    )

    outcome.refused(1, "was killed by SIGKILL")
    assert len((cli.folder / "imports").read_text()) <= 10
    assert "was lost before it was ready" in cli.run("show", "out").stdout


def test_f88_f105_timeout_covers_the_import_of_the_worker(cli):
    """A worker that never finishes its import is stopped by --timeout too."""
    head = "while not os.path.exists('never'):\n    pass\n"

    outcome = cli.start("--input=in.txt", "--timeout=1s", worker=worker("pass", head=head))

    outcome.refused(9, "--timeout")


def test_a_reader_of_events_that_leaves_does_not_stop_the_run(cli):
    """`pymr start --json | head -1`: the result is there all the same."""
    cli.write("worker.py", worker("ctx.emit(line, 1)"))

    done = subprocess.run(
        ["bash", "-c", f"'{PYMR}' start --json --input in.txt --output out worker.py | head -1"],
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert '"kind":"RunPlanned"' in done.stdout
    assert "bug of PyMR" not in done.stderr
    assert cli.run("verify", "out").code == 0
    assert len(cli.run("cat", "out").stdout.splitlines()) == 5


def test_f88_an_import_that_does_not_end_says_where_it_is(cli):
    """The limit is two minutes, so it is made short here: by a library call in this process.

    Not too short for a Python to start and come to that import, on a machine that is busy.
    """
    cli.write(
        "slow.py", "import threading\nprint('so far', flush=True)\nthreading.Event().wait()\n"
    )
    program = (
        "import pymr.runner.pool, pymr.cli\n"
        "pymr.runner.pool.LOAD_S = 7.6\n"
        "pymr.cli.main(['start', '--input=in.txt', '--output=out', 'slow.py'])\n"
    )
    cli.write("short.py", program)

    outcome = cli.shell(f"'{sys.executable}' short.py")

    said = outcome.refused(
        2, "the worker's code was not imported within 8 s", "slow.py:3 in <module>"
    )
    assert said.startswith("last printed:\n  so far\n")


def test_f88_an_import_that_hangs_in_a_process_that_takes_another_s_place_is_ended(cli):
    """Only the first import comes to its end; the limits are made short here."""
    head = die_at_import("False") + "while count > 1:\n    time.monotonic()\n"
    cli.write("worker.py", worker("os._exit(1)", head=head))
    cli.write(
        "short.py",
        "from functools import partial\n"
        "import pymr.runner.pool, pymr.runner.local, pymr.cli\n"
        "pymr.runner.pool.LOAD_S = 6.0\n"
        "limits = pymr.runner.local.PhaseLimits\n"
        "pymr.runner.local.PhaseLimits = partial(limits, unready_losses_max=2)\n"
        "pymr.cli.main(['start', '--input=in.txt', '--output=out', '--workers=1', 'worker.py'])\n",
    )

    outcome = cli.shell(f"'{sys.executable}' short.py")

    outcome.refused(1, "task process `worker-3` was killed by SIGKILL")
    assert (cli.folder / "imports").read_text() == "xxx"
