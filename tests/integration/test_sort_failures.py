"""`--sort` that cannot be, and what goes wrong while keys are sampled: as in any other run."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import pymr
from cli import CommandLine
from pymr.core.events import Warned
from pymr.errors import ConfigError, TaskLostError, TimeoutReachedError, UserCodeError
from pymr.names import events_key
from pymr.observe.feed import read_entries


def words(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)


def numbers(ctx, line):
    ctx.emit(int(line), 1)


def added(ctx, key, values):
    ctx.emit(key, sum(values))


def write(path: Path, lines: Any) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def parts_of(result: pymr.Result) -> list[bytes]:
    folder = Path(result.output)
    return [(folder / part.name).read_bytes() for part in result.manifest.parts]


def warnings_in(result: pymr.Result) -> list[str]:
    """Return what was warned of while it ran."""
    path = Path(result.output) / events_key(result.manifest.run)
    events = [entry.event for entry in read_entries(path.read_bytes().splitlines())]
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (pymr.Job(mapper=words), "the job has none (reducer=None)"),
        (
            pymr.Job(mapper=words, reducer=added, partitioner=lambda _key, _count: 0),
            "and so does the job's partitioner",
        ),
    ],
)
def test_what_has_its_own_parts_is_not_sorted(job: pymr.Job, message: str, tmp_path: Path) -> None:
    """Exit 2, before anything is written."""
    path = write(tmp_path / "in.txt", ["b", "a"])

    with pytest.raises(ConfigError, match="--sort") as caught:
        pymr.run(job, input=path, output=tmp_path / "out", sort=True)

    assert message in caught.value.message
    assert not (tmp_path / "out").exists()


def once(path: str) -> bool:
    """Say whether this is the first call with `path`: a token file is the memory."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@pytest.mark.parametrize("end", ["killed", "raises"])
def test_what_fails_once_is_tried_again(end: str, tmp_path: Path) -> None:
    """A lost process is replaced; the result is as if nothing had been."""
    path = write(tmp_path / "in.txt", range(5000))

    def mapper(ctx: Any, line: str) -> None:
        if line == "7" and once(ctx.params["token"]):
            if end == "raises":
                raise OSError("no answer")
            os.kill(os.getpid(), signal.SIGKILL)
        numbers(ctx, line)

    def run(output: str, token: str) -> pymr.Result:
        return pymr.run(
            pymr.Job(mapper=mapper, reducer=added, input=pymr.LINES),
            input=path,
            output=tmp_path / output,
            params={"token": str(tmp_path / token)},
            sort=True,
            reducers=4,
            workers=2,
        )

    disturbed, undisturbed = run("out", "token"), run("again", "token")

    assert parts_of(disturbed) == parts_of(undisturbed)
    (warned,) = warnings_in(disturbed)
    assert warned.startswith("sampling keys failed: ")
    assert warned.endswith("; tried again")
    assert ("SIGKILL" if end == "killed" else "OSError: no answer") in warned


UNREADY = """
import os, signal
from pathlib import Path
import pymr

if not os.path.exists("first"):
    Path("first").touch()
elif not os.path.exists("killed"):
    signal.pause()  # Never loaded: it is killed here, or before.

def mapper(ctx, line):
    if not os.path.exists("killed"):
        Path("killed").touch()
        parent = os.getppid()
        family = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for other in family:
            if int(other) != os.getpid():
                os.kill(int(other), signal.SIGKILL)
    ctx.emit(line, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
"""


def test_a_process_that_is_lost_before_it_has_work_is_replaced(tmp_path: Path) -> None:
    """Whoever ends it: here the mapper of another one, which was loaded before."""
    cli = CommandLine(tmp_path)
    inputs = [f"--input={write(tmp_path / f'{name}.txt', [name])}" for name in "abcd"]

    outcome = cli.start(*inputs, "--sort", "--reducers=2", "--workers=4", worker=UNREADY)

    assert outcome.succeeded() == ["a\t1", "b\t1", "c\t1", "d\t1"]


def test_f1_a_process_may_be_lost_as_often_as_that_of_a_map_task(tmp_path: Path) -> None:
    """Three kills are chance, wherever they hit; a fourth would be the mapper's doing."""
    path = write(tmp_path / "in.txt", ["7"])
    tokens = [str(tmp_path / f"token-{number}") for number in range(3)]

    def mapper(ctx: Any, line: str) -> None:
        if any(once(token) for token in tokens):
            os.kill(os.getpid(), signal.SIGKILL)
        numbers(ctx, line)

    result = pymr.run(
        pymr.Job(mapper=mapper, reducer=added, input=pymr.LINES),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=2,
    )

    assert list(result) == [(7, 1)]
    assert len([text for text in warnings_in(result) if "SIGKILL" in text]) == 3


def test_an_error_of_the_mapper_ends_the_run_with_its_record(tmp_path: Path) -> None:
    """The second time it is raised, before any map task."""
    path = write(tmp_path / "in.txt", ["1", "2", "x", "4"])

    with pytest.raises(UserCodeError, match="mapper raised ValueError") as caught:
        pymr.run(
            pymr.Job(mapper=numbers, reducer=added, input=pymr.LINES),
            input=path,
            output=tmp_path / "out",
            sort=True,
            reducers=2,
        )

    assert (caught.value.fields["line"], caught.value.fields["record"]) == (3, "x")
    assert list((tmp_path / "out").glob("part-*")) == []


def test_a_mapper_that_ends_its_process_each_time_ends_the_run(tmp_path: Path) -> None:
    """Not without end."""
    path = write(tmp_path / "in.txt", ["1"])

    with pytest.raises(TaskLostError, match="exit code 3 while keys were sampled") as caught:
        pymr.run(
            pymr.Job(mapper=lambda _ctx, _chunk: os._exit(3), reducer=added),
            input=path,
            output=tmp_path / "out",
            sort=True,
            reducers=2,
        )

    assert str(caught.value.hint).startswith("leave --sort out: ")


def test_the_time_limit_holds_while_keys_are_sampled(tmp_path: Path) -> None:
    """A mapper that does not return keeps nobody waiting."""
    path = write(tmp_path / "in.txt", ["1"])

    def mapper(_ctx: Any, _chunk: str) -> None:
        signal.pause()

    with pytest.raises(TimeoutReachedError, match="while it sampled keys"):
        pymr.run(
            pymr.Job(mapper=mapper, reducer=added),
            input=path,
            output=tmp_path / "out",
            sort=True,
            reducers=2,
            timeout=2,
        )
