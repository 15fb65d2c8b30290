"""Workers that die or stand still: others do their tasks, and the bytes are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import WORKER, prepare, processes_of, start, undisturbed

KILL_ALL = """\
import os, signal
runner = os.getppid()
with open(f"/proc/{runner}/task/{runner}/children") as file:
    others = [int(pid) for pid in file.read().split() if int(pid) != os.getpid()]
for pid in [*others, os.getpid()]:
    os.kill(pid, signal.SIGKILL)
"""
STAND_STILL = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    made = CommandLine(tmp_path)
    prepare(made, WORKER)
    return made


@pytest.mark.parametrize("at", ["line17", "key-1"])
def test_f7_workers_that_are_killed_together_are_replaced(
    cli: CommandLine, tmp_path: Path, at: str
) -> None:
    """What was committed stays; what they had in hand is done by others."""
    cli.write(f"at-{at}", "do")
    cli.write("then.py", KILL_ALL)

    outcome = start(cli, "--workers=2")

    assert outcome.succeeded("tried again") == undisturbed(tmp_path)
    assert processes_of(cli) == []


def test_f9_f17_a_worker_that_stands_still_is_overtaken(cli: CommandLine, tmp_path: Path) -> None:
    """A backup attempt wins; the worker that was stopped is ended, and leaves nothing."""
    cli.write("at-line25", "do")
    cli.write("then.py", STAND_STILL)

    outcome = start(cli, "--workers=2")

    assert outcome.succeeded() == undisturbed(tmp_path)
    history = [json.loads(line) for line in cli.run("show", "out", "--json").stdout.splitlines()]
    backups = [e for e in history if e["kind"] == "AttemptStarted" and e["backup"]]
    assert [entry["attempt"]["task"] for entry in backups] == [3]
    won = [e["receipt"]["attempt"] for e in history if e["kind"] == "TaskCommitted"]
    assert {"phase": "map", "task": 3, "number": 2} in won
    assert processes_of(cli) == []
