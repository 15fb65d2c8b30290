"""A sorted run: entries in (partition, key) order, in checked blocks, with an index at its end.

    header   magic, version            for people and tools; the reader starts at the end
    blocks   entries                   of one partition each
    footer   per partition its sums and blocks, then `extra`
    trailer  footer length, xxh3_128 of the footer, version, magic

Law: every byte that is read is checked before it is used. The footer's digest, which a
committed receipt holds, binds the footer; the footer binds each block by length and XXH3; so
what comes out is what was written or a typed error. The layout is written down in
`docs/reference/sorted-run-format.md`. The idea is the SSTable of Bigtable
(https://research.google/pubs/bigtable-a-distributed-storage-system-for-structured-data/, §4).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TypeAlias

from pymr._native import fingerprint_sum, unpack_block, xxh3_64, xxh3_128
from pymr.core.spec import EdgeSum
from pymr.errors import CorruptDataError, IncompleteError
from pymr.shuffle.bounded import decode_varint, encode_varint
from pymr.shuffle.footer import (
    LZ4,
    STORED,
    VERSION,
    Block,
    Footer,
    PartitionIndex,
    decode_footer,
    encode_footer,
)
from pymr.shuffle.value_codec import value_end

_MAGIC = b"PyMRrun\n"
_HEADER = _MAGIC + struct.pack("<I", VERSION)
_TRAILER = struct.Struct("<Q16sI8s")
_VARINTS_BYTES_MAX = 30  # of the three numbers before an entry's values

OTHER_BLOCK = "the checksum of a block differs"

Entry: TypeAlias = tuple[bytes, list[bytes]]  # an encoded key, and some of its encoded values
Write: TypeAlias = Callable[[bytes], None]
ReadAt: TypeAlias = Callable[[int, int], bytes]


class SortedRunWriter:
    """Writes one sorted run through `write`; keeps one block in memory.

    Blocks hold at most `block_bytes`; an entry that is larger gets one for itself. A group
    that does not fit goes on in the next block, as another entry with the same key. Blocks are
    stored as they are; the native writer compresses them.
    """

    def __init__(self, write: Write, partitions: int, block_bytes: int) -> None:
        self.size = 0
        self.written = EdgeSum()
        self._write = write
        self._partitions = partitions
        self._block_bytes = block_bytes
        self._index: list[PartitionIndex] = []
        self._key: bytes | None = None  # of the open entry
        self._values: list[bytes] = []
        self._values_size = 0
        self._block = bytearray()
        self._groups_before = 0  # closed groups of the partition
        self._start_partition()
        self._put(_HEADER)

    def add(self, partition: int, key: bytes, value: bytes) -> None:
        """Append one record; (partition, key) must not be less than the last one."""
        self.add_group(partition, key, (value,))

    def add_group(self, partition: int, key: bytes, values: Iterable[bytes]) -> None:
        """Append a record of `key` for each of `values`, in their order; maybe none.

        (partition, key) must not be less than the last one; an equal key goes on.
        """
        if partition != len(self._index):
            assert len(self._index) < partition < self._partitions, (
                f"partition {partition} comes after {len(self._index)} of {self._partitions}"
            )
            self._end_partitions(partition)
        if key != self._key:
            assert self._key is None or self._key < key, f"{key!r} comes after {self._key!r}"
            self._end_entry()
            self._key = key
            self._groups_before = self._groups
        room = self._block_bytes - len(key) - _VARINTS_BYTES_MAX
        for value in values:
            size = self._values_size + len(value)
            if len(self._block) + size > room and (self._block or self._values):
                self._end_block()
                size = len(value)
            self._values.append(value)
            self._values_size = size

    def finish(self, extra: bytes = b"") -> str:
        """Write the footer with `extra`, and return its digest (xxh3_128, hex).

        Nothing may be added afterwards.
        """
        self._end_partitions(self._partitions)
        footer = encode_footer(Footer(tuple(self._index), extra))
        digest = xxh3_128(footer).to_bytes(16, "big")
        self._put(footer)
        self._put(_TRAILER.pack(len(footer), digest, VERSION, _MAGIC))
        return digest.hex()

    def _put(self, data: bytes) -> None:
        self._write(data)
        self.size += len(data)

    def _start_partition(self) -> None:
        self._key = None
        self._blocks: list[Block] = []
        self._sum = EdgeSum()
        self._groups = self._groups_before = 0

    def _end_partitions(self, partition: int) -> None:
        while len(self._index) < partition:
            self._end_block()
            blocks = tuple(self._blocks)
            longest = max((block.size for block in blocks), default=0)
            self._index.append(PartitionIndex(self._sum, self._groups, blocks, longest))
            self.written += self._sum
            self._start_partition()

    def _end_block(self) -> None:
        self._end_entry()
        if self._block:
            data = bytes(self._block)
            self._blocks.append(Block(self.size, len(data), STORED, xxh3_64(data)))
            self._put(data)
            self._block.clear()

    def _end_entry(self) -> None:
        if self._key is None or not self._values:
            return
        key, values, size = self._key, self._values, self._values_size
        head = encode_varint(len(key)), key, encode_varint(len(values)), encode_varint(size)
        self._block += b"".join(head)
        self._block += b"".join(values)
        self._sum += record_sum(key, values)
        self._groups = self._groups_before + 1
        self._values, self._values_size = [], 0


class SortedRunReader:
    """Reads one sorted run of `size` bytes through `read_at(offset, length)`, when it is asked to.

    `name` is for messages. `digest`, if given, is what `SortedRunWriter.finish` returned. What is
    read raises:

        CorruptDataError: the run is not what was written.
        IncompleteError: another version of PyMR wrote it.
    """

    def __init__(self, read_at: ReadAt, size: int, name: str, digest: str | None = None) -> None:
        self.name = name
        self.read_at = read_at
        self._size = size
        self._digest = digest

    @cached_property
    def footer(self) -> Footer:
        """What the end of the run says about it; it is read once, and kept."""
        data, end = self.read_footer()
        try:
            return decode_footer(data, len(_HEADER), end)
        except CorruptDataError as error:
            raise self._corrupt(end, error.message) from error

    def read_footer(self) -> tuple[bytes, int]:
        """Return the bytes of the footer, which are those that were written, and their offset."""
        start = self._size - _TRAILER.size
        if start < len(_HEADER):
            raise self._corrupt(0, f"{self._size} bytes are too few for a sorted run")
        length, found, version, magic = _TRAILER.unpack(self._read(start, _TRAILER.size))
        if magic != _MAGIC:
            raise self._corrupt(start, "it does not end as a sorted run")
        if length > start - len(_HEADER):
            raise self._corrupt(start, f"its footer of {length} bytes is longer than the run")
        data = self._read(start - length, length)
        if xxh3_128(data).to_bytes(16, "big") != found or self._digest not in (None, found.hex()):
            raise self._corrupt(start - length, "the digest of the footer differs")
        self._check_version(data, version, start)
        return data, start - length

    def entries(self, partition: int) -> Iterator[Entry]:
        """Yield the entries of `partition`, in key order; a key may come several times in a row.

        Raises:
            CorruptDataError: a block is not what was written.
        """
        last = b""
        for block in self.footer.index[partition].blocks:
            data = self._read(block.offset, block.size)
            if xxh3_64(data) != block.checksum:
                raise self._corrupt(block.offset, OTHER_BLOCK)
            try:
                raw = unpack_block(data) if block.codec == LZ4 else data
                for key, values in _entries_of(raw, last):
                    last = key
                    yield key, values
            except CorruptDataError as error:
                raise self._corrupt(block.offset, error.message) from error

    def _check_version(self, footer: bytes, version: int, end: int) -> None:
        try:
            written, _ = decode_varint(footer, 0)
        except CorruptDataError as error:
            raise self._corrupt(end - len(footer), error.message) from error
        if written != version:
            raise self._corrupt(end, "its two version numbers differ")
        if version != VERSION:
            raise IncompleteError(
                f"`{self.name}` has sorted run format {version}, expected {VERSION}",
                hint="use the version of pymr that started the run, or start it anew",
                path=self.name,
            )

    def _read(self, offset: int, length: int) -> bytes:
        data = self.read_at(offset, length)
        if len(data) != length:
            raise self._corrupt(offset, short_read(len(data), length))
        return data

    def _corrupt(self, offset: int, problem: str) -> CorruptDataError:
        return corrupt_run(self.name, offset, problem)


def corrupt_run(name: str, offset: int, problem: str) -> CorruptDataError:
    """Return the error of the run `name`, of which something at `offset` is not as it was."""
    return CorruptDataError(
        f"sorted run `{name}` is corrupt at byte {offset}: {problem}", path=name, offset=offset
    )


def short_read(found: int, expected: int) -> str:
    """Return the problem of a run that has too few bytes."""
    return f"it has {found} bytes where {expected} were written"


def record_sum(key: bytes, values: list[bytes]) -> EdgeSum:
    """Return the sum of the records of `key` with each of `values`."""
    size = len(key) * len(values) + sum(map(len, values))
    return EdgeSum(len(values), size, fingerprint_sum(key, values))


def _entries_of(data: bytes, last: bytes = b"") -> Iterator[Entry]:
    """Yield the entries of a block, behind one with the key `last`."""
    position = 0
    while position < len(data):
        length, position = decode_varint(data, position)
        key, position = data[position : position + length], position + length
        count, position = decode_varint(data, position)
        size, position = decode_varint(data, position)
        values = _values_of(data[position : position + size])
        position += size
        if position > len(data) or len(values) != count or not values:
            raise CorruptDataError("an entry has other values than it says")
        if key < last:
            raise CorruptDataError("its keys are not in order")
        last = key
        yield key, values


def _values_of(data: bytes) -> list[bytes]:
    values, position = [], 0
    while position < len(data):
        start, position = position, value_end(data, position)
        values.append(data[start:position])
    if position != len(data):
        raise CorruptDataError("a value ends behind its entry")
    return values
