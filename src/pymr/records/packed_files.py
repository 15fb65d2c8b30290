"""The inputs of a large listing in little memory: a few of them unpacked at a time.

A million of them are 300 MB of structs, and a third of that in pages of MessagePack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

import msgspec

from pymr.core.spec import InputFile

PAGE_FILES: Final = 1000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class PackedFiles(Sequence[InputFile]):
    """Inputs in their order, as a tuple of them would be."""

    def __init__(self) -> None:
        self._pages: list[bytes] = []
        self._last: list[InputFile] = []  # what is not a whole page yet
        self._seen: tuple[int, list[InputFile]] = (-1, [])  # the page that was looked at last

    def append(self, file: InputFile) -> None:
        """Add an input at the end."""
        self._last.append(file)
        if len(self._last) == PAGE_FILES:
            self._pages.append(_pack(self._last))
            self._last = []

    def drain(self) -> Iterator[InputFile]:
        """Yield all of them, and forget them meanwhile."""
        self._pages.reverse()
        while self._pages:
            yield from _unpack(self._pages.pop())
        last, self._last = self._last, []
        yield from last

    def __len__(self) -> int:
        """Return how many there are."""
        return PAGE_FILES * len(self._pages) + len(self._last)

    def __iter__(self) -> Iterator[InputFile]:
        """Yield them in their order."""
        for page in self._pages:
            yield from _unpack(page)
        yield from self._last

    @overload
    def __getitem__(self, index: int) -> InputFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[InputFile]: ...
    def __getitem__(self, index: int | slice) -> InputFile | Sequence[InputFile]:
        """Return one of them, or some."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        number, at = divmod(index, PAGE_FILES)
        if number == len(self._pages):
            return self._last[at]
        if self._seen[0] != number:
            self._seen = number, _unpack(self._pages[number])
        return self._seen[1][at]


def _pack(files: list[InputFile]) -> bytes:
    return _encode([msgspec.structs.astuple(file) for file in files])


def _unpack(page: bytes) -> list[InputFile]:
    return [InputFile(*fields) for fields in _decode(page)]
