"""Which parts of the inputs are mapped ahead of a run with `--sort`."""

from __future__ import annotations

import pytest

from pymr.core.plan import GRID_STEP_MAX, grid_step
from pymr.core.sample import (
    SAMPLE_BYTES_MIN,
    SAMPLE_KEYS_MAX,
    Sample,
    combined,
    is_combined,
    keys_wanted,
    plan_larger_sample,
    plan_sample,
)
from pymr.core.spec import InputFile, Shape

MIB = 1 << 20
GIB = 1 << 30


def file(size: int, *, stream: bool = False) -> InputFile:
    return InputFile(b"x", size, GRID_STEP_MAX if stream else grid_step(size), stream=stream)


def sample_of(*inputs: InputFile, reducers: int = 8, whole: bool = False) -> Sample:
    return plan_sample(inputs, reducers, whole=whole)


def stretches(sample: Sample) -> list[tuple[int, int, int]]:
    return [(each.split.input, each.split.start, each.split.end) for each in sample.splits]


def test_a_small_input_is_mapped_whole() -> None:
    """In pieces of half a MiB, each standing for itself; empty files have none."""
    sample = sample_of(file(MIB), file(0), file(10))

    assert sample.places == 0
    assert stretches(sample) == [(0, 0, MIB // 2), (0, MIB // 2, MIB), (2, 0, 10)]
    assert [each.stands_for for each in sample.splits] == [MIB // 2, MIB // 2, 10]
    assert sample.bytes == MIB + 10


def test_a_large_input_is_mapped_at_even_places() -> None:
    """Whole cells, each standing for an even share."""
    sample = sample_of(file(GIB))

    assert sample.places == len(sample.splits) == 128
    starts = [each.split.start for each in sample.splits]
    assert starts == [GIB // 256 + number * GIB // 128 for number in range(128)]
    assert {each.split.end - each.split.start for each in sample.splits} == {GRID_STEP_MAX}
    assert {each.stands_for for each in sample.splits} == {GIB // 128}
    assert sample.bytes == SAMPLE_BYTES_MIN


@pytest.mark.parametrize(
    ("size", "reducers", "places"),
    [(GIB, 64, 1024), (GIB, 10_000, 1024), (64 * GIB, 32, 512), (9 * MIB, 500, 128)],
)
def test_more_reducers_need_more_places_up_to_a_sixteenth_of_the_input(
    size: int, reducers: int, places: int
) -> None:
    """Sixteen for each part."""
    assert sample_of(file(size), reducers=reducers).places == places


def test_places_are_even_over_all_files() -> None:
    """A file has as many as its share of the bytes, a small one maybe none."""
    sample = sample_of(file(3 * GIB), file(100), file(GIB))

    inputs = [each.split.input for each in sample.splits]
    assert (inputs.count(0), inputs.count(1), inputs.count(2)) == (96, 0, 32)


def test_a_stream_is_one_split_with_its_places() -> None:
    """They are offsets on the disk: how far a stream goes is not known yet."""
    sample = sample_of(file(GIB), file(GIB, stream=True))

    *cells, stream = sample.splits
    assert len(cells) == 64
    assert (stream.split.start, stream.split.end) == (0, GIB)
    assert len(stream.places) == 64
    assert stream.places[0] == GIB // 128
    assert stream.stands_for == GIB
    assert sample.bytes == SAMPLE_BYTES_MIN


def test_a_small_stream_has_its_share_of_places_too() -> None:
    """A few MiB may be a GiB when they are decoded."""
    first, second = sample_of(file(3 * MIB, stream=True), file(MIB)).splits[:2]

    assert len(first.places) == 96
    assert first.places[-1] < 3 * MIB
    assert second.places == ()


def test_a_mapper_of_whole_files_is_given_some_files() -> None:
    """Each once, and no more of them than a sixteenth of all bytes, but one."""
    files = [file(8 * MIB, stream=number % 2 == 0) for number in range(64)]

    sample = sample_of(*files, whole=True)
    few = sample_of(file(GIB), file(GIB), whole=True)

    assert 1 < len(sample.splits) <= 4
    assert all(each.places == () for each in sample.splits)
    assert all(each.split.end == 8 * MIB for each in sample.splits)
    assert sum(each.stands_for for each in sample.splits) == 64 * 8 * MIB
    assert (few.places, stretches(few)) == (1, [(1, 0, GIB)])


def test_small_whole_files_are_all_given_once() -> None:
    """Also compressed ones."""
    sample = sample_of(file(MIB), file(MIB, stream=True), whole=True)

    assert stretches(sample) == [(0, 0, MIB), (1, 0, MIB)]
    assert [each.places for each in sample.splits] == [(), ()]


def test_what_is_kept_is_bounded_however_many_parts_there_are() -> None:
    """A thousand for each part, of which four times as many may be kept."""
    assert [keys_wanted(count) for count in (2, 63, 10_000)] == [10_000, 62_500, 62_500]
    assert sample_of(file(GIB), reducers=10_000).keys_max == SAMPLE_KEYS_MAX
    sample = sample_of(file(GIB))
    assert sum(each.keys_max for each in sample.splits) <= sample.keys_max
    assert sample_of(file(1), file(9 * MIB)).splits[0].keys_max > 0
    many = sample_of(file(160 * GIB), reducers=10_000)
    assert len(many.splits) == 160_000
    assert sum(each.keys_max for each in many.splits) <= SAMPLE_KEYS_MAX


def test_a_sample_that_emitted_too_few_keys_is_taken_again_larger() -> None:
    """As much as it takes, twice over, at most a sixteenth of the input."""
    inputs = [file(GIB)]
    sample = sample_of(*inputs)

    some = plan_larger_sample(inputs, sample, 5000, whole=False)
    none = plan_larger_sample(inputs, sample, 0, whole=False)

    assert plan_larger_sample(inputs, sample, 10_000, whole=False) is None
    assert some is not None
    assert some.places == 512
    assert none is not None
    assert none.bytes == GIB // 16
    assert plan_larger_sample(inputs, none, 0, whole=False) is None


def test_a_larger_sample_of_many_small_files_counts_opening_them() -> None:
    """A file of 10 kB has cells of 512 bytes: many more may be looked at, but not all."""
    inputs = [file(10_000)] * 5000
    sample = sample_of(*inputs)

    larger = plan_larger_sample(inputs, sample, 100, whole=False)

    assert sample.bytes == 128 * 512
    assert larger is not None
    assert larger.places == SAMPLE_BYTES_MIN // (16 << 10)


def test_two_places_in_one_cell_are_one_split_that_stands_for_both() -> None:
    """Nothing is mapped twice."""
    inputs = [file(7 * MIB), *[file(1000)] * 8000]
    sample = sample_of(*inputs)

    larger = plan_larger_sample(inputs, sample, 1, whole=False)

    assert larger is not None
    assert len(set(stretches(larger))) == len(larger.splits) < larger.places
    total = sum(each.size for each in inputs)
    assert sum(each.stands_for for each in larger.splits) == pytest.approx(total, rel=0.01)


def test_everything_has_no_larger_sample() -> None:
    """Whatever it emitted."""
    inputs = [file(MIB)]

    assert plan_larger_sample(inputs, sample_of(*inputs), 0, whole=False) is None


def test_whole_files_too_large_for_more_are_not_taken_again() -> None:
    """The sample would be the same."""
    inputs = [file(64 * MIB)] * 20

    assert plan_larger_sample(inputs, sample_of(*inputs, whole=True), 1, whole=True) is None


def test_nothing_to_read_has_an_empty_sample() -> None:
    """No boundary comes of it."""
    assert sample_of(file(0)).splits == ()


def test_built_in_reducers_combine_by_themselves() -> None:
    """As the engine does."""
    jobs = [(None, "function"), ("sum", "function"), (None, "count")]
    shapes = [Shape(input_format="text", combiner=c, reducer=r, digest="") for c, r in jobs]

    assert [is_combined(shape) for shape in shapes] == [False, True, True]


def test_combining_leaves_a_record_of_each_key_in_each_task_that_has_it() -> None:
    """Rare keys keep what they have; frequent ones have one record a map task, here twelve."""
    record = 1 << 16
    weights = {b"once": record, b"some": 12 * record, b"always": 10_000 * record, b"least": 1}

    left = combined(weights, [file(100 * MIB)])

    assert left[b"once"] == pytest.approx(0.96 * record, rel=0.05)
    assert left[b"some"] == pytest.approx(12 * (1 - 0.368) * record, rel=0.08)
    assert left[b"always"] == pytest.approx(12 * record, rel=0.01)
    assert left[b"least"] == 1
