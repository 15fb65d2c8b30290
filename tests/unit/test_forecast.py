"""From a sample to the whole: what is proportional, what grows with a power, what is bounded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pymr.check.forecast import IDLE_RUN_SECONDS, Forecast, Whole, forecast
from pymr.core.trial import MapTrial, ReduceTrial

MiB = 1 << 20


def split(**fields: Any) -> MapTrial:
    """Return a split of 1000 records of 64 KiB that emitted 2000 pairs of 100 keys."""
    trial = MapTrial(
        calls=1,
        records=1000,
        bytes_in=1 << 16,
        bytes_read=1 << 16,
        emitted=2000,
        emitted_bytes=20_000,
        keys=100,
        digests=b"",
        is_cut=False,
        cpu_s=0.01,
        rss_bytes_max=40 * MiB,
    )
    return msgspec.structs.replace(trial, **fields)


def groups(**fields: Any) -> ReduceTrial:
    """Return the groups of ten such splits, of which 1000 keys are different."""
    trial = ReduceTrial(
        pairs=20_000,
        keys=1000,
        is_cut=False,
        key_kinds=(),
        value_kinds=(),
        pickled=(),
        largest=(),
        written=20_000,
        written_bytes=200_000,
        stored_bytes=50_000,
        sort_s=0.002,
        calls=1000,
        values=20_000,
        rows=1000,
        row_bytes=12_000,
        cpu_s=0.02,
    )
    return msgspec.structs.replace(trial, **fields)


def whole(**fields: Any) -> Whole:
    """Return a hundred times ten splits, in 40 map tasks."""
    known = Whole(
        factor=100.0,
        map_tasks=40,
        reduce_tasks=8,
        workers=2,
        spill_bytes_max=64 * MiB,
        is_combined=False,
    )
    return msgspec.structs.replace(known, **fields)


def cast(reduce: ReduceTrial | None = None, **fields: Any) -> Forecast:
    return forecast([split()] * 10, reduce or groups(), whole(**fields))


def test_what_is_proportional_is_scaled_up() -> None:
    """Records, pairs, bytes and the time of the mapper, which workers share."""
    found = cast()

    assert found.records == 1_000_000
    assert (found.emitted, found.emitted_bytes) == (2_000_000, 20_000_000)
    assert (found.shuffled, found.shuffled_bytes) == (2_000_000, 20_000_000)
    assert found.stored_bytes == 5_000_000
    assert found.map_s == pytest.approx((0.01 * 10 + 0.002) * 100 / 2)
    assert found.reduce_s == pytest.approx(0.02 * 100 / 2)
    assert found.seconds == pytest.approx(IDLE_RUN_SECONDS + found.map_s + found.reduce_s)


def test_a_sample_that_is_the_whole_is_exact() -> None:
    """Nothing is guessed."""
    found = cast(factor=1.0, map_tasks=1)

    assert (found.records, found.emitted, found.keys, found.rows) == (10_000, 20_000, 1000, 1000)
    assert found.output_bytes == 12_000


@pytest.mark.parametrize(("keys", "in_all"), [(100, 100), (1000, 100_000), (316, 3162)])
def test_keys_grow_as_those_of_the_splits_do(keys: int, in_all: int) -> None:
    """The same in each split: no more. Others in each: all others. Between: a power."""
    found = cast(groups(keys=keys, calls=keys, rows=keys))

    assert found.keys == pytest.approx(in_all, rel=0.01)
    assert found.rows == found.keys


def test_a_combiner_leaves_the_keys_of_each_task() -> None:
    """Forty tasks with all keys each; and never more than was emitted."""
    few = cast(groups(keys=100), is_combined=True)
    many = forecast(
        [split(keys=2000)] * 10, groups(keys=20_000, largest=()), whole(is_combined=True)
    )

    assert few.shuffled == 40 * 100
    assert few.emitted == 2_000_000
    assert few.stored_bytes < cast().stored_bytes
    assert many.shuffled == many.emitted


def test_the_disk_holds_map_outputs_and_spills_or_parts() -> None:
    """Spills are of the tasks at work, and there only where a buffer is too small."""
    roomy, tight = cast(), cast(spill_bytes_max=100_000)

    assert roomy.spilled_bytes == 0
    assert roomy.disk_bytes == roomy.stored_bytes + roomy.output_bytes
    assert tight.spilled_bytes == 2 * 5_000_000 // 40
    assert cast(spill_bytes_max=100_000, workers=40).spilled_bytes == 5_000_000


def test_memory_is_that_of_workers_with_a_buffer_each() -> None:
    """A buffer grows to what a task emits, at most to its limit."""
    assert cast().memory_bytes == 2 * (40 * MiB + 500_000)
    assert cast(spill_bytes_max=100_000).memory_bytes == 2 * (40 * MiB + 100_000)


def test_a_job_without_a_reducer_writes_what_it_emits() -> None:
    """Its map outputs are the parts."""
    found = cast(groups(calls=0, values=0, rows=0, row_bytes=0), reduce_tasks=0)

    assert (found.rows, found.output_bytes) == (2_000_000, 5_000_000)
    assert found.disk_bytes == found.stored_bytes == 5_000_000
    assert found.memory_bytes == 2 * 40 * MiB
    assert found.reduce_s == 0


def test_a_mapper_that_emits_nothing_is_no_division_by_zero() -> None:
    """Nor is a sample without a split."""
    nothing = groups(
        pairs=0,
        keys=0,
        written=0,
        written_bytes=0,
        sort_s=0.0,
        calls=0,
        values=0,
        rows=0,
        row_bytes=0,
    )
    silent = split(emitted=0, emitted_bytes=0, keys=0)

    for combined in (False, True):
        found = forecast([silent], nothing, whole(is_combined=combined))
        empty = forecast([], nothing, whole(is_combined=combined, map_tasks=0))
        assert (found.emitted, found.keys, found.rows, found.stored_bytes) == (0, 0, 0, 0)
        assert (empty.records, empty.map_s, empty.memory_bytes) == (0, 0, 0)


def test_one_split_cannot_tell_how_keys_grow() -> None:
    """Then all may be new, but for a single key, which is counted on to stay the only one."""
    one = groups(pairs=2000, keys=100, calls=100, rows=100)

    assert forecast([split()], one, whole()).keys == 10_000
    assert forecast([split(keys=1)], groups(pairs=2000, keys=1), whole()).keys == 1
