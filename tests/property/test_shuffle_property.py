"""The whole shuffle against `sorted` and `groupby`, and sorted runs against any damage."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from memory_runs import (
    Pairs,
    Shuffled,
    combine_by,
    oracle,
    order,
    reader_of,
    records_of,
    run_of,
    shuffle,
)
from pymr.core.spec import EdgeSum, Limits
from pymr.errors import CorruptDataError
from pymr.shuffle.builtin import combine_for, reduce_for
from pymr.shuffle.codec import encode_value
from pymr.shuffle.combine import Combine

# Few keys, so that groups grow; all types, and those that are equal in Python.
KEYS = st.sampled_from([None, True, 1, 1.0, "", "a", "a\0", b"a", (), (1, "a"), 2**70]) | st.text(
    max_size=2
)
PAIRS = st.lists(st.tuples(KEYS, st.integers() | st.text(max_size=3)), max_size=40)
TASKS = st.lists(PAIRS, min_size=1, max_size=6)
LIMITS = st.builds(
    Limits,
    spill_bytes_max=st.sampled_from([0, 1000, 3000, 1 << 20]),
    merge_fan_in_max=st.sampled_from([2, 3, 64]),
    block_bytes=st.sampled_from([1, 50, 1000]),
)
PARTITIONS = st.integers(1, 5)

# The disk of a shared machine has no deadline.
few_examples = settings(max_examples=50)


def run(tasks: list[Pairs], **options: Any) -> Shuffled:
    """Shuffle `tasks` in a folder of its own, which must be empty in the end."""
    with tempfile.TemporaryDirectory() as folder:
        return shuffle(tasks, folder, **options)


def ordered(result: Shuffled) -> list[tuple[Any, list[Any]]]:
    """Return the groups of all partitions as the oracle has them."""
    return [(order(key), values) for key, values in result.groups]


@few_examples
@given(TASKS, PARTITIONS, LIMITS)
def test_the_shuffle_equals_sorted_and_groupby(
    tasks: list[Pairs], partitions: int, limits: Limits
) -> None:
    """For any spill size, block size, fan-in and number of partitions."""
    result = run(tasks, partitions=partitions, limits=limits)

    assert ordered(result) == oracle(tasks)
    for groups in result.partitions:
        assert groups == sorted(groups, key=lambda group: order(group[0]))
    event(f"spills: {any(totals.spills for totals in result.totals)}")
    event(f"reduce spills: {any(merge.spills for merge in result.merges)}")


def halve(ctx: Any, key: Any, values: Any) -> None:
    """Emit every second value, and read one more: no law but that of the books."""
    for value in values:
        ctx.emit(key, value)
        next(values, None)


@few_examples
@given(
    TASKS,
    PARTITIONS,
    LIMITS,
    st.sampled_from([None, combine_for("sum"), combine_by(halve)]),
    st.booleans(),
)
def test_the_books_balance(
    tasks: list[Pairs],
    partitions: int,
    limits: Limits,
    combine: Combine | None,
    native: bool,  # noqa: FBT001 - drawn
) -> None:
    """Emitted, written, read and reduced, with any combiner and without, in both shuffles."""
    result = run(tasks, partitions=partitions, limits=limits, combine=combine, native=native)

    for pairs, totals in zip(tasks, result.totals, strict=True):
        assert totals.emitted == len(pairs)
        assert totals.emitted - totals.combined_in + totals.combined_out == totals.written.records
    for groups, merge in zip(result.partitions, result.merges, strict=True):
        assert merge.read.records - merge.combined_in + merge.combined_out == merge.reduced
        assert merge.reduced == sum(len(values) for _, values in groups)
        assert merge.groups == len(groups)
        assert merge.largest_group == max((len(values) for _, values in groups), default=0)
    written = sum((totals.written for totals in result.totals), EdgeSum())
    assert written == sum((merge.read for merge in result.merges), EdgeSum())


@few_examples
@given(TASKS, PARTITIONS, LIMITS)
def test_a_second_run_writes_the_same_bytes(
    tasks: list[Pairs], partitions: int, limits: Limits
) -> None:
    """An attempt that is made again has the same footer digest, spills and combines included."""
    options: dict[str, Any] = {"partitions": partitions, "limits": limits}

    first = run(tasks, combine=combine_for("sum"), **options)
    second = run(tasks, combine=combine_for("sum"), **options)

    assert first.totals == second.totals


NUMBERS = st.integers() | st.booleans() | st.floats() | st.sampled_from([1e308, -1e308, 5e-324])


@pytest.mark.parametrize("name", ["sum", "min", "max"])
@few_examples
@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), NUMBERS), max_size=30)), LIMITS)
def test_a_built_in_gives_the_same_however_values_are_combined(
    name: str, tasks: list[Pairs], limits: Limits
) -> None:
    """Ints, bools, floats, infinities and NaN: bit for bit."""
    reduce = reduce_for(name)
    expected = [(key, encode_value(reduce(iter(values)))) for key, values in oracle(tasks)]

    for combine in (None, combine_for(name)):
        result = run(tasks, limits=limits, combine=combine)
        found = [(key, encode_value(reduce(iter(values)))) for key, values in ordered(result)]
        assert found == expected


@few_examples
@given(TASKS, LIMITS)
def test_count_is_the_number_of_values(tasks: list[Pairs], limits: Limits) -> None:
    """Whatever the values are."""
    result = run(tasks, limits=limits, combine=combine_for("count"), count_only=True)

    assert [(key, reduce_for("count")(values)) for key, values in ordered(result)] == [
        (key, len(values)) for key, values in oracle(tasks)
    ]


@pytest.mark.parametrize("native", [False, True], ids=["plain", "native"])
@few_examples
@given(TASKS, LIMITS)
def test_a_combiner_that_only_joins_keeps_the_order_of_values(
    native: bool,  # noqa: FBT001 - a parameter
    tasks: list[Pairs],
    limits: Limits,
) -> None:
    """Combining neighbours into one list shows the order, and that nothing is lost or doubled."""

    def join(ctx: Any, key: Any, values: Any) -> None:
        ctx.emit(key, [item for box in values for item in box])

    boxed = [[(key, [value]) for key, value in pairs] for pairs in tasks]
    result = run(boxed, limits=limits, combine=combine_by(join, limits), native=native)

    joined = [(key, [item for box in values for item in box]) for key, values in ordered(result)]
    assert joined == oracle(tasks)


RUNS = st.lists(
    st.tuples(st.integers(0, 2), st.binary(max_size=3), st.integers().map(encode_value)),
    max_size=20,
).map(lambda records: sorted(records, key=lambda record: record[:2]))


@few_examples
@given(RUNS, st.integers(1, 60), st.binary(max_size=20))
def test_a_sorted_run_comes_back(
    records: list[tuple[int, bytes, bytes]], block_bytes: int, extra: bytes
) -> None:
    """For any block size."""
    data, digest = run_of(records, partitions=3, block_bytes=block_bytes, extra=extra)

    assert records_of(data) == records
    assert reader_of(data, digest).footer.extra == extra


@settings(max_examples=20)
@given(RUNS, st.integers(1, 60), st.integers(1, 255))
def test_no_changed_byte_and_no_cut_gives_other_records(
    records: list[tuple[int, bytes, bytes]], block_bytes: int, change: int
) -> None:
    """Each byte in turn: CorruptDataError, or (in the header, which is not read) no difference."""
    data, digest = run_of(records, partitions=3, block_bytes=block_bytes, extra=b"extra")
    header = 12

    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= change
        if place < header:
            assert records_of(bytes(changed)) == records
        else:
            with pytest.raises(CorruptDataError):
                records_of(bytes(changed))
        with pytest.raises(CorruptDataError):
            reader_of(data[:place], digest)
