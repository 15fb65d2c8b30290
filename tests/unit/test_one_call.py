"""A call of the mapper is read again by the offset that an error has named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from input_samples import find
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import InputFile, JobSpec, Shape, TextRules
from pymr.errors import InputError
from pymr.records.one_call import first_call, read_call, read_line
from pymr.records.split_reader import open_split


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spec(input_format: str, **rules: str) -> JobSpec:
    shape = Shape(input_format=input_format, reducer=None, combiner=None, digest="d")
    return JobSpec(run="r", name="n", worker="w", shape=shape, reducers=0, text=TextRules(**rules))


def write(data: bytes) -> InputFile:
    Path("in.txt").write_bytes(data)
    (file,) = find("in.txt").files
    return file


def all_calls(file: InputFile, of: JobSpec) -> list[tuple[int, str | bytes]]:
    """Return the calls of a run: of all splits, in order."""
    calls = []
    for task in plan_map_tasks([file], 3):
        for split in task.splits:
            with open_split(
                file,
                split,
                input_format=of.shape.input_format,
                rules=of.text,
                limits=of.limits,
            ) as reader:
                calls += list(reader)
    return calls


LINES = "".join(f"line {number} é\n" * (number % 3) for number in range(400)).encode()


@pytest.mark.parametrize("data", [LINES, gzip.compress(LINES, mtime=0)], ids=["plain", "gzip"])
@pytest.mark.parametrize("input_format", ["text", "lines"])
def test_every_call_of_a_run_is_found_by_its_offset(data: bytes, input_format: str) -> None:
    """Also by an offset within it; what lies behind a cell's start is no other call."""
    file, of = write(data), spec(input_format)

    for offset, text in all_calls(file, of):
        assert read_call(file, offset, of) == (offset, text)
        assert read_call(file, offset + 3, of) == (offset, text)


def test_a_whole_file_is_one_call() -> None:
    """Whatever the offset."""
    file = write(b"\xff\x00data")

    assert read_call(file, 0, spec("whole")) == (0, b"\xff\x00data")


def test_a_line_of_a_chunk_is_found_by_its_first_byte_only() -> None:
    """It comes with its end, as the mapper was fed it."""
    file, of = write(LINES), spec("text")
    offset = LINES.index(b"line 200")

    assert read_line(file, offset, of) == (offset, "line 200 é\n")
    with pytest.raises(InputError, match=f"has no line that begins at byte {offset + 1}"):
        read_line(file, offset + 1, of)


def test_a_byte_that_is_in_no_call_is_an_error() -> None:
    """A line that is left out is in none, nor is what lies before a BOM's end."""
    file = write(b"\xff\n" + b"good\n")

    with pytest.raises(InputError, match="has no record at byte 0"):
        read_call(file, 0, spec("lines", errors="skip"))
    assert read_call(file, 2, spec("lines", errors="skip")) == (2, "good")


def test_the_first_call_of_a_task_is_that_of_its_first_split_with_one() -> None:
    """A split in which no line begins has none, as has a file of one long line behind it."""
    file, of = write(b"a" * 300 + b"\nb\n"), spec("lines")
    tasks = plan_map_tasks([file], 8)

    first = [first_call({0: file}, task.splits, of) for task in tasks]

    assert first[0] == (file, (0, "a" * 300))
    assert first[-1] is None or first[-1][1] == (301, "b")
    assert None in first
