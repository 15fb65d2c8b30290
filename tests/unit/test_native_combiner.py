"""Functions as combiners in the compiled shuffle: what they are given, and what they may do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, combine_by, reader_of, records_of, shuffle
from pymr.core.spec import Limits
from pymr.errors import UserCodeError
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer

SMALL = Limits(spill_bytes_max=2000, merge_fan_in_max=2, block_bytes=100)
Function = Callable[[Any, Any, Any], Any]


def buffer(folder: Path, function: Function, **changes: Any) -> NativeMapBuffer:
    """Return a buffer with one partition and default limits, but for `changes`."""
    combine = combine_by(function, changes.get("limits"))
    options: dict[str, Any] = {"partitions": 1, "limits": Limits(), "spill_folder": str(folder)}
    return NativeMapBuffer(combine=combine, **(options | changes))


def finish(filled: NativeMapBuffer) -> list[tuple[Any, Any]]:
    """Return the decoded records of the sorted run."""
    target = MemoryObject()
    filled.finish(target)
    records = records_of(bytes(target.data))
    return [(decode_key(key), decode_value(value)) for _, key, value in records]


def add(ctx: Any, key: Any, values: Any) -> None:
    """Emit the sum."""
    ctx.emit(key, sum(values))


def test_groups_are_combined_in_memory_and_when_spills_are_merged(tmp_path: Path) -> None:
    """One value a key is left, and the books say what became of the others."""
    for limits in (Limits(), SMALL):
        records = buffer(tmp_path, add, limits=limits)
        for number in range(2000):
            records.emit(number % 50, 1)
        target = MemoryObject()

        totals = records.finish(target)

        assert (totals.spills > 10) == (limits is SMALL)
        assert [decode_value(value) for _, _, value in records_of(bytes(target.data))] == [40] * 50
        assert totals.emitted - totals.combined_in + totals.combined_out == 50
        assert list(tmp_path.iterdir()) == []


def test_a_combiner_gets_two_values_or_more_in_order(tmp_path: Path) -> None:
    """In memory, in merges of spills and in merges of a reduce task."""
    seen: list[tuple[Any, list[int]]] = []

    def join(ctx: Any, key: Any, values: Any) -> None:
        boxes = list(values)
        seen.append((key, boxes))
        ctx.emit(key, [number for box in boxes for number in box])

    tasks = [[(n % 20, [n]) for n in range(50)], [(n, [n]) for n in range(15, 60)]] * 2
    result = shuffle(tasks, tmp_path, limits=SMALL, combine=combine_by(join), native=True)

    assert result.merges[0].combined_in > 0
    assert min(len(boxes) for _, boxes in seen) == 2
    joined = {key: [n for box in boxes for n in box] for key, boxes in result.groups}
    assert joined[15] == [15, 35, 15, 15, 35, 15]


def by_yield(_ctx: Any, key: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the least value, and how many there were."""
    listed = list(values)
    yield key, min(listed)
    yield key, len(listed)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (add, [6]),
        (by_yield, [1, 3]),
        (lambda _ctx, key, values: [(key, tuple(values))], [(1, 2, 3)]),
        (lambda ctx, key, values: ctx.emit(key, "text" * len(list(values))), ["text" * 3]),
        (lambda ctx, key, values: ctx.emit(key=key, value={key: list(values)}), [{"k": [1, 2, 3]}]),
        (lambda ctx, _key, values: ctx.emit("".join("k"), next(values)), [1]),
        (lambda _ctx, _key, _values: None, []),
    ],
)
def test_a_combiner_emits_yields_or_returns(
    tmp_path: Path, function: Function, expected: list[Any]
) -> None:
    """Any values, one or many or none, of any number of those that it was given."""
    records = buffer(tmp_path, function)
    for number in (1, 2, 3):
        records.emit("k", number)

    assert [value for _, value in finish(records)] == expected


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises; a shell has it ignored by what it starts in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "function",
    [
        lambda ctx, _key, _values: ctx.emit("other", 1),
        lambda _ctx, _key, _values: [(b"k", 1)],
        lambda ctx, _key, _values: ctx.emit("k" * 200, 1),
        lambda ctx, _key, _values: ctx.count("n"),
        lambda ctx, _key, _values: ctx.emit([], 1),
        lambda ctx, key, _values: ctx.emit(key, threading.Lock()),
        lambda ctx, key, _values: ctx.emit(key, "v" * 100),
        lambda _ctx, _key, _values: 1 // 0,
        lambda _ctx, _key, _values: ("k", 1),
        lambda ctx, _key, _values: ctx.input,
        lambda _ctx, _key, values: [list(values), list(values)],
        lambda _ctx, _key, _values: signal.raise_signal(signal.SIGINT),
    ],
)
def test_what_a_combiner_may_not_do_is_blamed_as_by_the_plain_shuffle(
    tmp_path: Path, function: Function
) -> None:
    """The same words, fields and frames; the buffer is left as it was, and no file."""
    limits = Limits(value_bytes_max=100)
    found = []
    for make in (NativeMapBuffer, MapBuffer):
        combine, folder = combine_by(function, limits), str(tmp_path)
        records = make(partitions=1, limits=limits, spill_folder=folder, combine=combine)
        records.emit("k", 1)
        records.emit("k", 1)
        with pytest.raises(UserCodeError) as caught:
            records.finish(MemoryObject())
        found.append((str(caught.value), caught.value.fields, caught.value.hint))
        assert list(tmp_path.iterdir()) == []

    assert found[0] == found[1]
    assert found[0][1]["key"] == "'k'"
    assert found[0][1]["frames"][0]["file"] == __file__


def test_a_key_of_another_type_is_another_key(tmp_path: Path) -> None:
    """1, 1.0 and True are equal in Python, and three keys."""
    for own, other in [(1, True), (1, 1.0), ((1, "a"), (True, "a"))]:
        for emitted in (own, other):
            records = buffer(tmp_path, lambda ctx, _key, _values, k=emitted: ctx.emit(k, 1))
            records.emit(own, 1)
            records.emit(own, 1)
            if emitted is own:
                assert finish(records) == [(own, 1)]
            else:
                with pytest.raises(UserCodeError, match="own key only"):
                    finish(records)


@pytest.mark.parametrize("count", [2, 3, 10_000])
def test_values_are_read_once_and_within_their_group(tmp_path: Path, count: int) -> None:
    """Small groups and those of several portions alike, in memory and in merges."""
    kept: list[Any] = []

    def function(ctx: Any, key: Any, values: Any) -> None:
        ctx.emit(key, next(values) + sum(values))
        with pytest.raises(RuntimeError, match="values can be iterated once; use list"):
            iter(values)
        for old in kept:
            for use in (iter, next):
                with pytest.raises(RuntimeError, match="values can be iterated once; use list"):
                    use(old)
        kept[:] = [values]

    pairs = [(key, 1) for _ in range(count) for key in "ab"]
    for limits in (Limits(), SMALL):
        result = shuffle(
            [pairs], tmp_path, limits=limits, combine=combine_by(function), native=True
        )

        assert result.groups == [("a", [count]), ("b", [count])]
        with pytest.raises(RuntimeError, match="values can be iterated once"):
            next(kept[0])
        kept.clear()


def test_an_iterator_kept_beyond_a_large_group_does_not_seem_to_be_whole(tmp_path: Path) -> None:
    """It raises where the rest of the group would have come."""
    kept: list[Any] = []
    records = buffer(tmp_path, lambda _ctx, _key, values: kept.append(iter(values)))
    for number in range(10_000):
        records.emit("a", number)
    finish(records)

    with pytest.raises(RuntimeError, match="iterated once"):
        list(kept[0])


class Counted:
    """Knows how many of its kind are alive."""

    alive = most = 0

    def __init__(self) -> None:
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (Counted, ())

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize("limits", [Limits(), Limits(spill_bytes_max=50_000, merge_fan_in_max=2)])
def test_a_large_group_streams_in_and_out(tmp_path: Path, limits: Limits) -> None:
    """A combiner that keeps all values needs no memory for them, and ends; order holds."""

    def function(ctx: Any, key: Any, values: Any) -> None:
        for value in values:
            ctx.emit(key, value)

    records = buffer(tmp_path, function, limits=limits)
    for _ in range(30_000):
        records.emit("k", Counted())
    Counted.most = 0
    target = MemoryObject()

    totals = records.finish(target)

    assert totals.written.records == 30_000
    assert totals.combined_in == totals.combined_out >= 30_000
    assert reader_of(bytes(target.data)).footer.index[0].groups == 1
    assert Counted.most < 10_000
    assert Counted.alive == 0


def test_values_that_a_merge_leaves_unread_are_counted(tmp_path: Path) -> None:
    """A group of several portions, of which the combiner reads one value."""
    passes_on = [True]

    def function(ctx: Any, key: Any, values: Any) -> None:
        for value in values:
            ctx.emit(key, value)
            if not passes_on:
                break

    records = buffer(tmp_path, function, limits=Limits(spill_bytes_max=100_000))
    for number in range(40_000):
        records.emit("k", number)
    passes_on.clear()
    target = MemoryObject()

    totals = records.finish(target)

    assert totals.spills > 3
    assert totals.emitted - totals.combined_in + totals.combined_out == 1
    assert len(records_of(bytes(target.data))) == 1


def test_a_combiner_that_stops_early_has_still_been_given_the_group(tmp_path: Path) -> None:
    """The books count what went in, read or not; a group that leaves nothing is gone."""
    for limits, count in ((Limits(), 200_000), (SMALL, 5000)):
        pairs = [(n % 20, n) for n in range(count)]
        for function, left in [
            (lambda ctx, key, values: ctx.emit(key, next(values)), 20),
            (lambda *_: None, 0),
        ]:
            result = shuffle(
                [pairs], tmp_path, limits=limits, combine=combine_by(function), native=True
            )
            totals = result.totals[0]

            assert totals.emitted - totals.combined_in + totals.combined_out == left
            assert result.sources[0].footer.index[0].groups == left
            assert result.groups == [(key, [key]) for key in range(left)]


class Broken:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[int]]:
        return (Broken.make, (1,))

    @staticmethod
    def make(_: int) -> object:
        """Refuse."""
        raise LookupError("no such thing")


def test_a_value_that_cannot_be_unpickled_fails_where_it_is_read(tmp_path: Path) -> None:
    """In the combiner's own loop, first or last; unread it does no harm."""
    for values in ([Broken(), 1], [1, Broken()]):
        records = buffer(tmp_path, lambda _ctx, _key, values: list(values))
        for value in values:
            records.emit("k", value)
        with pytest.raises(UserCodeError, match="combiner raised LookupError: no such thing"):
            finish(records)

        records = buffer(tmp_path, lambda ctx, key, _values: ctx.emit(key, 7))
        for value in values:
            records.emit("k", value)
        assert finish(records) == [("k", 7)]
