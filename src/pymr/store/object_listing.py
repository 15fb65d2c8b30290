"""A listing of a million objects in little memory, in key order, without repeats.

S3 lists in the order of the keys' bytes, which is that of their text, but not every store does,
and a page that is asked for again may repeat keys. So a whole listing is taken in before the first
entry leaves, each page packed, and is sorted only if some key was not above the one before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymr.store.base import ObjectEntry

_SEPARATOR = "\0"  # in no key


class Listing:
    """Pages of a listing, packed: about the bytes of the keys and 8 more for each."""

    def __init__(self) -> None:
        self._pages: list[tuple[bytes, array[int]]] = []
        self._is_sorted = True
        self.last = ""  # the greatest key so far

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take a page in. A row without a key is the mark of the folder itself: left out."""
        kept = [(row["path"], row["size"]) for row in rows if row["path"]]
        for key, _ in kept:
            if key > self.last:
                self.last = key
            else:
                self._is_sorted = False
        if kept:
            keys, sizes = zip(*kept, strict=True)
            packed = _SEPARATOR.join(keys).encode("utf-8", "surrogatepass")
            self._pages.append((packed, array("Q", sizes)))

    def entries(self) -> Iterator[ObjectEntry]:
        """Yield what was taken in, sorted, each once; the pages are used up."""
        if not self._is_sorted:
            yield from sorted(set(self._unpacked()))
            return
        yield from self._unpacked()

    def _unpacked(self) -> Iterator[ObjectEntry]:
        self._pages.reverse()
        while self._pages:
            packed, sizes = self._pages.pop()
            keys = packed.decode("utf-8", "surrogatepass").split(_SEPARATOR)
            yield from map(ObjectEntry, keys, sizes)
