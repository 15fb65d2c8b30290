"""The footer of a sorted run: what each partition holds, and where its blocks lie."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pymr.core.spec import EdgeSum
from pymr.errors import CorruptDataError
from pymr.shuffle.bounded import decode_varint, encode_varint, take

VERSION = 3  # of the whole sorted run; the footer begins with it
STORED, LZ4 = 0, 1  # the codec of a block: as it is; or 4 bytes of its size, and an lz4 block


class Block(NamedTuple):
    """Where a block lies, and what its bytes must be."""

    offset: int
    size: int
    codec: int
    checksum: int


class PartitionIndex(msgspec.Struct, frozen=True):
    """One partition of a sorted run."""

    written: EdgeSum
    groups: int
    blocks: tuple[Block, ...]
    longest: int  # bytes of its longest block, decompressed


class Footer(msgspec.Struct, frozen=True):
    """What the end of a sorted run says about it; `extra` is the writer's own."""

    index: tuple[PartitionIndex, ...]
    extra: bytes

    @property
    def partitions(self) -> tuple[EdgeSum, ...]:
        """The sums of each partition, for the books."""
        return tuple(partition.written for partition in self.index)


def encode_footer(footer: Footer) -> bytes:
    """Return the bytes of `footer`; where a block lies follows from the sizes before it."""
    out = bytearray(encode_varint(VERSION))
    out += encode_varint(len(footer.index))
    for partition in footer.index:
        out += encode_varint(partition.written.records)
        out += encode_varint(partition.written.bytes)
        out += partition.written.fingerprint.to_bytes(16, "little")
        out += encode_varint(partition.groups)
        out += encode_varint(len(partition.blocks))
        out += encode_varint(partition.longest)
        for block in partition.blocks:
            out += encode_varint(block.size)
            out.append(block.codec)
            out += block.checksum.to_bytes(8, "little")
    return bytes(out) + encode_varint(len(footer.extra)) + footer.extra


def decode_footer(data: bytes, start: int, end: int) -> Footer:
    """Return the footer of a run whose blocks fill the bytes from `start` to `end`.

    Raises:
        CorruptDataError: it is no footer, or not of that run.
    """
    cursor = _Cursor(data)
    cursor.varint()  # the version
    offset = start
    index = []
    for _ in range(cursor.varint()):
        records, size = cursor.varint(), cursor.varint()
        written = EdgeSum(records, size, int.from_bytes(cursor.take(16), "little"))
        groups, count, longest = cursor.varint(), cursor.varint(), cursor.varint()
        blocks = []
        for _ in range(count):
            length, codec = cursor.varint(), cursor.take(1)[0]
            if codec not in {STORED, LZ4}:
                raise CorruptDataError(f"block codec {codec}, expected {STORED} or {LZ4}")
            blocks.append(Block(offset, length, codec, int.from_bytes(cursor.take(8), "little")))
            offset += length
        index.append(PartitionIndex(written, groups, tuple(blocks), longest))
    extra = cursor.take(cursor.varint())
    if cursor.position != len(data) or offset != end:
        raise CorruptDataError("the footer does not fit the run")
    return Footer(tuple(index), extra)


class _Cursor:
    """A position in `data`, with bounds."""

    def __init__(self, data: bytes) -> None:
        self.position = 0
        self._data = data

    def varint(self) -> int:
        number, self.position = decode_varint(self._data, self.position)
        return number

    def take(self, length: int) -> bytes:
        part = take(self._data, self.position, length)
        self.position += length
        return part
