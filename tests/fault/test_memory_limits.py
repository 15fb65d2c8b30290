"""Tasks that take more memory than they may: tried once more, alone, before the run fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import PYMR, CommandLine, Outcome
from private_mounts import cgroup, needs_mounts, run_mounted
from stopped_run import processes_of

# One word in the input is a large one: {happens} there, each time that the file `often` says.
WORKER = """\
import os, signal
import pymr

def mapper(ctx, line):
    if "large" in line and os.path.exists("often"):
        if open("often").read() == "once":
            os.remove("often")
        {happens}
    for word in line.split():
        ctx.emit(word, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
"""
# Holds so much until it is stopped; a minute is more than it takes.
HOLDS = "held = b'x' * (300 << 20); signal.alarm(60); signal.pause()"
ENDED_BY_THE_SYSTEM = """for name in ("", "memory/"):
            for file in ("memory.events", "memory.oom_control"):
                open("/sys/fs/cgroup/" + name + file, "w").write(f"oom_kill {os.getpid()}")
        os.kill(os.getpid(), signal.SIGKILL)"""
TEXT = "".join(f"line{n:02d} {'large' if n == 9 else 'small'}\n" for n in range(32))
COUNTS = [*(f"line{n:02d}\t1" for n in range(32)), "large\t1", "small\t31"]
ARGUMENTS = "start --input=in.txt --output=out --workers=2 --mappers=8 --reducers=1 --name=words"
MIB = 1 << 20


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def prepare(cli: CommandLine, happens: str, often: str) -> None:
    cli.write("in.txt", TEXT)
    cli.write("worker.py", WORKER.replace("{happens}", happens))
    cli.write("often", often)


def events(cli: CommandLine) -> list[dict]:
    return [json.loads(line) for line in cli.run("show", "out", "--json").stdout.splitlines()]


def assert_went_alone(cli: CommandLine, outcome: Outcome) -> str:
    """Assert that the job is done, and one map task was alone in the end; return its name."""
    assert sorted(outcome.succeeded("it is tried again alone")) == sorted(COUNTS)
    told = [e for e in events(cli) if e["kind"] in ("AttemptStarted", "TaskCommitted")]
    [index] = [n for n, event in enumerate(told) if event.get("alone")]
    task = told[index]["attempt"]
    maps = [e for e in told if (e.get("attempt") or e["receipt"]["attempt"])["phase"] == "map"]
    assert [e["kind"] for e in maps[-2:]] == ["AttemptStarted", "TaskCommitted"]
    assert maps[-1]["receipt"]["attempt"] == task
    committed = [e for e in maps[:-2] if e["kind"] == "TaskCommitted"]
    assert len(committed) == 7, "all others come first"
    assert processes_of(cli) == []
    return f"map-{task['task']:04d}"


def test_f12_a_task_over_its_memory_is_tried_again_alone(cli: CommandLine) -> None:
    """It is told what it used and had, and how it would not need to be alone."""
    prepare(cli, HOLDS, "once")

    outcome = cli.run(*ARGUMENTS.split(), "--memory=256M", "--task-memory=128M", "worker.py")

    task = assert_went_alone(cli, outcome)
    assert f"{task} used " in outcome.stderr
    assert "M, had 128M: it is tried again alone" in outcome.stderr
    assert "--task-memory " in outcome.stderr


@needs_mounts
def test_f12_a_task_over_its_memory_alone_fails_the_job(cli: CommandLine) -> None:
    """Exit 6 with need and have; with more memory the run goes on."""
    prepare(cli, HOLDS, "always")

    outcome = run_mounted(cli, cgroup(cli, 300 * MIB), f"exec '{cli.pymr}' {ARGUMENTS} worker.py")

    said = outcome.refused(6, "✗ words failed: map-0002 used ", "M, had 270M", "resume words")
    assert "hint: --task-memory 512M, or more memory for this machine" in said
    assert "7 of 8 map tasks are finished and kept" in said
    assert processes_of(cli) == []
    (cli.folder / "often").write_text("once")
    resumed = cli.run("resume", "words", "--task-memory=128M")
    assert sorted(resumed.succeeded()) == sorted(COUNTS)


def test_f12_a_memory_error_is_too_much_memory(cli: CommandLine) -> None:
    """What Python cannot have, it may have when nothing else runs."""
    prepare(cli, "held = bytes(1 << 60)", "once")

    outcome = cli.run(*ARGUMENTS.split(), "worker.py")

    task = assert_went_alone(cli, outcome)
    assert f"{task}: mapper raised MemoryError; it used " in outcome.stderr


def test_f12_a_memory_error_alone_fails_the_job_where_it_was_raised(cli: CommandLine) -> None:
    """With the user's line."""
    prepare(cli, "held = bytes(1 << 60)", "always")

    outcome = cli.run(*ARGUMENTS.split(), "worker.py")

    said = outcome.refused(
        6, "map-0002: mapper raised MemoryError; it used", "worker.py:8 in mapper"
    )
    assert "held = bytes(1 << 60)" in said


def test_f12_memory_that_the_shell_limits_is_told_as_that(cli: CommandLine) -> None:
    """No `--task-memory` would help."""
    prepare(cli, "held = bytes(1 << 60)", "always")

    outcome = cli.shell(f"ulimit -v 3000000; '{PYMR}' {ARGUMENTS} worker.py")

    said = outcome.refused(6, "mapper raised MemoryError; it used", ", had 2930M")
    assert "hint: ulimit -v unlimited, or more memory for this machine" in said


@needs_mounts
def test_f12_what_the_system_ends_for_want_of_memory_is_tried_alone(cli: CommandLine) -> None:
    """The kernel counts whom it ends."""
    prepare(cli, ENDED_BY_THE_SYSTEM, "once")

    outcome = run_mounted(cli, cgroup(cli, 2000 * MIB), f"exec '{cli.pymr}' {ARGUMENTS} worker.py")

    task = assert_went_alone(cli, outcome)
    assert f"{task} was ended by the system, which had no memory left; it used" in outcome.stderr


@needs_mounts
def test_f8_a_task_that_the_system_always_ends_for_want_of_memory_is_exit_6(
    cli: CommandLine,
) -> None:
    """Another `kill -9` is a lost process, four times."""
    prepare(cli, ENDED_BY_THE_SYSTEM, "always")

    outcome = run_mounted(cli, cgroup(cli, 2000 * MIB), f"exec '{cli.pymr}' {ARGUMENTS} worker.py")

    outcome.refused(6, "map-0002 was ended by the system, which had no memory left; it used")
