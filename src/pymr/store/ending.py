"""The end of an object whose size is known, read at once: in a store that is a single request."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from pymr.errors import ObjectMissingError
from pymr.store.base import ObjectStore

END_BYTES: Final = 64 << 10  # of a map output it holds the footer of 1,000 partitions


class Ending:
    """The last bytes of an object, if it has `size` bytes; `is_there` says so.

    One byte more is asked for, which must not be there.
    """

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self._start = start = max(0, size - END_BYTES)
        self._end = b""
        with suppress(ObjectMissingError):
            self._end = store.get_range(key, start, size - start + 1)
        self.is_there = len(self._end) == size - start

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the object; what is before the end is one more request."""
        if offset < self._start:
            return self._store.get_range(self._key, offset, length)
        return self._end[offset - self._start : offset - self._start + length]
