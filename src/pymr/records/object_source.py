"""Reads the bytes of one input that is an object of a store, in the version that was planned.

    range that is expected:   │ read, given out │ being fetched │ not asked for yet … │

Large pieces are fetched, the next one by a thread while the mapper works on the one before: at
most two are in memory. Each read names the ETag of the plan, so bytes of another version are
never seen: whoever replaces an input while it is read gets an error, not a mix.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, NamedTuple, Self

from pymr.core.spec import InputFile
from pymr.errors import ObjectChangedError, ObjectMissingError
from pymr.records.source import changed
from pymr.store.access import Access, parse_address
from pymr.store.object_reader import ObjectReader, Version, open_reader
from pymr.text_form import show_path

PIECE_BYTES: Final = 4 << 20  # of one request where a range is expected
PIECES_MAX: Final = 2  # in memory: one that is read, one that is fetched
UNEXPECTED_BYTES: Final = 256 << 10  # of one request, at least, where nothing is expected


class ObjectSource:
    """An object as a `Source`."""

    def __init__(self, file: InputFile, access: Access) -> None:
        """Open nothing yet: the first read tells whether the object is there."""
        self.file = file
        self.name = show_path(file.name)
        self.grown = False  # a longer object is another version
        self._objects, self._key = locate(file.path, access)
        self._etag = file.etag or ""
        self._expected = range(0)
        self._piece = _Piece(0, memoryview(b""))
        self._next: tuple[int, Future[memoryview]] | None = None  # where it begins
        self._fetcher: ThreadPoolExecutor | None = None

    def expect(self, start: int, end: int) -> None:
        """Fetch large pieces of [start, end), ahead of where it is read."""
        self._expected = range(start, end)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset + length), which must lie in the plan.

        Raises:
            InputError: the object has another version, or is gone.
            StoreError: the store refused or failed.
        """
        data = self._piece.cut(offset, length)
        if len(data) == length:
            return bytes(data)
        parts = [bytes(data)]
        while (missing := length - sum(map(len, parts))) > 0:
            at = offset + length - missing
            self._move_to(at, missing)
            parts.append(bytes(self._piece.cut(at, missing)))
        return b"".join(parts)

    def check(self) -> None:
        """Do nothing: each read was one of the planned version."""

    def close(self) -> None:
        """Forget what was fetched; it may be called twice."""
        self._piece, self._next = _Piece(0, memoryview(b"")), None
        if self._fetcher is not None:
            self._fetcher.shutdown(wait=False, cancel_futures=True)
            self._fetcher = None

    def _move_to(self, offset: int, length: int) -> None:
        """Let the current piece be one that has the byte at `offset`."""
        self._piece = _Piece(0, memoryview(b""))  # Free it before there is another.
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == offset:
            data = ahead[1].result()
        else:
            data = self._fetch(offset, self._length_at(offset, length))
        self._piece = _Piece(offset, data)
        self._fetch_ahead(offset + len(data))

    def _length_at(self, offset: int, wanted: int) -> int:
        """Return how much to fetch at `offset`, where at least `wanted` bytes are needed."""
        if offset in self._expected:
            return min(PIECE_BYTES, self._expected.stop - offset)
        return min(max(wanted, UNEXPECTED_BYTES), self.file.size - offset)

    def _fetch_ahead(self, offset: int) -> None:
        if offset not in self._expected:
            return
        if self._fetcher is None:
            self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="pymr-read-ahead")
        length = self._length_at(offset, 0)
        self._next = offset, self._fetcher.submit(self._fetch, offset, length)

    def _fetch(self, offset: int, length: int) -> memoryview:
        try:
            data = self._objects.read(self._key, offset, length, self._etag)
        except ObjectMissingError as error:
            raise changed(self.name, "it is gone", "the object that was planned") from error
        except ObjectChangedError as error:
            raise changed(self.name, *_replaced(self.file, error.fields["etag"])) from error
        if len(data) != length:  # Without an ETag nobody else would notice.
            end = offset + len(data)
            raise changed(self.name, f"it ends at byte {end}", f"{self.file.size} bytes")
        return memoryview(data)

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Forget what was fetched."""
        self.close()


class _Piece(NamedTuple):
    """Bytes of the object, and where they begin in it."""

    start: int
    data: memoryview

    def cut(self, offset: int, length: int) -> memoryview:
        """Return what of [offset, offset + length) is here, if its first byte is."""
        at = offset - self.start
        return self.data[at : at + length] if at >= 0 else self.data[:0]


def locate(path: bytes, access: Access) -> tuple[ObjectReader, bytes]:
    """Return the reader of the store of an address, and the key of its object."""
    address = parse_address(os.fsdecode(path))
    return open_reader(address, access), os.fsencode(address.prefix)


def compare_version(seen: Version, planned: InputFile) -> tuple[str, str] | None:
    """Return what is seen of an object and what was expected; None for the one that was planned."""
    if planned.etag and seen.etag != planned.etag:
        return _replaced(planned, seen.etag)
    if seen.size != planned.size:
        return f"it has {seen.size} bytes", f"{planned.size} as when it was planned"
    return None


def _replaced(planned: InputFile, etag: str) -> tuple[str, str]:
    return f"it was replaced (ETag {etag})", f"ETag {planned.etag} as when it was planned"
