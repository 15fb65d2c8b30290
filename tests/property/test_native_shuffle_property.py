"""The compiled shuffle against the plain one, and compiled readers against any damage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from memory_runs import (
    MemoryObject,
    Pairs,
    Shuffled,
    combine_by,
    reader_of,
    records_of,
    run_of,
    shuffle,
)
from pymr import _native
from pymr.core.spec import EdgeSum, Limits
from pymr.errors import CorruptDataError
from pymr.records.part import PartWriter, ReferencePartWriter
from pymr.shuffle import codec
from pymr.shuffle.builtin import combine_for, reduce_for
from pymr.shuffle.footer import Block, Footer, PartitionIndex, encode_footer
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader

# Few keys, so that groups grow; all types, and those that are equal in Python.
SCALARS = (
    st.sampled_from([None, True, False, 1, 1.0, "", "a", "a\0", b"a", 2**63, -(2**63), "\ud800"])
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=12)
)
KEYS = SCALARS | st.recursive(SCALARS, lambda keys: st.lists(keys, max_size=3).map(tuple))
FEW_KEYS = st.sampled_from(["the", b"the", 7, "a key of more than nine bytes", (1, "a"), None])


def nested(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values that are or hold such parts."""
    return st.recursive(
        parts,
        lambda values: (
            st.lists(values, max_size=3)
            | st.lists(values, max_size=3).map(tuple)
            | st.dictionaries(st.text(max_size=3), values, max_size=3)
        ),
        max_leaves=6,
    )


# The pickle of a set is not the pickle of what comes back: its order differs.
VALUES_OF_ONE_FORM = nested(SCALARS | st.complex_numbers())
VALUES = nested(SCALARS | st.sets(st.integers(), max_size=2) | st.complex_numbers())
PAIRS = st.lists(st.tuples(FEW_KEYS | KEYS, VALUES), max_size=40)
TASKS = st.lists(PAIRS, min_size=1, max_size=6)
LIMITS = st.builds(
    Limits,
    spill_bytes_max=st.sampled_from([0, 300, 1000, 3000, 1 << 20]),
    merge_fan_in_max=st.sampled_from([2, 3, 64]),
    merge_bytes_max=st.sampled_from([0, 2000, 1 << 20]),
    block_bytes=st.sampled_from([1, 50, 1000]),
)
PARTITIONS = st.integers(1, 5)

# The disk of a shared machine has no deadline.
few_examples = settings(max_examples=50)


def run(tasks: list[Pairs], **options: Any) -> Shuffled:
    """Shuffle `tasks` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return shuffle(tasks, folder, **options)


def contents(reader: SortedRunReader) -> list[list[tuple[bytes, bytes]]]:
    """Return the encoded records of each partition."""
    return [
        [(key, value) for key, values in reader.entries(index) for value in values]
        for index in range(len(reader.footer.index))
    ]


@few_examples
@given(TASKS, PARTITIONS, LIMITS)
def test_both_shuffles_write_and_read_the_same(
    tasks: list[Pairs], partitions: int, limits: Limits
) -> None:
    """Runs hold the same records and sums, reducers see the same groups, the books are equal."""
    plain = run(tasks, partitions=partitions, limits=limits)
    native = run(tasks, partitions=partitions, limits=limits, native=True)

    assert [contents(source) for source in native.sources] == [
        contents(source) for source in plain.sources
    ]
    for ours, theirs in zip(native.sources, plain.sources, strict=True):
        assert ours.footer.partitions == theirs.footer.partitions
        assert [part.groups for part in ours.footer.index] == [
            part.groups for part in theirs.footer.index
        ]
    assert encoded(native) == encoded(plain)
    for merge, other in zip(native.merges, plain.merges, strict=True):
        assert books(merge) == books(other)
    event(f"spills: {any(totals.spills for totals in native.totals)}")
    event(f"reduce spills: {any(merge.spills for merge in native.merges)}")


def encoded(result: Shuffled) -> list[Any]:
    """Return the groups as bytes, which tell 1 from True and one NaN from another."""
    return [
        [
            (codec.encode_key(key), [codec.encode_value(value) for value in values])
            for key, values in groups
        ]
        for groups in result.partitions
    ]


def books(merge: Any) -> tuple[EdgeSum, int, int, int, str | None]:
    """Return what a reduce task reports."""
    return merge.read, merge.reduced, merge.groups, merge.largest_group, merge.largest_key


@few_examples
@given(TASKS, LIMITS)
def test_each_shuffle_reads_the_runs_of_the_other(tasks: list[Pairs], limits: Limits) -> None:
    """Stored and compressed blocks alike."""
    plain = run(tasks, limits=limits)
    native = run(tasks, limits=limits, native=True)

    with tempfile.TemporaryDirectory() as folder:
        merge = NativeReduceMerge(
            plain.sources, 0, limits=limits, spill_folder=folder, combine=None
        )
        crossed = [(key, list(values)) for key, values in merge]

    assert repr(crossed) == repr(native.partitions[0])


NUMBERS = (
    st.integers(-5, 5)
    | st.integers()
    | st.sampled_from([2**63 - 1, -(2**63), 2**64, 2**127, -(2**127), 2**200])
)
MIXED = NUMBERS | st.booleans() | st.floats() | st.sampled_from([1e308, -0.0, 0.0])


# Numbers that are equal, or nearly: as ints, as floats, and one step beyond; of one place a run.
PLACES = st.sampled_from([0, 1, 3, 6, 7, 8, 14, 52, 53, 54, 63, 64, 127, 1000]).map(
    lambda n: 1 << n
)
CLOSE = st.tuples(st.shared(PLACES, key="place"), st.integers(-2, 2), st.sampled_from([1, -1])).map(
    lambda three: (three[0] + three[1]) * three[2]
)
NEAR = CLOSE | CLOSE.map(float) | CLOSE.map(lambda n: n / 4) | st.sampled_from([5e-324, 1e-310])


@pytest.mark.parametrize("name", ["sum", "min", "max"])
@pytest.mark.parametrize("values", [NUMBERS, MIXED, NEAR], ids=["ints", "mixed", "near"])
@few_examples
@given(st.data(), LIMITS)
def test_built_ins_are_the_same_however_values_are_combined(
    name: str, values: Any, data: st.DataObject, limits: Limits
) -> None:
    """Ints beyond 64 and 128 bits, floats, zeros and NaN: bit for bit, and the books balance."""
    pairs = st.lists(st.tuples(FEW_KEYS, values), max_size=30)
    tasks = data.draw(st.lists(pairs, min_size=1, max_size=5))
    reduce = reduce_for(name)

    expected = results(run(tasks, limits=limits, combine=combine_for(name)), reduce)
    rows = rows_of((codec.decode_key(key), codec.decode_value(value)) for key, value in expected)

    for combine in (None, combine_for(name)):
        native = run(tasks, limits=limits, combine=combine, native=True)
        assert results(native, reduce) == expected
        assert natively_reduced(native, name, limits) == rows
        for totals in native.totals:
            left = totals.emitted - totals.combined_in + totals.combined_out
            assert left == totals.written.records
        for merge in native.merges:
            left = merge.read.records - merge.combined_in + merge.combined_out
            assert left == merge.reduced


def results(result: Shuffled, reduce: Any) -> list[tuple[bytes, bytes]]:
    """Return each key with what `reduce` makes of its values, encoded."""
    return [
        (codec.encode_key(key), codec.encode_value(reduce(iter(values))))
        for groups in result.partitions
        for key, values in groups
    ]


def rows_of(pairs: Iterable[tuple[Any, Any]]) -> bytes:
    """Return the rows of decoded pairs."""
    blocks: list[bytes] = []
    part = ReferencePartWriter(blocks.append, "jsonl")
    for key, value in pairs:
        part.emit(key, value)
    part.finish()
    return b"".join(blocks)


def natively_reduced(result: Shuffled, name: str, limits: Limits) -> bytes:
    """Return the rows that the merge's own built-in makes."""
    blocks: list[bytes] = []
    part = PartWriter(blocks.append, "jsonl")
    with tempfile.TemporaryDirectory() as folder:
        merge = NativeReduceMerge(
            result.sources, 0, limits=limits, spill_folder=folder, combine=None
        )
        merge.reduce_into(
            part.rows, name, lambda key, values: part.emit(key, reduce_for(name)(values))
        )
    part.finish()
    return b"".join(blocks)


def add(ctx: Any, key: Any, values: Any) -> None:
    """Emit the sum of ints or the concatenation of tuples."""
    first = next(values)
    ctx.emit(key, sum(values, first))


def distinct(_ctx: Any, key: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each value once, in order of appearance: any number of them is left."""
    for value in dict.fromkeys(values):
        yield key, value


def least_two(_ctx: Any, key: Any, values: Any) -> list[tuple[Any, Any]]:
    """Return the two least values: a combiner that need not shrink."""
    return [(key, value) for value in sorted(values)[:2]]


INTS = st.integers(-5, 5) | st.integers()
TUPLES = st.lists(st.integers(0, 9) | st.text(max_size=2), min_size=1, max_size=2).map(tuple)
LAWFUL = [
    pytest.param(add, INTS, id="sum"),
    pytest.param(add, TUPLES, id="join"),
    pytest.param(distinct, INTS | TUPLES, id="distinct"),
    pytest.param(least_two, INTS, id="least two"),
]


@pytest.mark.parametrize(("function", "values"), LAWFUL)
@few_examples
@given(st.data(), PARTITIONS, LIMITS)
def test_a_function_combines_to_the_same_in_both_shuffles(
    function: Any, values: Any, data: st.DataObject, partitions: int, limits: Limits
) -> None:
    """The same runs and, wherever it was called, the same groups behind it; the books balance."""
    # What a run takes in memory differs, and with it how many are merged at once.
    limits = msgspec.structs.replace(limits, merge_bytes_max=1 << 30)
    pairs = st.lists(st.tuples(FEW_KEYS | KEYS, values), max_size=40)
    tasks = data.draw(st.lists(pairs, min_size=1, max_size=6))
    options: dict[str, Any] = {
        "partitions": partitions,
        "limits": limits,
        "combine": combine_by(function, limits),
    }

    plain, native = run(tasks, **options), run(tasks, native=True, **options)
    again = run(tasks, native=True, **options)

    assert native.totals == again.totals
    assert encoded(native) == encoded(again)
    assert [contents(source) for source in native.sources] == [
        contents(source) for source in plain.sources
    ]
    for totals in native.totals:
        left = totals.emitted - totals.combined_in + totals.combined_out
        assert left == totals.written.records
    for merge, other in zip(native.merges, plain.merges, strict=True):
        assert merge.read.records - merge.combined_in + merge.combined_out == merge.reduced
        assert books(merge) == books(other)
        assert (merge.combined_in, merge.combined_out) == (other.combined_in, other.combined_out)
    assert encoded(native) == encoded(plain)
    event(f"spills: {any(totals.spills for totals in native.totals)}")
    event(f"reduce spills: {any(merge.spills for merge in native.merges)}")
    event(f"combined: {any(totals.combined_in for totals in native.totals)}")


@few_examples
@given(
    st.lists(
        st.lists(st.tuples(FEW_KEYS | KEYS, VALUES_OF_ONE_FORM), max_size=40),
        min_size=1,
        max_size=6,
    ),
    PARTITIONS,
    LIMITS,
)
def test_a_function_that_changes_nothing_changes_nothing(
    tasks: list[Pairs], partitions: int, limits: Limits
) -> None:
    """Values of any type go through it and back, in order, wherever it is called."""

    def pass_on(ctx: Any, key: Any, values: Any) -> None:
        for value in values:
            ctx.emit(key, value)

    bare = run(tasks, partitions=partitions, limits=limits, native=True)
    combine = combine_by(pass_on, limits)
    through = run(tasks, partitions=partitions, limits=limits, combine=combine, native=True)

    assert encoded(through) == encoded(bare)
    for ours, theirs in zip(through.totals, bare.totals, strict=True):
        assert ours.written == theirs.written
        assert ours.combined_in == ours.combined_out


@few_examples
@given(TASKS, PARTITIONS, LIMITS)
def test_count_partitioner_and_normalize_are_the_same(
    tasks: list[Pairs], partitions: int, limits: Limits
) -> None:
    """What the buffer asks Python for."""
    options: dict[str, Any] = {
        "partitions": partitions,
        "limits": limits,
        "partitioner": lambda key, count: len(repr(key)) % count,
        "normalize": "NFC",
        "count_only": True,
        "combine": combine_for("count"),
    }

    plain, native = run(tasks, **options), run(tasks, native=True, **options)

    count = reduce_for("count")
    assert results(native, count) == results(plain, count)


@settings(max_examples=500)
@given(VALUES)
def test_both_codecs_write_the_same_bytes(value: Any) -> None:
    """And the native one reads them."""
    data = _native.encode_value(value)

    assert data == codec.encode_value(value)
    again = codec.encode_value(_native.decode_value(data))
    assert again == codec.encode_value(codec.decode_value(data))


@settings(max_examples=2000)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_corrupt(data: bytes) -> None:
    """Both codecs agree on which; pickles are left out, since a pickle may be code."""
    if 0x86 in data:
        return
    found = []
    for decode in (_native.decode_value, codec.decode_value):
        try:
            found.append(codec.encode_value(decode(data)))
        except CorruptDataError:
            found.append(b"corrupt")

    assert found[0] == found[1]


@settings(max_examples=2000)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_packed_block_or_corrupt(data: bytes) -> None:
    """The size that a block claims is not believed."""
    try:
        raw = _native.unpack_block(data)
    except CorruptDataError:
        return
    assert len(raw) == int.from_bytes(data[:4], "little")


RUNS = st.lists(
    st.tuples(
        st.just(0),
        st.binary(max_size=3).map(codec.encode_key),
        st.integers().map(codec.encode_value),
    ),
    min_size=1,
    max_size=20,
).map(lambda records: sorted(records, key=lambda record: record[:2]))


def compressed(records: list[tuple[int, bytes, bytes]]) -> bytes:
    """Return a run with compressed blocks."""
    buffer = NativeMapBuffer(partitions=1, limits=Limits(block_bytes=200), spill_folder="/nowhere")
    for _, key, value in records:
        buffer.emit(key, [codec.decode_value(value)] * 20)
    target = MemoryObject()
    buffer.finish(target)
    return bytes(target.data)


def groups_of(reader: SortedRunReader, available: bytes) -> None:
    """Read everything natively from `available`, with an index that was read before."""

    def read_at(offset: int, length: int) -> bytes:
        return available[offset : offset + length]

    runs = [_native.Run("memory", *reader.read_footer(), 0, read_at)]
    for _, values in _native.GroupMerge(runs, 0, 1 << 20, list, list):
        list(values)


@settings(max_examples=20)
@given(RUNS, st.sampled_from(["stored", "packed"]), st.integers(1, 255))
def test_no_changed_byte_of_a_block_and_no_cut_is_read(
    records: list[tuple[int, bytes, bytes]], form: str, change: int
) -> None:
    """Each byte in turn: a CorruptDataError with the path and where the block is."""
    data = compressed(records) if form == "packed" else run_of(records)[0]
    reader = reader_of(data)
    blocks = reader.footer.index[0].blocks

    for place in range(blocks[0].offset, blocks[-1].offset + blocks[-1].size):
        changed = bytearray(data)
        changed[place] ^= change
        for damaged in (bytes(changed), data[:place]):
            with pytest.raises(CorruptDataError) as caught:
                groups_of(reader, damaged)
            assert caught.value.fields["path"] == "memory"
            assert caught.value.fields["offset"] in [block.offset for block in blocks]
    event(f"packed: {any(block.codec for block in blocks)}")


@settings(max_examples=1000)
@given(st.binary(min_size=1, max_size=80), st.sampled_from([0, 1]))
def test_a_block_that_cannot_be_is_corrupt_even_with_a_right_checksum(
    block: bytes, codec_byte: int
) -> None:
    """Any bytes at all are entries or an error, as they are for the plain reader."""
    if 0x86 in block:
        return  # a pickle may be code
    data = bytes(12) + block
    row = Block(12, len(block), codec_byte, _native.xxh3_64(block))
    footer = encode_footer(Footer((PartitionIndex(EdgeSum(), 1, (row,), len(block)),), b""))
    runs = [_native.Run("memory", footer, len(data), 0, lambda at, size: data[at : at + size])]
    try:
        for _, values in _native.GroupMerge(runs, 0, 1 << 20, list, list):
            list(values)
    except CorruptDataError:
        event("corrupt")
    else:
        event("entries")


def test_a_run_of_one_record_of_each_kind_has_compressed_blocks() -> None:
    """So that the tests above have something to read."""
    data = compressed([(0, b"k", codec.encode_value(1))] * 50)

    assert any(block.codec for block in reader_of(data).footer.index[0].blocks)
    assert len(records_of(data)) == 50
