"""Objects with numbers for names, read and counted without a listing."""

from __future__ import annotations

from itertools import islice

import pytest
from obstore.store import MemoryStore

from pymr.store.numbered import ASKED_MAX, Numbered
from pymr.store.object_store import ObstoreStore


class CountingStore(ObstoreStore):
    """Counts what it is asked for."""

    asked = 0

    def get(self, key: str) -> bytes:
        """Count, and return the whole object."""
        self.asked += 1
        return super().get(key)

    def size(self, key: str) -> int:
        """Count, and return the size."""
        self.asked += 1
        return super().size(key)


def numbered(count: int) -> Numbered:
    found = Numbered(CountingStore(MemoryStore()), "folder/{:08d}".format)
    for number in range(count):
        found.put(number, b"%d" % number)
    return found


@pytest.mark.parametrize("count", [*range(20), 63, 64, 65, 200])
def test_the_end_is_found_with_few_questions(count: int) -> None:
    """Twice the number of its binary digits, not one for each object."""
    found = numbered(count)

    assert found.end() == count
    assert found.objects.asked <= 2 * count.bit_length() + 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [*range(6), ASKED_MAX * 2 - 1, ASKED_MAX * 3])
def test_all_are_read_in_order_up_to_the_first_that_is_missing(count: int) -> None:
    """From any number on; what lies behind a gap is not read."""
    found = numbered(count)
    found.put(count + 1, b"behind the gap")

    for first in {0, count // 2, count}:
        assert list(found.read(first)) == [b"%d" % number for number in range(first, count)]


def test_a_reader_that_stops_early_has_not_read_all() -> None:
    """As much as was asked for ahead of it."""
    found = numbered(200)

    assert list(islice(found.read(), 3)) == [b"0", b"1", b"2"]
    assert found.objects.asked < 20  # type: ignore[attr-defined]


@pytest.mark.parametrize("there", [5, ASKED_MAX + 4, ASKED_MAX + 5])
def test_one_of_the_next_numbers_is_seen(there: int) -> None:
    """Of so many as are asked for at a time."""
    found = numbered(0)
    found.put(there, b"")

    assert found.has_any(5) == (there < 5 + ASKED_MAX)
