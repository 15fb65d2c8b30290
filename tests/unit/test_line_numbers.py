"""Line numbers of many places of one input, which is read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymr.core.spec import InputFile, Limits, TextRules
from pymr.records.discover import DiscoverRules, discover
from pymr.records.split_reader import LINE_NUMBER_BYTES_MAX, LineNumbers, line_number


def file_of(path: Path, content: bytes) -> InputFile:
    path.write_bytes(content)
    [file] = discover([str(path)], DiscoverRules()).files
    return file


def test_ascending_places_have_the_numbers_that_each_has_alone(tmp_path: Path) -> None:
    """At the ends of the blocks that are read, within them, and twice the same."""
    block = Limits().read_bytes
    content = b"".join(b"%d\n" % n for n in range(block // 2))
    file = file_of(tmp_path / "in.txt", content)
    near = [at + n for at in (0, block, 2 * block) for n in range(-2, 3)]
    offsets = sorted([*(at for at in near if at >= 0), 7, 7, 100_000, 100_001, len(content) - 1])

    with LineNumbers(file, TextRules()) as numbers:
        told = [numbers.at(offset) for offset in offsets]

    assert told == [content.count(b"\n", 0, offset) + 1 for offset in offsets]
    assert told == [line_number(file, offset) for offset in offsets]


@pytest.mark.parametrize(("offset", "number"), [(4, 3), (9, 3)], ids=["end", "beyond"])
def test_the_end_is_a_place_too(tmp_path: Path, offset: int, number: int) -> None:
    """A place behind the last newline is in the line that begins there."""
    with LineNumbers(file_of(tmp_path / "in.txt", b"a\nb\n"), TextRules()) as numbers:
        assert numbers.at(offset) == number
        assert numbers.at(offset) == number


def test_a_place_too_far_from_the_front_has_no_number(tmp_path: Path) -> None:
    """Nobody waits for it; a nearer one still has its own."""
    with LineNumbers(file_of(tmp_path / "in.txt", b"a\nb\n"), TextRules()) as numbers:
        assert numbers.at(2) == 2
        assert numbers.at(LINE_NUMBER_BYTES_MAX + 1) is None
