"""Sorted runs by example: blocks, groups, sums, and what corruption looks like."""

from __future__ import annotations

import struct

import pytest

from memory_runs import MemoryObject, fingerprint_of, reader_of, records_of, run_of
from pymr import _native
from pymr.core.spec import EdgeSum
from pymr.errors import CorruptDataError, IncompleteError
from pymr.shuffle import footer as footers
from pymr.shuffle.bounded import encode_varint
from pymr.shuffle.sorted_run import SortedRunReader, SortedRunWriter

ONE, TWO = b"\x11", b"\x12"  # encoded values
TEXT = b"\x84\x02ab"
RECORDS = [
    (0, b"a", ONE),
    (0, b"a", TWO),
    (0, b"b", TEXT),
    (2, b"", ONE),
    (2, b"c", TWO),
]


def test_records_come_back_in_order() -> None:
    """Partitions may be empty, keys may be empty, values keep their order."""
    data, _ = run_of(RECORDS, partitions=4)

    assert records_of(data) == RECORDS


def test_the_footer_has_the_sums_of_each_partition() -> None:
    """Records, bytes, fingerprint and groups, as the books need them."""
    data, _ = run_of(RECORDS, partitions=3, extra=b"receipts")

    footer = reader_of(data).footer
    assert footer.partitions == (
        EdgeSum(
            3,
            9,
            (fingerprint_of(b"a", ONE) + fingerprint_of(b"a", TWO) + fingerprint_of(b"b", TEXT))
            % (1 << 128),
        ),
        EdgeSum(),
        EdgeSum(2, 3, (fingerprint_of(b"", ONE) + fingerprint_of(b"c", TWO)) % (1 << 128)),
    )
    assert [partition.groups for partition in footer.index] == [2, 0, 2]
    assert footer.extra == b"receipts"


def test_the_writer_knows_its_sums_and_size() -> None:
    """What a receipt says needs no second look at the run."""
    target = MemoryObject()
    writer = SortedRunWriter(target.write, 3, 100)
    for record in RECORDS:
        writer.add(*record)
    writer.finish()

    assert writer.size == len(target.data)
    assert writer.written.records == 5
    assert writer.written.bytes == 12


def test_a_run_without_records_is_a_run() -> None:
    """A mapper that emits nothing still leaves its receipts."""
    data, digest = run_of([], partitions=2, extra=b"x")

    reader = reader_of(data, digest)
    assert reader.footer.partitions == (EdgeSum(), EdgeSum())
    assert reader.footer.extra == b"x"
    assert list(reader.entries(1)) == []


def test_a_group_goes_on_in_the_next_block() -> None:
    """Blocks stay within their limit, and the group is one group."""
    records = [(0, b"key", TEXT)] * 100
    data, _ = run_of(records, block_bytes=50)

    reader = reader_of(data)
    blocks = reader.footer.index[0].blocks
    assert len(blocks) > 10
    assert all(block.size <= 50 for block in blocks)
    assert reader.footer.index[0].groups == 1
    assert records_of(data) == records


def test_entries_share_a_block_until_it_is_full() -> None:
    """Small groups do not get a block each."""
    data, _ = run_of([(0, bytes([n]), ONE) for n in range(40)], block_bytes=100)

    blocks = reader_of(data).footer.index[0].blocks
    assert 1 < len(blocks) < 5
    assert all(block.size <= 100 for block in blocks)


def test_an_entry_over_the_limit_gets_a_block_alone() -> None:
    """A value may be larger than any block; its neighbours are not drawn in."""
    large = b"\x85" + encode_varint(500) + b"x" * 500
    records = [(0, b"a", ONE), (0, b"b", large), (0, b"b", ONE), (0, b"c", ONE)]
    data, _ = run_of(records, block_bytes=100)

    sizes = [block.size for block in reader_of(data).footer.index[0].blocks]
    assert len(sizes) == 3
    assert sizes[1] > 500
    assert records_of(data) == records


def test_a_group_without_values_leaves_no_trace() -> None:
    """A combiner may drop a key."""
    target = MemoryObject()
    writer = SortedRunWriter(target.write, 1, 100)
    writer.add_group(0, b"a", [])
    writer.add_group(0, b"b", [ONE])
    writer.add_group(0, b"b", [TWO])
    writer.add_group(0, b"c", [])
    writer.finish()

    assert records_of(bytes(target.data)) == [(0, b"b", ONE), (0, b"b", TWO)]
    assert reader_of(bytes(target.data)).footer.index[0].groups == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, b"b"), (0, b"a")), ((1, b"a"), (0, b"b")), ((0, b"a"), (2, b"a"))],
    ids=["key", "partition", "no such partition"],
)
def test_records_out_of_order_are_our_bug(
    first: tuple[int, bytes], second: tuple[int, bytes]
) -> None:
    """The writer asserts it: an unsorted run would be wrong silently."""
    writer = SortedRunWriter(MemoryObject().write, 2, 100)
    writer.add(*first, ONE)

    with pytest.raises(AssertionError, match="comes after"):
        writer.add(*second, ONE)


def test_the_digest_of_the_footer_binds_the_whole_run() -> None:
    """Another run, right in itself, is not the one that was committed."""
    data, digest = run_of(RECORDS, partitions=3)
    other, _ = run_of(RECORDS[:-1], partitions=3)

    assert reader_of(data, digest).footer.partitions
    with pytest.raises(CorruptDataError, match="the digest of the footer differs") as caught:
        reader_of(other, digest)
    assert caught.value.fields["path"] == "memory"
    assert caught.value.fields["offset"] > 0


def test_a_flipped_bit_in_a_block_is_found_when_it_is_read() -> None:
    """The error names the run and where its block begins."""
    data, digest = run_of(RECORDS, partitions=3)
    broken = bytearray(data)
    broken[12] ^= 1

    reader = reader_of(bytes(broken), digest)
    with pytest.raises(CorruptDataError, match="the checksum of a block differs") as caught:
        list(reader.entries(0))
    assert caught.value.fields == {"path": "memory", "offset": 12}
    assert list(reader.entries(1)) == []
    assert len(list(reader.entries(2))) == 2


def test_a_cut_run_is_corrupt() -> None:
    """Truncation at any byte is noticed before a record is read."""
    data, digest = run_of(RECORDS, partitions=3)

    for size in range(len(data)):
        with pytest.raises(CorruptDataError):
            reader_of(data[:size], digest)
        with pytest.raises(CorruptDataError):
            reader_of(data[:size])


def test_a_run_that_shrinks_after_it_was_opened_is_corrupt() -> None:
    """A short read is no end of the data."""
    data, digest = run_of(RECORDS, partitions=3)
    available = [len(data)]
    reader = SortedRunReader(
        lambda offset, length: data[: available[0]][offset : offset + length],
        len(data),
        "shrinks",
        digest,
    )
    assert reader.footer

    available[0] = 15
    with pytest.raises(CorruptDataError, match="it has 3 bytes where 1"):
        list(reader.entries(0))


def sealed(footer: bytes, *, blocks: bytes = b"", version: int = 3) -> bytes:
    """Return a run with a footer of our own and a trailer that fits it."""
    digest = _native.xxh3_128(footer).to_bytes(16, "big")
    trailer = struct.pack("<Q16sI8s", len(footer), digest, version, b"PyMRrun\n")
    return b"PyMRrun\n" + struct.pack("<I", version) + blocks + footer + trailer


def test_another_version_is_named_and_not_called_corrupt() -> None:
    """A run of a later PyMR can be finished by that PyMR: exit 10."""
    with pytest.raises(IncompleteError, match="has sorted run format 4, expected 3") as caught:
        reader_of(sealed(b"\x04whatever", version=4))

    assert caught.value.exit_code == 10
    assert caught.value.hint


def footer_of(block: bytes, *, codec: int = 0, partitions: int = 1, extra: bytes = b"") -> bytes:
    """Return a footer that says: one partition, one block."""
    head = b"\x03" + bytes([partitions]) + b"\x01\x02" + bytes(16) + b"\x01\x01\x01"
    checksum = _native.xxh3_64(block).to_bytes(8, "little")
    return (
        head
        + encode_varint(len(block))
        + bytes([codec])
        + checksum
        + encode_varint(len(extra))
        + extra
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (sealed(b""), "does not end"),
        (sealed(b"\x01"), "its two version numbers differ"),
        (sealed(b"\x03\x02"), "corrupt number"),
        (sealed(b"\x03\x01\x00\x00abc"), "it ends at byte"),
        (sealed(footer_of(b""), blocks=b"x"), "the footer does not fit the run"),
        (sealed(footer_of(b"x") + b"x", blocks=b"x"), "the footer does not fit the run"),
        (sealed(footer_of(b"x", codec=7), blocks=b"x"), "block codec 7, expected 0 or 1"),
        (sealed(b"\x03\x00")[:-1] + b"?", "it does not end as a sorted run"),
        (
            b"x" * 12 + struct.pack("<Q16sI8s", 1, b"", 1, b"PyMRrun\n"),
            "its footer of 1 bytes is longer than the run",
        ),
    ],
)
def test_a_footer_that_cannot_be_is_corrupt_even_with_a_right_digest(
    data: bytes, problem: str
) -> None:
    """The parser trusts no length that it has not checked."""
    with pytest.raises(CorruptDataError, match=problem) as caught:
        reader_of(data)

    assert set(caught.value.fields) == {"path", "offset"}


@pytest.mark.parametrize(
    "block",
    [
        b"\x05k",  # a key longer than the block
        b"\x01k",  # no count
        b"\x01k\x01\x05\x11",  # values longer than the block
        b"\x01k\x02\x01\x11",  # fewer values than it says
        b"\x01k\x00\x01\x11",  # more
        b"\x01k\x00\x00",  # none at all
        b"\x01k\x01\x01\x91",  # a value beyond the entry
        b"\x01k\x01\x01\x8f",  # no value
    ],
)
def test_a_block_that_cannot_be_is_corrupt_even_with_a_right_checksum(block: bytes) -> None:
    """A checksum does not prove that the writer was right; the compiled reader knows, too."""
    reader = reader_of(sealed(footer_of(block), blocks=block))
    run = _native.Run("memory", *reader.read_footer(), 0, reader.read_at)

    for read in (
        lambda: list(reader.entries(0)),
        lambda: list(_native.GroupMerge([run], 0, 1 << 20, list, list)),
    ):
        with pytest.raises(CorruptDataError, match="sorted run `memory` is corrupt at byte 12"):
            read()


def test_a_footer_comes_back() -> None:
    """Where a block lies follows from the sizes before it."""
    blocks = (footers.Block(12, 300, 0, 7), footers.Block(312, 5, 0, 1 << 63))
    footer = footers.Footer(
        (
            footers.PartitionIndex(EdgeSum(1, 2, (1 << 128) - 1), 3, blocks[:1], 300),
            footers.PartitionIndex(EdgeSum(), 0, blocks[1:], 1 << 20),
        ),
        b"extra",
    )

    assert footers.decode_footer(footers.encode_footer(footer), 12, 317) == footer
