"""Committed outputs that are gone or damaged: they are written again, and must be the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import (
    MAP_ONLY,
    WORKER,
    calls,
    manifest,
    run_folder,
    stopped,
    undisturbed,
)

# Emits something else each time.
UNSTABLE = WORKER.replace("ctx.emit(word, 1)", "ctx.emit(word, os.getpid())")


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def output_of(cli: CommandLine, task: str) -> Path:
    [path] = run_folder(cli).glob(f"{task}-*")
    return path


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file, which may be read-only."""
    body = bytearray(path.read_bytes())
    body[offset] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)


def events(cli: CommandLine, kind: str) -> list[dict]:
    lines = cli.run("show", "out", "--json").stdout.splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


@pytest.mark.parametrize("fault", ["gone", "cut", "footer"])
@pytest.mark.parametrize("at", ["line25", "key-0"])
def test_f53_a_map_output_that_is_lost_is_written_again_on_resume(
    cli: CommandLine, tmp_path: Path, at: str, fault: str
) -> None:
    """The others are kept; it is told which, and why."""
    stopped(cli, at)
    calls(cli, "map")
    path = output_of(cli, "map-00001")
    if fault == "gone":
        path.unlink()
    elif fault == "cut":
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1])
    else:
        flip(path, -20)

    outcome = cli.run("resume", "words")

    assert outcome.succeeded("map-0001 is run again: ") == undisturbed(tmp_path)
    done = 3 if at == "line25" else 4
    assert f"words goes on: {done - 1} of 4 map tasks" in outcome.stderr
    assert len(calls(cli, "map")) == 8 * (4 - done + 1)
    [event] = events(cli, "TaskInvalidated")
    assert event["receipt"]["attempt"]["task"] == 1
    assert cli.run("verify", "out").code == 0


def test_a_reduce_task_stays_while_a_map_output_it_has_read_is_written_again(
    cli: CommandLine, tmp_path: Path
) -> None:
    """What is written is the same, so what was read is right."""
    stopped(cli, "key-line31")
    kept = sorted(path.name for path in run_folder(cli).glob("reduce-*-1-*"))
    output_of(cli, "map-00002").unlink()

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == undisturbed(tmp_path)
    assert kept, "the test needs one"
    attempts = {task["task"]: task["attempt"] for task in manifest(cli)["tasks"]}
    assert attempts["map-0002"] == 1001
    assert [attempts[name] for name in attempts if name.startswith("reduce")].count(1) == len(kept)


@pytest.mark.parametrize("fault", ["gone", "flipped"])
def test_a_part_that_is_lost_is_written_again_on_resume(
    cli: CommandLine, tmp_path: Path, fault: str
) -> None:
    """Of a map-only run; each byte of a part that is kept is compared."""
    stopped(cli, "line25", worker=MAP_ONLY)
    path = output_of(cli, "map-00000")
    path.unlink() if fault == "gone" else flip(path, 3)

    outcome = cli.run("resume", "words")

    assert outcome.succeeded("map-0000 is run again: ") == undisturbed(tmp_path, MAP_ONLY)


def test_f44_a_block_that_is_damaged_costs_a_run_of_that_map_task(
    cli: CommandLine, tmp_path: Path
) -> None:
    """Its reader finds it, in the same process or a later one; no reduce task is done twice."""
    stopped(cli, "line31")
    flip(output_of(cli, "map-00000"), 14)

    outcome = cli.run("resume", "words")

    assert outcome.succeeded("map-0000 is run again: sorted run") == undisturbed(tmp_path)
    assert "2 attempts tried again" in outcome.stderr
    tasks = [entry["receipt"]["attempt"] for entry in events(cli, "TaskCommitted")]
    assert tasks.count({"phase": "map", "task": 0, "number": 1}) == 1
    assert tasks.count({"phase": "map", "task": 0, "number": 1001}) == 1
    assert len(tasks) == 4 + 2 + 1


def test_f44_damage_to_every_map_output_costs_a_run_of_each(
    cli: CommandLine, tmp_path: Path
) -> None:
    """A reduce task that meets them one after the other has not failed by that."""
    stopped(cli, "line31")
    kept = sorted(run_folder(cli).glob("map-*"))
    assert len(kept) == 3
    for path in kept:
        flip(path, 14)

    outcome = cli.run("resume", "words")

    assert outcome.succeeded("map-0002 is run again: sorted run") == undisturbed(tmp_path)


@pytest.mark.parametrize("fault", ["os.unlink(path)", "flip(path)"])
def test_f46_a_map_output_that_is_lost_under_a_run_is_written_again_at_once(
    cli: CommandLine, tmp_path: Path, fault: str
) -> None:
    """No resume is needed; the job ends as if nothing had happened."""
    cli.write(
        "then.py",
        "import glob, os\n"
        "def flip(path):\n"
        "    body = bytearray(open(path, 'rb').read())\n"
        "    body[:200] = bytes(byte ^ 1 for byte in body[:200])\n"
        "    os.chmod(path, 0o644)\n"
        "    open(path, 'wb').write(body)\n"
        "[path] = glob.glob('out/_pymr/*/map-00002-1-*')\n"
        f"{fault}\n",
    )

    outcome = stopped(cli, "key-1", "do")  # the first key of the first part

    assert outcome.succeeded("map-0002 is run again: ") == undisturbed(tmp_path)
    assert cli.run("verify", "out").code == 0


def test_f80_a_mapper_that_is_not_deterministic_is_found_out(cli: CommandLine) -> None:
    """Exit 7, in plain words; nothing is published."""
    stopped(cli, "key-0", worker=UNSTABLE)
    output_of(cli, "map-00001").unlink()

    said = cli.run("resume", "words").refused(
        7, "the mapper is not deterministic: `map-0001` was run again", "random numbers"
    )

    assert "pymr resume words" in said


def test_a_resume_that_was_stopped_too_remembers_what_was_written(cli: CommandLine) -> None:
    """The output was lost for the first resume; the second one does the map task."""
    stopped(cli, "key-0", worker=UNSTABLE)
    output_of(cli, "map-00001").unlink()
    cli.write("at-line09", "kill-runner")
    assert cli.run("resume", "words").code < 0

    cli.run("resume", "words").refused(7, "the mapper is not deterministic: `map-0001`")


def test_other_code_may_write_something_else_as_long_as_nobody_has_read(
    cli: CommandLine, tmp_path: Path
) -> None:
    """The run was fixed, and an output of before is lost: there is nothing to compare."""
    stopped(cli, "line25", worker=WORKER.replace("emit(word, 1)", "emit(word, 2)"))
    for task in range(3):
        output_of(cli, f"map-0000{task}").unlink()
    cli.write("worker.py", WORKER)

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == undisturbed(tmp_path)
