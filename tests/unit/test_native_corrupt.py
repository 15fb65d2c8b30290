"""What the compiled reader does with an index that cannot be, and after an error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from memory_runs import MemoryObject, combine_by, reader_of, run_of
from pymr._native import GroupMerge, Run, xxh3_64
from pymr.core.spec import EdgeSum, Limits
from pymr.errors import CorruptDataError, StoreUnavailableError
from pymr.shuffle.codec import encode_key, encode_value
from pymr.shuffle.footer import Block, Footer, PartitionIndex, encode_footer
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader

HEADER_BYTES = 12  # of a run, before its blocks


Blocks = list[tuple[bytes, int]]  # what is stored, and its codec


def blocks_of_one_key(folder: object, count: int) -> Blocks:
    """Return the blocks of a run with values 0, 1, … of one key."""
    records = NativeMapBuffer(
        partitions=1, limits=Limits(block_bytes=300), spill_folder=str(folder)
    )
    for number in range(count):
        records.emit("k", number)
    target = MemoryObject()
    records.finish(target)
    data = bytes(target.data)
    blocks = reader_of(data).footer.index[0].blocks
    return [(data[block.offset : block.offset + block.size], block.codec) for block in blocks]


def merged(blocks: Blocks, number: int = 0, **changed: int) -> Iterator[tuple[Any, Any]]:
    """Return the groups of a run of these blocks, of which one is not what its footer says."""
    data = bytes(HEADER_BYTES) + b"".join(stored for stored, _ in blocks)
    rows = [Block(0, len(stored), codec, xxh3_64(stored)) for stored, codec in blocks]
    rows[number] = rows[number]._replace(**changed)
    footer = encode_footer(Footer((PartitionIndex(EdgeSum(), 1, tuple(rows), 300),), b""))
    end = HEADER_BYTES + sum(row.size for row in rows)
    run = Run("it", footer, end, 0, lambda at, size: data[at : at + size])
    return GroupMerge([run], 0, 1 << 20, list, list)


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 0},
        {"size": 5},
        {"size": (1 << 32) - 1},
        {"codec": 1},
        {"codec": 255},
        {"checksum": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [0, 1])
def test_an_index_that_is_not_of_the_run_is_corrupt(changed, number, tmp_path) -> None:
    """No place of it is trusted, nor any memory taken for a size that is none."""
    blocks = blocks_of_one_key(tmp_path, 300)

    with pytest.raises(CorruptDataError) as caught:
        _ = [list(values) for _, values in merged(blocks, number, **changed)]

    assert set(caught.value.fields) == {"path", "offset"}


@pytest.mark.parametrize("codec", [0, 1])
def test_values_that_cannot_be_read_fail_the_merge_even_if_the_reducer_hides_it(
    codec, tmp_path
) -> None:
    """A group that ends early would be a wrong result; nothing is made of what is no entry."""
    blocks = blocks_of_one_key(tmp_path, 300)
    bad = b"\x20\0\0\0\xff\xff" if codec else b"\x02\x40k\x02\x02\x11\x91"
    blocks[1] = (bad, codec)
    groups = merged(blocks)
    found: list[int] = []

    _, values = next(groups)
    with pytest.raises(CorruptDataError, match="is corrupt"):
        found.extend(values)
    for _ in range(3):
        with pytest.raises(CorruptDataError, match="is corrupt") as caught:
            next(groups)
        assert caught.value.fields["offset"] == HEADER_BYTES + len(blocks[0][0])

    assert found == list(range(len(found)))
    assert 0 < len(found) < 300


def test_a_store_that_did_not_answer_for_a_moment_fails_the_merge_too(tmp_path) -> None:
    """It could be read on, but the group was left before its end."""
    dice = random.Random(1)
    sent = [dice.randbytes(100_000) for _ in range(40)]  # more than is read ahead
    records = NativeMapBuffer(partitions=1, limits=Limits(), spill_folder=str(tmp_path))
    for value in sent:
        records.emit("k", value)
    target = MemoryObject()
    records.finish(target)
    footer = reader_of(bytes(target.data)).read_footer()
    answers = iter([True, False, True, True])

    def read_at(offset: int, length: int) -> bytes:
        if not next(answers):
            raise StoreUnavailableError("try again")
        return bytes(target.data[offset : offset + length])

    groups = GroupMerge([Run("it", *footer, 0, read_at)], 0, 1 << 20, list, list)
    found: list[bytes] = []

    _, values = next(groups)
    with pytest.raises(StoreUnavailableError):
        found.extend(values)
    with pytest.raises(StoreUnavailableError):
        next(groups)

    assert 0 < len(found) < len(sent)
    assert found == sent[: len(found)]


@pytest.mark.parametrize("codec", [0, 1])
@pytest.mark.parametrize(
    "keys", [["b", "a"], ["same start b", "same start a"], ["a", "b", "b", "a"]], ids="-".join
)
@pytest.mark.parametrize("blocks", [1, 2])
def test_keys_out_of_order_are_corrupt(keys: list[str], blocks: int, codec: int) -> None:
    """Whoever wrote them: a merge would give out a group in two parts."""
    entries = [_entry(key) for key in keys]
    rows = [b"".join(entries[:-1]), entries[-1]] if blocks == 2 else [b"".join(entries)]
    if codec:
        rows = [_packed(row) for row in rows]

    groups = merged([(row, codec) for row in rows])

    for _ in range(2):  # Asking again does not help.
        with pytest.raises(CorruptDataError, match="its keys are not in order") as caught:
            _ = list(groups)
    assert caught.value.fields["offset"] == HEADER_BYTES + sum(map(len, rows[:-1]))


def test_keys_out_of_order_are_corrupt_in_the_plain_form_too() -> None:
    """The same words, at the same place."""
    blocks = [b"".join(map(_entry, keys)) for keys in ("ab", "bc", "b")]
    rows = []
    for data in blocks:
        offset = HEADER_BYTES + sum(row.size for row in rows)
        rows.append(Block(offset, len(data), 0, xxh3_64(data)))
    data = bytes(HEADER_BYTES) + b"".join(blocks)
    reader = SortedRunReader(lambda at, size: data[at : at + size], len(data), "it")
    reader.footer = Footer((PartitionIndex(EdgeSum(), 3, tuple(rows), 300),), b"")

    with pytest.raises(CorruptDataError, match="its keys are not in order") as caught:
        list(reader.entries(0))

    assert caught.value.fields["offset"] == rows[-1].offset


def _entry(key: str) -> bytes:
    """Return an entry of one value."""
    data, value = encode_key(key), encode_value(1)
    return b"%c%b\1%c%b" % (len(data), data, len(value), value)


def _packed(data: bytes) -> bytes:
    """Return a block of lz4 that copies nothing."""
    head = bytes((len(data) << 4,)) if len(data) < 15 else bytes((0xF0, len(data) - 15))
    return len(data).to_bytes(4, "little") + head + data


@pytest.mark.parametrize("instead", ["nothing", "another error"])
def test_a_combiner_hides_no_error_of_reading_either(instead: str, tmp_path) -> None:
    """What it makes of the values that it got would take the place of all of them."""
    dice = random.Random(1)
    data = run_of([(0, encode_key("k"), encode_value(dice.randbytes(100_000))) for _ in range(40)])[
        0
    ]
    answers = iter([True] * 4 + [False] + [True] * 99)
    hidden = 0

    def read_at(offset: int, length: int) -> bytes:
        if length > 1000 and not next(answers):
            raise StoreUnavailableError("try again")
        return data[offset : offset + length]

    def function(ctx: Any, key: Any, values: Any) -> None:
        nonlocal hidden
        try:
            list(values)
        except StoreUnavailableError:
            hidden += 1
            if instead == "another error":
                raise ValueError from None
        ctx.emit(key, 1)

    limits = Limits(merge_fan_in_max=2)
    merge = NativeReduceMerge(
        [SortedRunReader(read_at, len(data), "it") for _ in range(3)],
        0,
        limits=limits,
        spill_folder=str(tmp_path),
        combine=combine_by(function, limits),
    )

    with pytest.raises(StoreUnavailableError):
        list(merge)

    assert hidden == 1
