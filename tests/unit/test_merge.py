"""The reduce side by example: groups, what their values allow, and the books."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memory_runs import reader_of, run_of, shuffle
from pymr.core.spec import EdgeSum, Limits
from pymr.errors import CorruptDataError
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.codec import encode_key, encode_value
from pymr.shuffle.combine import Combine
from pymr.shuffle.merge import ReduceMerge, narrow
from pymr.shuffle.sorted_run import SortedRunReader

FAN_IN_2 = Limits(merge_fan_in_max=2, block_bytes=100)


def source(*pairs: tuple[Any, Any]) -> SortedRunReader:
    """Return a sorted run of one partition with `pairs`, which must be sorted."""
    data, digest = run_of((0, encode_key(key), encode_value(value)) for key, value in pairs)
    return reader_of(data, digest)


def merge(
    sources: Sequence[SortedRunReader],
    folder: Path,
    *,
    limits: Limits | None = None,
    combine: Combine | None = None,
) -> ReduceMerge:
    """Return the merge of partition 0."""
    return ReduceMerge(
        sources, 0, limits=limits or Limits(), spill_folder=str(folder), combine=combine
    )


def test_equal_keys_come_in_the_order_of_their_sources(tmp_path: Path) -> None:
    """So values stand in input order, whatever the fan-in."""
    sources = [source(("a", f"{n}-1"), ("a", f"{n}-2"), (f"b{n}", n)) for n in range(7)]

    for limits in (Limits(), FAN_IN_2, Limits(merge_fan_in_max=3)):
        groups = [(key, list(values)) for key, values in merge(sources, tmp_path, limits=limits)]

        assert groups == [
            ("a", [f"{n}-{m}" for n in range(7) for m in (1, 2)]),
            *((f"b{n}", [n]) for n in range(7)),
        ]
        assert list(tmp_path.iterdir()) == []


def test_one_two_and_no_sources_merge(tmp_path: Path) -> None:
    """A partition may be empty."""
    assert list(merge([], tmp_path)) == []
    assert merge([], tmp_path).largest_key is None
    assert [key for key, _ in merge([source(("a", 1))], tmp_path)] == ["a"]
    assert [key for key, _ in merge([source(), source(("a", 1))], tmp_path)] == ["a"]


def test_the_books_of_a_merge(tmp_path: Path) -> None:
    """`read - combined_in + combined_out == reduced`, whatever the reducer read."""
    sources = [source(("a", 1), ("b", n), ("b", 1)) for n in range(5)]
    written = sum((run.footer.partitions[0] for run in sources), EdgeSum())

    for combine in (None, combine_for("sum")):
        for limits in (Limits(), FAN_IN_2):
            groups = merge(sources, tmp_path, limits=limits, combine=combine)
            for _ in groups:
                pass

            assert groups.read == written
            assert groups.groups == 2
            assert groups.read.records - groups.combined_in + groups.combined_out == groups.reduced
            assert (groups.spills > 0) == (limits is FAN_IN_2)
            assert (groups.combined_in > 0) == (limits is FAN_IN_2 and combine is not None)
            assert groups.largest_key == "'b'"
    assert groups.largest_group < 10


def test_the_largest_group_is_named(tmp_path: Path) -> None:
    """Its key is shown in at most 80 characters, even an int that Python does not print."""
    for key, shown in [
        ("k" * 200, "'" + "k" * 78 + "…"),
        (10**5000, "<int>"),
        ((1, "a"), "(1, 'a')"),
    ]:
        groups = merge([source((None, 1)), source((key, 1), (key, 2))], tmp_path)
        for _ in groups:
            pass

        assert groups.largest_group == 2
        assert groups.largest_key == shown


def test_the_first_of_the_largest_groups_is_named(tmp_path: Path) -> None:
    """So the summary does not depend on how many there are."""
    groups = merge([source(("a", 1), ("b", 1), ("b", 2), ("c", 1), ("c", 2))], tmp_path)
    for _ in groups:
        pass

    assert (groups.largest_key, groups.largest_group) == ("'b'", 2)


def test_a_spill_is_removed_as_soon_as_it_is_merged_again(tmp_path: Path) -> None:
    """Many passes need no more disk than one."""
    groups = merge([source(("a", n)) for n in range(20)], tmp_path, limits=FAN_IN_2)

    for _ in groups:
        assert groups.spills == 18
        assert len(list(tmp_path.iterdir())) == 2


def test_a_group_left_half_read_is_drained_and_counted(tmp_path: Path) -> None:
    """The next key is the next key."""
    groups = merge([source(*[("a", n) for n in range(500)], ("b", 1))], tmp_path)

    keys = []
    for key, values in groups:
        keys.append(key)
        assert next(values) in (0, 1)

    assert keys == ["a", "b"]
    assert (groups.reduced, groups.largest_group) == (501, 500)


def test_values_are_lazy(tmp_path: Path) -> None:
    """A group larger than memory streams: one block of a source is read at a time."""
    data, digest = run_of([(0, encode_key("a"), encode_value(n)) for n in range(1000)])
    reads: list[int] = []

    def read_at(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    run = SortedRunReader(read_at, len(data), "memory", digest)
    assert run.footer
    reads.clear()
    for _, values in merge([run], tmp_path):
        next(values)
        assert len(reads) == 1
        assert sum(1 for _ in values) == 999
    assert len(reads) > 20


def test_values_can_be_iterated_once(tmp_path: Path) -> None:
    """A second pass is an error that says what to do, not an empty loop."""
    for _, values in merge([source(("a", 1), ("a", 2))], tmp_path):
        assert list(values) == [1, 2]
        with pytest.raises(RuntimeError, match=r"iterated once; use list\(values\)"):
            iter(values)


def test_next_and_iteration_go_on_from_each_other(tmp_path: Path) -> None:
    """`first = next(values)` and then a loop is common in reducers."""
    for _, values in merge([source(("a", 1), ("a", 2), ("a", 3))], tmp_path):
        assert next(values) == 1
        iterator = iter(values)
        assert next(iterator) == 2
        assert next(values) == 3
        assert list(iterator) == []
        with pytest.raises(StopIteration):
            next(values)


def test_values_kept_beyond_their_group_are_an_error(tmp_path: Path) -> None:
    """Not started, or half read: neither seems to be at its end."""
    kept: list[Any] = []
    iterators: list[Any] = []
    for _, values in merge([source(("a", 1), ("a", 2), ("b", 1), ("b", 2))], tmp_path):
        kept.append(values)
        iterators.append(iter(values))
        if len(kept) == 2:
            next(iterators[1])

    for values in kept:
        with pytest.raises(RuntimeError, match="values can be iterated once"):
            next(values)
        with pytest.raises(RuntimeError, match="values can be iterated once"):
            iter(values)
    for iterator in iterators:
        with pytest.raises(RuntimeError, match="values can be iterated once"):
            next(iterator)


def test_values_that_nobody_asked_for_in_time_are_an_error(tmp_path: Path) -> None:
    """A reducer that collects its values for later is told at once."""
    kept = [values for _, values in merge([source(("a", 1), ("b", 1))], tmp_path)]

    for values in kept:
        with pytest.raises(RuntimeError, match="values can be iterated once"):
            iter(values)


def test_a_corrupt_source_stops_the_merge_and_leaves_no_spill(tmp_path: Path) -> None:
    """The error is that of the source."""
    data, digest = run_of([(0, encode_key("z"), encode_value("value"))])
    broken = reader_of(data.replace(b"value", b"velue"), digest)

    with pytest.raises(CorruptDataError, match="sorted run `memory`"):
        list(merge([source(("a", 1))] * 4 + [broken], tmp_path, limits=FAN_IN_2))

    assert list(tmp_path.iterdir()) == []


def test_a_merge_that_is_left_leaves_no_spill(tmp_path: Path) -> None:
    """A reducer that fails ends the loop."""
    groups = merge([source(("a", 1))] * 5, tmp_path, limits=FAN_IN_2)
    iterator = iter(groups)
    next(iterator)
    assert list(tmp_path.iterdir())

    groups.discard()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 50])
@pytest.mark.parametrize("fan_in", [2, 3, 7])
def test_narrowing_merges_neighbours_only_and_evenly(count: int, fan_in: int) -> None:
    """No merge is wider than the limit, order is kept, and no run is merged much more often."""
    merges: dict[Any, int] = {}

    def joined(runs: Any) -> Any:
        assert 1 < len(runs) <= fan_in
        merged = tuple(leaf for run in runs for leaf in run)
        for leaf in merged:
            merges[leaf] = merges.get(leaf, 0) + 1
        return merged

    result: Any = narrow([(n,) for n in range(count)], Limits(merge_fan_in_max=fan_in), joined)  # type: ignore[misc]

    assert len(result) <= fan_in
    assert [leaf for run in result for leaf in run] == list(range(count))
    depth = next(n for n in range(1, 10) if fan_in**n >= count)
    assert all(number <= depth for number in merges.values())


def test_a_narrow_merge_does_no_more_work_than_it_must() -> None:
    """One run too many costs one merge of two."""
    widths: list[int] = []

    def joined(runs: Any) -> Any:
        widths.append(len(runs))
        return runs[0]

    narrow(list(range(65)), Limits(), joined)  # type: ignore[arg-type]

    assert widths == [2]


@pytest.mark.parametrize(("bytes_max", "widths"), [(35, [3, 2, 3, 2]), (0, [2] * 6), (1000, [])])
def test_runs_are_merged_until_they_fit_in_memory(bytes_max: int, widths: list[int]) -> None:
    """One with large values counts for many; two are always merged, or there would be no end."""
    seen: list[int] = []

    def joined(runs: Any) -> int:
        seen.append(len(runs))
        return max(runs)

    sizes = [10, 10, 10, 30, 10, 10, 10, 10]
    limits = Limits(merge_bytes_max=bytes_max)

    result = narrow(sizes, limits, joined, size_of=int)

    assert seen == widths
    assert len(result) <= 2 or sum(result) <= bytes_max


def test_a_fan_in_of_one_is_our_bug() -> None:
    """The configuration refuses it."""
    with pytest.raises(AssertionError, match="merge_fan_in_max is 1"):
        narrow([], Limits(merge_fan_in_max=1), lambda runs: runs[0])


def test_a_pickled_value_reaches_the_reducer_as_it_was(tmp_path: Path) -> None:
    """Sets, ranges, objects: through buffer, spill and merge."""
    result = shuffle(
        [[("k", {n, n + 1}) for n in range(5)]],
        tmp_path,
        limits=Limits(spill_bytes_max=0, merge_fan_in_max=2),
    )

    assert result.groups == [("k", [{n, n + 1} for n in range(5)])]
