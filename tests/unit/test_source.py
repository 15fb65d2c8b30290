"""A file that changes while it is read is an error, not a mix: rows B22 to B24, B28, B35."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pymr.core.spec import InputFile, Limits, Split, TextRules
from pymr.errors import InputError
from pymr.records.discover import DiscoverRules, discover
from pymr.records.source import FileSource
from pymr.records.split_reader import SplitReader, open_split


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n" * 100)
    return path


@pytest.fixture
def file(path: Path) -> InputFile:
    return discover([str(path)], DiscoverRules()).files[0]


def open_whole(file: InputFile, read_bytes: int = 1 << 20) -> SplitReader:
    return open_split(
        file,
        Split(0, 0, file.size),
        input_format="text",
        rules=TextRules(),
        limits=Limits(read_bytes=read_bytes),
    )


def test_read_at_returns_exactly_the_bytes_asked_for(file):
    """Any offset, in any order."""
    with FileSource(file) as source:
        assert source.read_at(4, 4) == b"two\n"
        assert source.read_at(0, 3) == b"one"


def test_b22_a_file_that_has_grown_is_read_up_to_its_planned_size(path, file):
    """What was added is not read, and the receipt says that there is more."""
    with path.open("ab") as more:
        more.write(b"three\n")

    with open_whole(file) as reader:
        text = "".join(str(data) for _, data in reader)
        receipt = reader.receipt()

    assert text == "one\ntwo\n" * 100
    assert receipt.grown
    assert receipt.bytes == 800


def test_b22_a_file_that_grows_in_the_middle_of_a_line_ends_where_it_was_planned(tmp_path):
    """The last planned record is not continued with what came later."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\nbc")
    file = discover([str(path)], DiscoverRules()).files[0]
    with path.open("ab") as more:
        more.write(b"d\n")

    with open_whole(file) as reader:
        assert [data for _, data in reader] == ["a\n", "bc"]


def test_b23_a_file_that_is_shorter_when_opened_is_refused(path, file):
    """The error names the size seen and the size expected."""
    os.truncate(path, 10)

    with pytest.raises(InputError) as caught:
        FileSource(file)

    assert caught.value.exit_code == 3
    assert caught.value.message == (
        f"input changed: `{path}`: it has 10 bytes, expected 800 as when it was planned"
    )


def test_b23_a_file_that_is_truncated_while_read_is_refused(path, file):
    """A read that comes back short is noticed at once."""
    with open_whole(file, read_bytes=50) as reader:
        calls = iter(reader)
        next(calls)
        os.truncate(path, 60)

        with pytest.raises(InputError, match=r"input changed: .* it ends at byte 60, expected 800"):
            list(calls)


def test_b23_a_file_written_to_while_read_is_refused_at_its_end(path, file):
    """The same size with other bytes is found out by the time of change."""
    with open_whole(file) as reader:
        list(reader)
        path.write_bytes(b"x" * 800)
        os.utime(path, ns=(1, 1))

        with pytest.raises(InputError, match=r"input changed: .* it was written to") as caught:
            reader.receipt()

    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}"
    assert re.fullmatch(
        rf"it was written to \(time of change {time}\)", caught.value.fields["seen"]
    )
    assert re.fullmatch(rf"{time} as when it was planned", caught.value.fields["expected"])


def test_b24_a_file_that_was_replaced_is_refused(path, file):
    """Another file under the same name has another inode, whatever its size."""
    other = path.with_name("other")
    other.write_bytes(b"x" * 900)
    other.replace(path)

    with pytest.raises(InputError, match=r"input changed: .* it was replaced \(inode \d+\)"):
        open_whole(file)


def test_b35_holes_of_a_sparse_file_are_zeros(tmp_path):
    """A hole reads as NUL bytes, which are data."""
    path = tmp_path / "sparse"
    with path.open("wb") as sparse:
        sparse.seek(5)
        sparse.write(b"\n")
    file = discover([str(path)], DiscoverRules()).files[0]

    with open_whole(file) as reader:
        assert [data for _, data in reader] == ["\0\0\0\0\0\n"]


def test_a_directory_in_the_place_of_the_file_is_an_input_error(path, file):
    """A directory can have the size and even the inode of the file before it."""
    path.unlink()
    path.mkdir()

    with pytest.raises(InputError, match=r"input changed: .* it is not a regular file"):
        open_whole(file)


def test_a_file_that_is_gone_is_an_input_error(path, file):
    """The error says so before anything is read."""
    path.unlink()

    with pytest.raises(InputError, match=r"input changed: .* it is gone"):
        open_whole(file)
