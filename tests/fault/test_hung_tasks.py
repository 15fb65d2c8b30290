"""Tasks that make no progress: where they are is told, and they are ended."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import processes_of, run_folder

HEAD = """\
import itertools, threading
import pymr

def hang(how):
    while how == "loop":
        pass
    while how == "wait":
        threading.Event().wait()
    while how == "swallow":
        try:
            threading.Event().wait()
        except BaseException:
            pass
    if how == "give up":
        try:
            threading.Event().wait()
        except BaseException:
            return
    all(itertools.repeat(True))  # in C, which holds the interpreter

"""
HANGING = """\
def mapper(ctx, line):
    print("at", line)
    ctx.count("before")
    if line == "b":
        hang(ctx.params["how"])
    ctx.emit(line, 1)

"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A folder with an input of three lines."""
    command_line = CommandLine(tmp_path)
    command_line.write("in.txt", "a\nb\nc\n")
    return command_line


def job(form: str = "LINES") -> str:
    return f"{HEAD}{HANGING}job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.{form})\n"


@pytest.mark.parametrize("how", ["loop", "wait"])
def test_f72_an_endless_loop_is_interrupted_where_it_is(cli: CommandLine, how: str) -> None:
    """With its record and frames; the second one of the task ends the run."""
    outcome = cli.start(
        "--input=in.txt", "--name=hung", "--task-timeout=1", f"--set=how={how}", worker=job()
    )

    assert outcome.code == 1, outcome.stderr
    first, _, said = outcome.stderr.partition("last printed, of what pymr logs hung shows:\n")
    assert "map-0000 failed: mapper made no progress within 1 s, which is --task-tim" in first
    assert "lost" not in first
    assert said.startswith("  at a\n  at b\n✗ hung failed: mapper made no progress within 1 s")
    for part in (
        " in mapper\n",
        ' │         hang(ctx.params["how"])\n',
        "in hang\n",
        'record  in.txt  line 2 (byte 2):  "b"',
        "hint: pymr debug hung map-0000 --trace",
    ):
        assert part in said
    assert len(said.splitlines()) <= 17
    events = [json.loads(line) for line in cli.run("show", "hung", "--json").stdout.splitlines()]
    assert [event["kind"] for event in events].count("AttemptFailed") == 2
    [log] = (run_folder(cli) / "logs").glob("map-00000-1.log")
    assert re.search(r'/worker.py", line \d+ in mapper', log.read_text()), (
        "the stack of each thread"
    )
    assert processes_of(cli) == []


@pytest.mark.parametrize("how", ["C", "swallow"])
def test_f73_a_hang_that_hears_nothing_is_killed(cli: CommandLine, how: str) -> None:
    """In a call into C that holds the interpreter, or in code that catches all; after 5 s."""
    outcome = cli.start(
        *("--input=in.txt", "--task-timeout=1", "--attempts=1", f"--set=how={how}"), worker=job()
    )

    assert outcome.code == 1, outcome.stderr
    for part in (
        "✗ here-",
        "failed: map-0000 made no progress within 1 s, which is --task-timeout\n",
        " in mapper\n",
        ' │         hang(ctx.params["how"])\n',
        "in hang\n",
        "  input  in.txt [0:6]\n",
        "  at a\n  at b\n",
    ):
        assert part in outcome.stderr
    assert processes_of(cli) == []


def test_f72_a_call_that_catches_the_interruption_does_not_count(cli: CommandLine) -> None:
    """The attempt says that it is finished; what the call left out nobody knows."""
    outcome = cli.start(
        "--input=in.txt",
        "--task-timeout=1",
        "--set=how=give up",
        worker=job("TEXT").replace('if line == "b"', 'if "b" in line'),
    )

    assert outcome.code == 1, outcome.stderr
    assert "made no progress within 1 s" in outcome.stderr
    assert list(cli.folder.rglob("part-*")) == []


def test_f72_what_takes_long_but_comes_forward_is_left_alone(cli: CommandLine) -> None:
    """Each call of mapper and reducer that ends is progress; together they take twice as long."""
    cli.write("in.txt", "".join(f"{n}\n" for n in range(12)))
    slow = (
        "def mapper(ctx, line):\n    threading.Event().wait(0.25)\n    ctx.emit(line, 1)\n\n"
        "def reducer(ctx, key, values):\n    threading.Event().wait(0.25)\n"
        "    ctx.emit(key, sum(values))\n\n"
    )

    outcome = cli.start(
        *("--input=in.txt", "--reducers=1", "--task-timeout=1.5"),
        worker=f"{HEAD}{slow}job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)\n",
    )

    assert len(outcome.succeeded()) == 12
    assert "tried again" not in outcome.stderr


def test_f72_a_sample_for_sort_that_hangs_ends_the_run_too(cli: CommandLine) -> None:
    """Its pieces are small: each counts as one call."""
    outcome = cli.start(
        *("--input=in.txt", "--sort", "--reducers=2", "--task-timeout=1", "--set=how=wait"),
        worker=job(),
    )

    assert outcome.code == 1, outcome.stderr
    for part in (
        "failed: mapper made no progress within 1 s, which is --task-timeout\n",
        "in hang\n",
        'record  in.txt  line 2 (byte 2):  "b"',
        "hint: if it only takes long: a longer --task-timeout",
    ):
        assert part in outcome.stderr
    [events] = (cli.folder / "out/_pymr").glob("*/events.jsonl")
    assert "sampling keys failed: mapper made no progress within 1 s" in events.read_text()
    assert processes_of(cli) == []


def test_f72_a_record_that_hangs_is_no_bad_record(cli: CommandLine) -> None:
    """It is not left out: nobody knows whether it hangs for itself, or for what came before."""
    cli.write("in.txt", "a\nx\nb\nc\n")
    worker = job().replace(
        'if line == "b"', "int(line, 32) if line == 'x' else 0\n    if line == 'b'"
    )

    outcome = cli.start(
        *("--input=in.txt", "--skip-bad-records=9", "--task-timeout=1", "--set=how=wait"),
        worker=worker,
    )

    assert outcome.code == 1, outcome.stderr
    assert "failed: mapper made no progress within 1 s" in outcome.stderr
    assert 'record  in.txt  line 3 (byte 4):  "b"' in outcome.stderr


def test_f72_a_hang_is_not_told_as_a_record_that_is_left_out(cli: CommandLine) -> None:
    """Leave for bad records changes nothing: the second hang of the task ends the run."""
    outcome = cli.start(
        *("--input=in.txt", "--skip-bad-records=9", "--task-timeout=1", "--set=how=loop"),
        worker=job(),
    )

    assert outcome.code == 1, outcome.stderr
    assert "map-0000 failed: mapper made no progress within 1 s" in outcome.stderr
    assert "left out" not in outcome.stderr
    assert outcome.stderr.count("made no progress") == 2
