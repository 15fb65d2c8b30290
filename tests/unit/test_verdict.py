"""Findings of a check, from what a sample did: levels, exit codes, remedies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pymr.check.forecast import Forecast
from pymr.check.observation import Observation, scale_of, spread
from pymr.check.verdict import Seen, findings
from pymr.core.sample import trial_splits
from pymr.core.spec import InputFile, JobSpec, MapTask, Shape, Split
from pymr.core.trial import Difference, Kind, MapTrial, ReduceTrial
from pymr.doctor.finding import Finding
from pymr.runner.plan import Plan

MiB = 1 << 20
FILE = InputFile(b"in.txt", 100 * MiB, 1 << 16)
FORECAST = Forecast(
    records=1000,
    emitted=2000,
    emitted_bytes=30_000,
    keys=50,
    shuffled=2000,
    shuffled_bytes=30_000,
    stored_bytes=20_000,
    spilled_bytes=0,
    rows=50,
    output_bytes=600,
    disk_bytes=20_600,
    memory_bytes=80 * MiB,
    map_s=1.0,
    reduce_s=0.5,
)
MAP = MapTrial(
    calls=4,
    records=100,
    bytes_in=1 << 16,
    bytes_read=1 << 16,
    emitted=200,
    emitted_bytes=3000,
    keys=50,
    digests=b"",
    is_cut=False,
)
REDUCE = ReduceTrial(
    pairs=200,
    keys=50,
    is_cut=False,
    key_kinds=(Kind("str", 50, "'a'"),),
    value_kinds=(Kind("int", 200, "1"),),
    pickled=(),
    largest=(Kind("'a'", 8, ""),),
    partition=3,
    partition_values=30,
    calls=50,
    values=200,
    rows=50,
    row_bytes=600,
)


def plan(*, inputs: tuple[InputFile, ...] = (FILE,), **shape: Any) -> Plan:
    known = {"input_format": "lines", "reducer": "function", "combiner": None, "digest": "d"}
    spec = JobSpec(
        run="r", name="n", worker="worker.py", shape=Shape(**(known | shape)), reducers=8
    )
    tasks = [MapTask(0, (Split(0, 0, FILE.size),))]
    return Plan(
        spec=spec,
        output="/out",
        shown_output="out",
        inputs=inputs,
        tasks=tasks,
        workers=2,
        memory_bytes=512 * MiB,
        spool_folder=None,
    )


def seen(
    *,
    maps: MapTrial = MAP,
    reduce: ReduceTrial = REDUCE,
    forecast: Forecast = FORECAST,
    free_bytes: int | None = 1 << 40,
    job: Plan | None = None,
    **observed: Any,
) -> dict[str, Finding]:
    """Return the findings of a check on one split, by area and name."""
    observation = Observation(
        splits=(Split(0, 0, 1 << 16),),
        maps=(maps,),
        reduce=reduce,
        map_differences=observed.get("map_differences", ()),
        reduce_differences=observed.get("reduce_differences", ()),
        is_out_of_time=observed.get("is_out_of_time", False),
    )
    found = findings(Seen(job or plan(), observation, forecast, free_bytes))
    return {f"{finding.area}: {finding.name}": finding for finding in found}


def changed(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)


def levels(found: dict[str, Finding]) -> dict[str, str]:
    """Return what is not as it should be."""
    return {name: each.level for name, each in found.items() if each.level != "ok"}


def test_a_job_without_a_fault_has_no_warning() -> None:
    """Nothing has a remedy."""
    found = seen()

    assert levels(found) == {}
    assert {finding.remedy for finding in found.values()} == {None}
    assert found["sample: size"].text == "65.5 kB of 105 MB at 1 place, 100 records"


def test_a_sample_that_was_cut_is_told() -> None:
    """By the clock, or by how much is kept."""
    slow = seen(is_out_of_time=True)
    much = seen(reduce=changed(REDUCE, is_cut=True))

    assert levels(slow) == {"sample: size": "warning"}
    assert levels(much) == {"sample: pairs": "warning"}


def test_a_disk_that_is_too_small_is_what_a_run_would_end_with() -> None:
    """Exit 6; without a disk to look at, the need alone."""
    full, unknown = seen(free_bytes=20_599), seen(free_bytes=None)

    assert levels(full) == {"forecast: disk": "broken"}
    assert full["forecast: disk"].exit_code == 6
    assert full["forecast: disk"].text == "20.6 kB at the most, 20.6 kB free"
    assert levels(seen(free_bytes=20_600)) == {}
    assert unknown["forecast: disk"].text == "20.6 kB at the most"


def test_memory_over_its_setting_is_a_warning() -> None:
    """What user code holds is not in the promise."""
    found = seen(forecast=changed(FORECAST, memory_bytes=513 * MiB))

    assert levels(found) == {"forecast: memory": "warning"}
    assert found["forecast: memory"].remedy == "lower --workers, or raise --memory"


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        ((("'a'  1",), ("'a'  2",)), "'a'  1 in one process, 'a'  2 in another"),
        ((("'a'  1",), ()), "'a'  1 in one process, nothing in another"),
        ((("'a'  1",), ("'a'  1",)), "the pairs after the first ones differ"),
        ((("'a'  1",),), "the pairs after the first ones differ"),
    ],
)
def test_what_differs_is_shown_from_both_sides(
    texts: tuple[tuple[str, ...], ...], part: str
) -> None:
    """Or that it lies behind what is shown; the reducer is then not judged."""
    differences = tuple(Difference(number=3, where="line 4", pairs=pairs) for pairs in texts)

    by_mapper = seen(map_differences=differences)
    by_reducer = seen(reduce_differences=differences)

    assert levels(by_mapper) == {"mapper: deterministic": "broken"}
    assert "reducer: deterministic" not in by_mapper
    assert levels(by_reducer) == {"reducer: deterministic": "broken"}
    assert by_mapper["mapper: deterministic"].exit_code == 2
    assert f"line 4: {part}" in by_mapper["mapper: deterministic"].text


@pytest.mark.parametrize(
    ("hottest", "combiner", "warned"),
    [(40, None, False), (41, None, True), (41, "sum", False)],
)
def test_a_hot_key_has_more_than_a_fifth_and_no_combiner(
    hottest: int, combiner: str | None, *, warned: bool
) -> None:
    """Of 200 pairs."""
    reduce = changed(REDUCE, largest=(Kind("'a'", hottest, ""),))

    found = seen(reduce=reduce, job=plan(combiner=combiner))

    assert ("forecast: hottest key" in levels(found)) == warned


def test_a_part_of_three_times_the_mean_is_uneven() -> None:
    """25 of 200 in eight parts are the mean; a hot key is the better reason."""
    even = seen(reduce=changed(REDUCE, partition_values=75))
    uneven = seen(reduce=changed(REDUCE, partition_values=76))
    hot = changed(REDUCE, partition_values=100, largest=(Kind("'a'", 100, ""),))

    assert levels(even) == {}
    assert uneven["forecast: parts"].text == "part 3 of 8 gets 38 % of the pairs"
    assert list(levels(seen(reduce=hot))) == ["forecast: hottest key"]


def test_a_reducer_that_reads_some_values_is_not_told() -> None:
    """Only one that never does; a built-in one is known to."""
    some = changed(REDUCE, unread_calls=49)
    none = changed(REDUCE, unread_calls=50)

    assert levels(seen(reduce=some)) == {}
    assert levels(seen(reduce=none)) == {"reducer: values": "warning"}
    assert levels(seen(reduce=none, job=plan(reducer="count"))) == {}


def test_a_mapper_or_reducer_without_a_pair_is_told() -> None:
    """An empty result is rarely meant."""
    silent = changed(MAP, emitted=0, emitted_bytes=0, keys=0)
    empty = changed(REDUCE, pairs=0, keys=0, calls=0, values=0, key_kinds=(), largest=())

    assert levels(seen(maps=silent, reduce=empty)) == {"mapper: pairs": "warning"}
    assert levels(seen(reduce=changed(REDUCE, rows=0))) == {"reducer: rows": "warning"}


# -- the sample ----------------------------------------------------------------------------------


def test_the_first_few_places_lie_far_apart() -> None:
    """Each is visited once; the first four of 32 lie in four different quarters."""
    order = spread(32)

    assert sorted(order) == list(range(32))
    assert {number // 8 for number in order[:4]} == {0, 1, 2, 3}
    assert spread(5) == [0, 4, 2, 1, 3]
    assert spread(0) == []


def test_splits_of_a_trial_are_cells_spread_over_the_input() -> None:
    """32 cells of a large one; all of a small one; a whole file once."""
    large = trial_splits((FILE,), whole=False)
    small = trial_splits((InputFile(b"a", MiB, 1 << 16), InputFile(b"b", 0, 1)), whole=False)
    whole = trial_splits((FILE, InputFile(b"b", 10, 1)), whole=True)

    assert len(large) == 32
    assert {split.end - split.start for split in large} == {1 << 16}
    assert large[1].start - large[0].start == pytest.approx(FILE.size / 32, abs=1 << 16)
    assert sum(split.end - split.start for split in small) == MiB
    assert whole == (Split(0, 0, FILE.size),)


def test_a_sample_is_scaled_by_bytes_of_the_input() -> None:
    """Of a stream those on the disk; all of it is all of it, whatever rounding says."""
    stream = changed(FILE, stream=True)

    def scale(file: InputFile, **fields: Any) -> float:
        observation = Observation(
            (Split(0, 0, file.size),), (changed(MAP, **fields),), REDUCE, (), (), False
        )
        return scale_of((file,), observation)

    assert scale(FILE) == FILE.size / (1 << 16)
    assert scale(stream, bytes_in=8 * MiB, bytes_read=MiB) == 100
    assert scale(FILE, bytes_in=FILE.size + 5) == 1
    assert scale(FILE, bytes_in=0) == 1
