"""Partitions that are ranges of keys: what `--sort` asks of both shuffles."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from memory_runs import Pairs, Shuffled, oracle, order, shuffle
from pymr.core.spec import Limits
from pymr.shuffle import codec
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.distinct_keys import DistinctKeys
from pymr.shuffle.native_buffer import NativeMapBuffer

# Few keys, so that groups grow; all types, and those that are equal in Python.
SCALARS = (
    st.sampled_from([None, True, 1, 1.0, "", "a", "a\0", b"a", 2**63, "a key of many bytes"])
    | st.integers()
    | st.text(max_size=12)
)
KEYS = SCALARS | st.lists(SCALARS, max_size=3).map(tuple)
PAIRS = st.lists(st.tuples(KEYS, st.integers() | st.text(max_size=3)), max_size=40)
TASKS = st.lists(PAIRS, min_size=1, max_size=5)
# Any bytes may be a boundary: what was sampled may be the first bytes of a long key.
BOUNDARIES = st.lists(KEYS.map(codec.encode_key) | st.binary(max_size=3), max_size=6).map(sorted)
LIMITS = st.builds(
    Limits,
    spill_bytes_max=st.sampled_from([0, 300, 1000, 3000, 1 << 20]),
    merge_fan_in_max=st.sampled_from([2, 3, 64]),
    block_bytes=st.sampled_from([1, 50, 1000]),
)

# The disk of a shared machine has no deadline.
few_examples = settings(max_examples=60)


def run(tasks: list[Pairs], boundaries: list[bytes], **options: Any) -> Shuffled:
    """Shuffle `tasks` in a folder of its own, into one partition more than the boundaries."""
    with tempfile.TemporaryDirectory() as folder:
        return shuffle(
            tasks, folder, partitions=len(boundaries) + 1, boundaries=boundaries, **options
        )


@few_examples
@given(TASKS, BOUNDARIES, LIMITS, st.sampled_from([False, True]))
def test_the_parts_in_their_order_are_sorted_and_groupby(
    tasks: list[Pairs],
    boundaries: list[bytes],
    limits: Limits,
    native: bool,  # noqa: FBT001 - drawn
) -> None:
    """For any boundaries, also equal ones; and each key is in the range that has it."""
    result = run(tasks, boundaries, limits=limits, native=native)

    in_order = [(order(key), values) for groups in result.partitions for key, values in groups]
    assert in_order == oracle(tasks)
    for index, groups in enumerate(result.partitions):
        found = {bisect_right(boundaries, codec.encode_key(key)) for key, _ in groups}
        assert found <= {index}
    event(f"empty partitions: {sum(not groups for groups in result.partitions)}")
    event(f"spills: {any(totals.spills for totals in result.totals)}")


@pytest.mark.parametrize("name", [None, "sum", "max", "count"])
@few_examples
@given(TASKS, BOUNDARIES, LIMITS)
def test_both_shuffles_write_the_same_ranges(
    name: str | None, tasks: list[Pairs], boundaries: list[bytes], limits: Limits
) -> None:
    """Records and sums of every partition; with a combiner, what it leaves of each key."""
    combine = combine_for(name) if name else None
    options: dict[str, Any] = {"limits": limits, "combine": combine, "count_only": name == "count"}
    plain = run(tasks, boundaries, **options)
    native = run(tasks, boundaries, native=True, **options)

    assert [keys_of(groups) for groups in native.partitions] == [
        keys_of(groups) for groups in plain.partitions
    ]
    for ours, theirs in zip(native.sources, plain.sources, strict=True):
        assert [part.groups for part in ours.footer.index] == [
            part.groups for part in theirs.footer.index
        ]
        if name is None:  # What cannot be added is passed on in another order.
            assert ours.footer.partitions == theirs.footer.partitions


def keys_of(groups: Any) -> list[bytes]:
    """Return the keys as bytes, which tell 1 from True."""
    return [codec.encode_key(key) for key, _ in groups]


def test_ranges_for_more_partitions_than_there_are_are_refused() -> None:
    """The compiled buffer would write a partition that its index does not have."""
    with pytest.raises(ValueError, match="as many boundaries as partitions"):
        NativeMapBuffer(
            partitions=2, limits=Limits(), spill_folder="/nowhere", boundaries=[b"a", b"b"]
        )


WEIGHTS = st.lists(st.tuples(st.binary(max_size=2), st.integers(1, 9)), max_size=200)


@few_examples
@given(WEIGHTS, st.integers(1, 30), st.lists(st.integers(0, 200), max_size=3), st.randoms())
def test_which_keys_are_kept_does_not_depend_on_who_kept_them(
    weights: list[tuple[bytes, int]], keys_max: int, cuts: list[int], chance: Any
) -> None:
    """Several that are merged, in any order, keep what one would have kept: keys and weights."""
    one = kept(weights, keys_max)
    totals: dict[bytes, int] = {}
    for key, weight in weights:
        totals[key] = totals.get(key, 0) + weight

    shuffled = list(weights)
    chance.shuffle(shuffled)
    merged = DistinctKeys(keys_max)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(weights)], strict=True):
        part = kept(shuffled[start:end], keys_max)
        merged.merge(part.weights.items(), part.halvings)

    assert (merged.weights, merged.halvings) == (one.weights, one.halvings)
    assert len(one.weights) <= keys_max
    assert all(totals[key] == weight for key, weight in one.weights.items())
    assert kept(weights, None).weights == totals
    event(f"halvings: {one.halvings}")


def kept(weights: list[tuple[bytes, int]], keys_max: int | None) -> DistinctKeys:
    """Return what one keeps of `weights`."""
    keys = DistinctKeys(keys_max)
    for key, weight in weights:
        keys.add(key, weight)
    return keys
