"""Signals: once in good order, twice at once; what is finished is kept, and nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli import PYMR, CommandLine
from pymr.failpoint import VARIABLE
from stopped_run import SETTINGS, objects, prepare, processes_of, start, stopped, undisturbed

# In the task process that comes to the place: it signals the runner, and leaves it the time.
SIGNAL = "import os, signal\nos.kill(os.getppid(), signal.{name})\n"
WAIT = "signal.pause()\n"  # until it is ended
# A process of the user's own, which would outlive its parent.
LEAVE_A_CHILD = "import subprocess\nsubprocess.Popen(['tail', '-f', '/dev/null'])\n"
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def popen(cli: CommandLine) -> Iterator[object]:
    """Start commands with all signals as they are by default; what is left of them is killed."""
    with ExitStack() as running:

        def call(*command: str | Path, **environ: str) -> subprocess.Popen[str]:
            process = running.enter_context(
                subprocess.Popen(
                    ["env", "--default-signal", PYMR, *command],
                    cwd=cli.folder,
                    env={**cli.environ, **environ},
                    stdin=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            running.callback(process.kill)
            return process

        yield call


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    ("at", "kept"),
    [
        ("line01", "0 of 4 map tasks finished"),
        ("line17", "2 of 4 map tasks are finished and kept"),
        ("key-1", "4 of 4 map tasks are finished and kept"),
    ],
)
def test_f92_f94_f95_a_signal_stops_the_run_in_good_order(
    cli: CommandLine, tmp_path: Path, at: str, kept: str, name: str
) -> None:
    """The code of the signal, what is kept, how to go on; and then it goes on."""
    cli.write("then.py", LEAVE_A_CHILD + SIGNAL.format(name=name) + WAIT)

    outcome = stopped(cli, at, "do")

    by = "interrupted by Ctrl-C" if name == "SIGINT" else f"terminated by {name}"
    said = outcome.refused(CODES[name], f"✗ words: {by}", kept, "hint: pymr resume words")
    assert len(said.splitlines()) <= 6
    assert processes_of(cli) == []
    left = ["events.jsonl", "journal"]
    left += [f"map-0000{n}-1" for n in range(int(kept[0]))]
    assert objects(cli) == left
    assert cli.run("show", "out").stdout.split()[2] == "interrupted"
    assert cli.run("resume", "words").succeeded() == undisturbed(tmp_path)


def test_f93_a_second_signal_stops_it_at_once(cli: CommandLine, popen) -> None:
    """It was tidying, which could take long; what it leaves goes with the next resume. It says so."""
    prepare(cli)
    cli.write("at-line17", "do")
    cli.write("then.py", SIGNAL.format(name="SIGINT") + WAIT)
    settings = ("--input=in.txt", "--output=out", "--workers=1", *SETTINGS)
    armed = {VARIABLE: f"run.tidy stop 1 {cli.folder / 'token'}"}
    process = popen("start", *settings, "worker.py", **armed)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)

    process.send_signal(signal.SIGINT)  # It will find it when it goes on.
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    told = "✗ words: ended at once; what is finished is kept\n  hint: pymr resume words\n"
    assert said.endswith(f"fail-point run.tidy stop\n{told}"), said
    assert processes_of(cli) == []
    assert cli.run("resume", "words").succeeded("2 of 4 map tasks")
    assert [name for name in objects(cli) if ".tmp" in name] == []


@pytest.mark.parametrize("name", CODES)
def test_a_signal_before_the_run_begins_leaves_nothing(cli: CommandLine, popen, name: str) -> None:
    """It waits for standard input, which may never end; the copy goes, too."""
    told = "import os\nopen(f'/proc/{os.getppid()}/fd/2', 'w').write('loaded\\n')\n"
    prepare(cli, worker=told + WAITING)
    process = popen("start", "--input=-", "--output=out", "worker.py")
    assert any(line == "loaded\n" for line in process.stderr)

    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=30)

    assert process.returncode == CODES[name]
    assert "Traceback" not in said
    assert processes_of(cli) == []
    assert not (cli.folder / "out").exists()
    assert list(cli.temporary.iterdir()) == []


def test_f95_a_signal_that_is_ignored_stops_nothing(cli: CommandLine, tmp_path: Path) -> None:
    """`nohup pymr start …`: the terminal is closed, and the run goes on."""
    prepare(cli)
    cli.write("at-line17", "do")
    cli.write("then.py", SIGNAL.format(name="SIGHUP"))
    arguments = " ".join(["--input=in.txt --output=out --workers=1", *SETTINGS, "worker.py"])

    outcome = cli.shell(f"env --ignore-signal=HUP '{PYMR}' start {arguments}")

    assert outcome.succeeded() == undisturbed(tmp_path)


def test_a_signal_after_the_result_is_committed_comes_too_late(
    cli: CommandLine, popen, tmp_path: Path
) -> None:
    """It is put off while the parts are shown; then the run is done."""
    prepare(cli)
    settings = ("--input=in.txt", "--output=out", "--workers=1", *SETTINGS)
    armed = {VARIABLE: f"publish.part stop 1 {cli.folder / 'token'}"}
    process = popen("start", *settings, "worker.py", **armed)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)

    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert cli.run("cat", "out").stdout.splitlines() == undisturbed(tmp_path)
    assert cli.run("verify", "out").code == 0


def test_f97_a_runner_that_is_killed_takes_all_processes_with_it(cli: CommandLine) -> None:
    """Task processes, and what user code has started; the kernel sees to it."""
    cli.write("then.py", LEAVE_A_CHILD + SIGNAL.format(name="SIGKILL") + WAIT)

    assert stopped(cli, "line17", "do").code == -signal.SIGKILL

    for process in processes_of(cli):
        wait_for_end(int(process))
    assert processes_of(cli) == []


def test_f96_a_reader_that_has_seen_enough_is_no_failure(cli: CommandLine) -> None:
    """Of rows, and of events; the run is done all the same."""
    prepare(cli)
    start(cli).succeeded()

    for command in ("cat words", "show words --json", "jobs --json"):
        outcome = cli.shell(f"{{ '{PYMR}' {command}; echo $? > code; }} | head -n 1")
        assert (cli.folder / "code").read_text() == "0\n", outcome.stderr
        assert outcome.stderr == ""


def wait_for_end(pid: int) -> None:
    """Return when the process has ended; fail after 10 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(descriptor) as file:
        import select

        assert select.select([file], [], [], 10)[0], f"process {pid} still runs"


WAITING = "import pymr\njob = pymr.Job(mapper=lambda ctx, chunk: None)\n"
