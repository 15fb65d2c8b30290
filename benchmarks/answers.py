"""Answers of different sides, compared without holding them in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from contest import WrongAnswerError


class Answer(NamedTuple):
    """Rows in any order; two answers that differ are taken for equal once in 2**32."""

    rows: int
    crc_sum: int  # over the CRC-32 of each row


def answer_of(output: Path) -> Answer:
    """Return the answer in a file, or in the parts of a folder."""
    files = sorted(output.glob("part-*")) if output.is_dir() else [output]
    total = Answer(0, 0)
    for path in files:
        with path.open("rb") as rows:
            total = _add(total, answer_from(rows))
    return total


def answer_from(rows: Iterable[bytes]) -> Answer:
    """Return the answer that consists of `rows`."""
    count = crc_sum = 0
    for row in rows:
        count += 1
        crc_sum += crc32(row)
    return Answer(count, crc_sum)


def _add(one: Answer, other: Answer) -> Answer:
    return Answer(one.rows + other.rows, one.crc_sum + other.crc_sum)


def expect_equal(expected: Answer, **found: Answer) -> None:
    """Compare answers.

    Raises:
        WrongAnswerError: one of them differs.
    """
    for name, answer in found.items():
        if answer != expected:
            raise WrongAnswerError(f"{name}: {answer}, expected {expected}")
