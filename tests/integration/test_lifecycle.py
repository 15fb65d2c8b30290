"""Processes that die, signals, deadlines and claims, on the real command line."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from cli import PYMR, CommandLine

TEXT = "one two one\nthree two one\n" * 50
# Under `nohup … &` a test ignores SIGINT, and so would what it starts.
ALL_SIGNALS = ("env", "--default-signal")
COUNTS = ["one\t150", "three\t50", "two\t100"]

# Kills its own process once, at the place that {place} names; a token file is the memory.
KILLED_ONCE = """\
import os, signal
import pymr

def die_once():
    try:
        os.close(os.open("token", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)
    if "{place}" == "map":
        die_once()

def reducer(ctx, key, values):
    if "{place}" == "reduce":
        die_once()
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer)
"""

# Says on the stderr of the command that it has begun, and never ends.
ENDLESS = """\
import os
import pymr

def mapper(ctx, chunk):
    with open(f"/proc/{os.getppid()}/fd/2", "w") as told:
        told.write("mapper begins\\n")
    while True:
        pass

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_running(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    """Return when the process has ended, which the kernel tells; fail after 10 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        assert selector.select(10), f"process {pid} still runs"
    os.close(descriptor)


class StartEndless(Protocol):
    """Starts a job that never ends in a folder, with more arguments."""

    def __call__(
        self, cli: CommandLine, *arguments: str, worker: str = ENDLESS
    ) -> subprocess.Popen[str]:
        """Return when the mapper has begun."""


@pytest.fixture
def start_endless() -> Iterator[StartEndless]:
    """Start jobs that never end; what a test leaves of them is killed."""
    with ExitStack() as running:

        def start(
            cli: CommandLine, *arguments: str, worker: str = ENDLESS
        ) -> subprocess.Popen[str]:
            cli.write("in.txt", TEXT)
            cli.write("worker.py", worker)
            command = [PYMR, "start", "--input=in.txt", "--output=out", *arguments, "worker.py"]
            popen = running.enter_context(
                subprocess.Popen(
                    [*ALL_SIGNALS, *command],
                    cwd=cli.folder,
                    env=cli.environ,
                    stderr=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                )
            )
            running.callback(popen.kill)
            assert any("mapper begins" in line for line in popen.stderr), "it never began"
            return popen

        yield start


@pytest.mark.parametrize("place", ["map", "reduce"])
def test_f1_f6_a_task_whose_process_is_killed_is_tried_again(place, tmp_path):
    """A SIGKILL costs one attempt; the result is the undisturbed one, and the history says so."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)

    outcome = cli.start("--input=in.txt", worker=KILLED_ONCE.replace("{place}", place))

    assert outcome.succeeded("1 attempt tried again") == COUNTS
    assert (cli.folder / "token").exists()
    history = cli.run("errors", "out").stdout
    assert f"{place}-0000 attempt 1  tried again" in history
    assert "was killed by SIGKILL" in history
    assert cli.run("verify", "out").code == 0


def test_f8_a_task_that_always_kills_its_process_fails_the_job(tmp_path):
    """After four dead processes the task is to blame; the message names the signal."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    worker = KILLED_ONCE.replace("{place}", "map").replace('os.open("token"', 'os.open("/dev/null"')
    worker = worker.replace("os.O_CREAT | os.O_EXCL", "os.O_RDONLY")

    outcome = cli.start("--input=in.txt", worker=worker)

    outcome.refused(1, "was killed by SIGKILL", "map-0000")
    assert cli.run("errors", "out").stdout.count("tried again\n") == 4  # three, and one "not"


@pytest.mark.parametrize("call", ["os._exit(0)", "sys.exit(0)", "raise KeyboardInterrupt"])
def test_f74_f75_leaving_the_process_from_user_code_is_a_failure_of_the_user(call, tmp_path):
    """An exit before the end of the task is no success, whatever its code."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    worker = (
        "import os, sys\nimport pymr\n\ndef mapper(ctx, chunk):\n    "
        f"{call}\n\njob = pymr.Job(mapper=mapper, reducer=pymr.SUM)\n"
    )

    outcome = cli.start("--input=in.txt", worker=worker)

    outcome.refused(1, "map-0000")


def test_an_error_that_does_not_come_back_is_retried(tmp_path):
    """A mapper that fails once and then works costs one attempt."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    worker = KILLED_ONCE.replace("{place}", "map").replace(
        "os.kill(os.getpid(), signal.SIGKILL)", 'raise OSError("the network is asleep")'
    )

    outcome = cli.start("--input=in.txt", worker=worker)

    assert outcome.succeeded("1 attempt tried again") == COUNTS


def test_f70_f71_the_same_error_on_the_same_record_stops_after_two_attempts(tmp_path):
    """An error that comes back is the user's: two attempts, not four."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    worker = (
        "import pymr\n\ndef mapper(ctx, line):\n    int(line)\n\n"
        "job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)\n"
    )

    outcome = cli.start("--input=in.txt", worker=worker)

    outcome.refused(
        1,
        "mapper raised ValueError in map-0000",
        "worker.py:4 in mapper",
        'record  in.txt  line 1 (byte 0):  "one two one"',
    )
    events = map(json.loads, cli.run("show", "out", "--json").stdout.splitlines())
    assert [e["kind"] for e in events].count("AttemptStarted") == 2


def test_f105_timeout_stops_the_run_with_exit_9(tmp_path):
    """`--timeout` ends an endless mapper; nothing is published and nobody is left."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)

    outcome = cli.start("--input=in.txt", "--timeout=1", worker=ENDLESS)

    outcome.refused(9, "--timeout")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_f92_f94_a_signal_stops_the_run_and_leaves_no_process(
    start_endless, number, code, tmp_path
):
    """Ctrl-C and SIGTERM end the run with their own codes, and with it every child."""
    cli = CommandLine(tmp_path)
    popen = start_endless(cli)
    children = children_of(popen.pid)

    popen.send_signal(number)
    popen.communicate(timeout=30)

    assert popen.returncode == code
    assert children
    assert [child for child in children if is_running(child)] == []
    assert list(cli.folder.rglob("part-*")) == []
    left = {path.name for path in (cli.folder / "out/_pymr").rglob("*") if path.is_file()}
    assert left <= {"journal", "events.jsonl", "CLAIM"}
    assert cli.run("show", "out").stdout.split()[2] == "interrupted"
    assert cli.run("jobs").stdout.split()[1] == "interrupted"


def test_f97_task_processes_die_with_a_runner_that_is_killed(start_endless, tmp_path):
    """After kill -9 of the CLI the kernel ends its children; a new run takes the claim over."""
    cli = CommandLine(tmp_path)
    popen = start_endless(cli)
    children = children_of(popen.pid)

    popen.kill()
    popen.communicate(timeout=30)

    assert children
    for child in children:
        wait_for_end(child)
    assert cli.run("show", "out").stdout.split()[2] == "died"
    cli.write("in.txt", TEXT)
    assert cli.start("--input=in.txt").succeeded() == COUNTS


def test_a_run_that_goes_on_is_told_by_those_who_want_its_result(start_endless, tmp_path):
    """And how to wait for it."""
    cli = CommandLine(tmp_path)
    start_endless(cli, "--name=long")

    cli.run("head", "long").refused(4, "its state is running", "hint: pymr attach long")


@pytest.mark.parametrize("command", [("logs", "--follow"), ("status", "--watch")])
def test_ctrl_c_of_a_command_that_looks_on_leaves_the_run(command, start_endless, tmp_path):
    """It ends with 130, as any command that was stopped before its end."""
    cli = CommandLine(tmp_path)
    prints = ENDLESS.replace("    while True", '    print("printed", flush=True)\n    while True')
    run = start_endless(cli, "--name=long", worker=prints)

    with subprocess.Popen(
        [*ALL_SIGNALS, PYMR, *command, "long"],
        cwd=cli.folder,
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as looking:
        assert looking.stdout.readline()
        looking.send_signal(signal.SIGINT)
        looking.communicate(timeout=30)

    assert looking.returncode == 130
    assert run.poll() is None


def test_f98_an_output_is_claimed_by_one_run_at_a_time(start_endless, tmp_path):
    """A second start into the same output is refused, and says who holds it."""
    cli = CommandLine(tmp_path)
    popen = start_endless(cli, "--name=first")

    outcome = cli.run("start", "--input=in.txt", "--output=out", "worker.py")

    said = outcome.refused(4, "is claimed by run", f"pid {popen.pid}", "hint: pymr attach ")
    assert "running" in cli.run("jobs").stdout
    assert re.search(r"started \d+ s ago", said)


def test_f99_overwrite_replaces_a_result_and_its_extra_parts(tmp_path):
    """A result stays as it is without --overwrite, and is wholly replaced with it."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    assert cli.start("--input=in.txt", "--reducers=3").code == 0

    refused = cli.start("--input=in.txt")
    replaced = cli.start("--input=in.txt", "--overwrite", "--reducers=2")

    assert refused.code == 4
    assert "--overwrite" in refused.stderr
    assert sorted(replaced.succeeded()) == COUNTS
    assert sorted(p.name for p in (cli.folder / "out").glob("part-*")) == [
        "part-00000.tsv",
        "part-00001.tsv",
    ]
    assert cli.run("verify", "out").code == 0


def test_f101_a_failed_overwrite_leaves_the_old_result(tmp_path):
    """A run that fails changes nothing that a reader sees."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    assert cli.start("--input=in.txt").code == 0

    failed = cli.start(
        "--input=in.txt",
        "--overwrite",
        worker="import pymr\njob = pymr.Job(mapper=lambda ctx, chunk: 1 / 0)\n",
    )

    assert failed.code == 1
    assert cli.run("cat", "out").stdout.splitlines() == COUNTS
    assert cli.run("verify", "out").code == 0


def test_a_small_job_costs_at_most_eight_fsyncs_and_one_for_each_new_folder(tmp_path):
    """Durability is paid for once: one map, one reduce task, the journal, the manifest, the parts.

    The folders are the output, `_pymr` and that of the run.
    """
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    cli.write(
        "site/sitecustomize.py",
        "import os\n"
        "real = os.fsync\n"
        "def fsync(fd):\n"
        f"    with open({str(tmp_path / 'fsyncs')!r}, 'a') as log:\n"
        "        log.write(os.readlink(f'/proc/self/fd/{fd}') + '\\n')\n"
        "    return real(fd)\n"
        "os.fsync = fsync\n",
    )

    outcome = cli.start("--input=in.txt", environ={"PYTHONPATH": str(cli.folder / "site")})

    assert outcome.succeeded() == COUNTS
    synced = (tmp_path / "fsyncs").read_text().splitlines()
    assert 1 <= len(synced) <= 8 + 3, synced


def test_the_log_has_the_three_lines_in_order(tmp_path):
    """The seed's three lines stand on stderr in their order; --quiet prints none."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "one two one\nthree two one\n")

    loud = cli.start("--input=in.txt", "--workers=2", "--mappers=2", "--reducers=2")
    quiet = cli.start("--input=in.txt", "--overwrite", "--quiet")

    rows = loud.succeeded()
    assert sorted(rows) == ["one\t3", "three\t1", "two\t2"]
    lines = ["All workers connected", "All map tasks completed!", "Map reduce completed"]
    assert [line for line in loud.stderr.splitlines() if line in lines] == lines
    assert (quiet.code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_json_puts_one_event_a_line_on_stdout(tmp_path):
    """Under --json stdout is events only, numbered, from the plan to the end."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", TEXT)
    worker = "import pymr\nprint('hello')\njob = pymr.Job(mapper=lambda ctx, chunk: print(ctx))\n"

    outcome = cli.start("--input=in.txt", "--json", worker=worker)

    assert outcome.code == 0, outcome.stderr
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["v"] for event in events} == {1}
    assert [events[0]["kind"], events[-1]["kind"]] == ["RunPlanned", "RunFinished"]
    assert "hello" not in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [(["--reducers=0"], 2, "ConfigError"), (["--input=nowhere"], 3, "InputError")],
)
def test_a_refusal_under_json_is_one_event(arguments, code, kind, tmp_path):
    """Who reads events learns of a refusal in the same schema as of any other end."""
    cli = CommandLine(tmp_path)

    outcome = cli.start("--json", *arguments)

    assert outcome.code == code
    (event,) = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert (event["kind"], event["seq"], event["v"]) == ("RunFinished", 1, 1)
    assert event["error"]["type"] == kind
