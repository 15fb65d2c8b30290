"""A listing of a million objects in little memory, in key order, without repeats.

S3 lists in the order of the keys' bytes, which is that of their text, but not every store does,
and a page that is asked for again may repeat keys. So a whole listing is taken in before the first
entry leaves, each page packed, and is sorted only if some key was not above the one before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pymr.store.base import ObjectEntry

_SEPARATOR = "\0"  # in no key


class VersionedEntry(NamedTuple):
    """One row of a listing of inputs; `version` is as `describe` has it."""

    key: str
    size: int
    version: str


class Listing:
    """Pages of a listing, packed: the bytes of keys and versions, and 8 more for each."""

    def __init__(self) -> None:
        self._pages: list[tuple[bytes, bytes, array[int]]] = []
        self._is_sorted = True
        self.last = ""  # the greatest key so far

    def add(self, rows: Sequence[Mapping[str, Any]], *, has_versions: bool = False) -> None:
        """Take a page in. A row without a key is the mark of the folder itself: left out."""
        kept = [row for row in rows if row["path"]]
        for row in kept:
            if row["path"] > self.last:
                self.last = row["path"]
            else:
                self._is_sorted = False
        versions = [row["e_tag"] or "" for row in kept] if has_versions else []
        sizes = array("Q", (row["size"] for row in kept))
        self._pages.append((_packed(row["path"] for row in kept), _packed(versions), sizes))

    def entries(self) -> Iterator[ObjectEntry]:
        """Yield what was taken in, sorted, each once; the pages are used up."""
        rows = (
            row
            for keys, _, sizes in self._used_up()
            for row in map(ObjectEntry, _unpacked(keys), sizes)
        )
        yield from rows if self._is_sorted else sorted(set(rows))

    def versioned(self) -> Iterator[VersionedEntry]:
        """Yield the same, of pages that were taken in with versions."""
        rows = (
            row
            for keys, versions, sizes in self._used_up()
            for row in map(VersionedEntry, _unpacked(keys), sizes, _unpacked(versions))
        )
        yield from rows if self._is_sorted else sorted(set(rows))

    def _used_up(self) -> Iterator[tuple[bytes, bytes, array[int]]]:
        self._pages.reverse()
        while self._pages:
            page = self._pages.pop()
            if page[2]:
                yield page


def _packed(texts: Iterable[str]) -> bytes:
    return _SEPARATOR.join(texts).encode("utf-8", "surrogatepass")


def _unpacked(packed: bytes) -> list[str]:
    return packed.decode("utf-8", "surrogatepass").split(_SEPARATOR)
