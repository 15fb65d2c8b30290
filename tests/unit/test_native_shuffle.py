"""The compiled shuffle by example: what it refuses, and how it meets the user's code."""

from __future__ import annotations

import gc
import inspect
import resource
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, combine_by, reader_of, records_of
from pymr.core.spec import EdgeSum, Limits
from pymr.errors import CorruptDataError
from pymr.records.part import PartWriter
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.codec import decode_key, decode_value, encode_key
from pymr.shuffle.engine import REFERENCE, map_buffer, reduce_merge
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.partition import partition_of
from pymr.shuffle.sorted_run import SortedRunReader

SMALL = Limits(spill_bytes_max=2000, merge_fan_in_max=2, block_bytes=100)


def buffer(folder: Path, **changes: Any) -> NativeMapBuffer:
    """Return a buffer with one partition and default limits, but for `changes`."""
    options: dict[str, Any] = {"partitions": 1, "limits": Limits(), "spill_folder": str(folder)}
    return NativeMapBuffer(**(options | changes))


def written(filled: NativeMapBuffer) -> bytes:
    """Return the sorted run of `filled`."""
    target = MemoryObject()
    filled.finish(target)
    return bytes(target.data)


def finish(filled: NativeMapBuffer) -> list[tuple[Any, Any]]:
    """Return the decoded records of the sorted run."""
    return [(decode_key(key), decode_value(value)) for _, key, value in records_of(written(filled))]


def merge_of(pairs: list[tuple[Any, Any]], folder: Path, **options: Any) -> NativeReduceMerge:
    """Return the merge of one map task's records."""
    records = buffer(folder)
    for key, value in pairs:
        records.emit(key, value)
    source = reader_of(written(records))
    return NativeReduceMerge(
        [source], 0, limits=Limits(), spill_folder=str(folder), combine=None, **options
    )


def test_a_merge_that_has_not_begun_has_read_nothing(tmp_path: Path) -> None:
    """The sums grow while it is iterated, from none."""
    merge = merge_of([("a", 1)], tmp_path)

    assert (merge.read, merge.groups, merge.reduced) == (EdgeSum(), 0, 0)
    assert [list(values) for _, values in merge] == [[1]]
    assert (merge.read.records, merge.groups, merge.reduced) == (1, 1, 1)


def test_values_of_one_key_come_in_the_order_of_map_tasks(tmp_path: Path) -> None:
    """Of two and of many: equal keys are never compared by what arrived first."""
    for tasks in (2, 3, 7):
        sources = []
        for task in range(tasks):
            records = buffer(tmp_path)
            records.emit("a", task)
            sources.append(reader_of(written(records)))
        merge = NativeReduceMerge(
            sources, 0, limits=Limits(), spill_folder=str(tmp_path), combine=None
        )

        assert [list(values) for _, values in merge] == [list(range(tasks))]


def test_emit_takes_names_and_refuses_what_is_no_pair(tmp_path: Path) -> None:
    """As the plain method does; help() and inspect know its arguments."""
    records = buffer(tmp_path)
    emit: Any = records.emit

    emit("a", value=1)
    emit(value=2, key="b")
    for args, names in [
        (("a",), {}),
        (("a", 1, 2), {}),
        (("a",), {"key": 1}),
        (("a", 1), {"value": 1}),
        (("a",), {"other": 1}),
        ((), {}),
    ]:
        with pytest.raises(TypeError, match=r"emit\(\)"):
            emit(*args, **names)

    assert str(inspect.signature(emit)) == "(key, value)"
    assert finish(records) == [("a", 1), ("b", 2)]


def test_a_key_or_value_over_its_limit_is_refused_as_by_the_plain_buffer(tmp_path: Path) -> None:
    """The same words, at the same byte; nothing of the record stays."""
    limits = Limits(key_bytes_max=10, value_bytes_max=10)
    native = buffer(tmp_path, limits=limits)
    plain = MapBuffer(partitions=1, limits=limits, spill_folder=str(tmp_path))
    records: list[tuple[Any, Any]] = [
        ("k" * 9, "v" * 8),
        ("k" * 10, 1),
        (b"k" * 10, 1),
        (2**80, 1),
        ("k", "v" * 9),
        ("k", 2**80),
        ([], 1),
        ({}, 1),
        ("k", lambda: None),
    ]
    messages: list[list[str]] = []
    for key, value in records:
        found = []
        for target in (native, plain):
            try:
                target.emit(key, value)
                found.append("taken")
            except (TypeError, ValueError) as error:
                found.append(f"{type(error).__name__}: {error}")
        messages.append(found)

    assert all(found[0] == found[1] for found in messages), messages
    assert sum(found[0] == "taken" for found in messages) == 1
    assert len(finish(native)) == 1


@pytest.mark.parametrize("result", [3, -1, None, 1.0, "x" * 90])
def test_a_partitioner_must_return_a_partition(tmp_path: Path, result: Any) -> None:
    """As for the plain buffer, and nothing of the record stays."""
    records = buffer(tmp_path, partitions=3, partitioner=lambda *_: result)

    with pytest.raises(ValueError, match=r"partitioner returned .*, expected an int from 0 to 2"):
        records.emit("k", 1)
    assert finish(records) == []


def test_another_seed_gives_keys_other_partitions(tmp_path: Path) -> None:
    """Those of the hash with that seed, for keys of every fast path."""
    keys = [*range(50), *map(str, range(50)), *(b"%d" % n for n in range(50)), (1, "a")]
    records = buffer(tmp_path, partitions=3, partition_seed=7)
    for key in keys:
        records.emit(key, None)

    partitions = {decode_key(key): p for p, key, _ in records_of(written(records))}

    assert partitions == {key: partition_of(encode_key(key), 3, 7) for key in keys}


def test_another_thread_may_not_emit(tmp_path: Path) -> None:
    """A mapper that starts threads gets an error, and no result even if it hides the error."""
    records = buffer(tmp_path)
    errors: list[str] = []

    def emit() -> None:
        for value in (1, "text"):
            try:
                records.emit("k", value)
            except RuntimeError as error:
                errors.append(str(error))

    thread = threading.Thread(target=emit)
    thread.start()
    thread.join()

    assert len(errors) == 2
    assert all("by another thread" in error for error in errors)
    with pytest.raises(RuntimeError, match="by another thread"):
        finish(records)


def test_a_finished_buffer_takes_nothing_more(tmp_path: Path) -> None:
    """Neither a record nor a second finish; discarding it is free."""
    records = buffer(tmp_path)
    finish(records)

    with pytest.raises(RuntimeError, match="or is finished"):
        records.emit("k", 1)
    with pytest.raises(RuntimeError, match="or is finished"):
        finish(records)
    records.discard()


class Emits:
    """Emits when it is pickled, and when it is unpickled asks for more values."""

    target: NativeMapBuffer

    def __reduce__(self) -> tuple[Callable[..., object], tuple[()]]:
        self.target.emit("inner", 2)
        return (Emits, ())


def test_code_of_the_user_may_emit_while_a_record_is_encoded(tmp_path: Path) -> None:
    """Pickling and partitioners are such code; a spill in between loses nothing."""

    def partitioner(key: Any, _: int) -> int:
        if key == "outer":
            records.emit("middle", 3)
        return 0

    records = buffer(tmp_path, limits=Limits(spill_bytes_max=0), partitioner=partitioner)
    Emits.target = records
    records.emit("outer", Emits())

    assert [key for key, _ in finish(records)] == ["inner", "middle", "outer"]


class AsksAgain:
    """Asks for the next value while it is unpickled itself."""

    values: Iterator[Any]

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return (AsksAgain.next, ())

    @staticmethod
    def next() -> object:
        """Return the next value, or refuse."""
        return next(AsksAgain.values)


def test_a_value_that_asks_for_the_next_one_is_refused(tmp_path: Path) -> None:
    """The merge has one place; nothing is read twice, and the process lives."""
    merge = merge_of([("k", AsksAgain())] * 2, tmp_path)
    _, AsksAgain.values = next(iter(merge))
    with pytest.raises(RuntimeError):
        list(AsksAgain.values)
    assert merge.reduced == 2


@pytest.mark.parametrize("count", [1, 3, 10_000])
def test_values_are_read_once_and_within_their_group(tmp_path: Path, count: int) -> None:
    """Small groups and those of several batches alike."""
    kept = []
    for key, values in merge_of([(key, n) for key in "ab" for n in range(count)], tmp_path):
        if key == "a":
            kept.append(values)
            assert next(values) == 0
        assert sum(values) == sum(range(count))
        with pytest.raises(RuntimeError, match="values can be iterated once; use list"):
            iter(values)

    for use in (iter, next):
        with pytest.raises(RuntimeError, match="values can be iterated once; use list"):
            use(kept[0])


@pytest.mark.parametrize("count", [1, 3])
def test_the_iterator_of_values_is_like_any_other(tmp_path: Path, count: int) -> None:
    """It is its own iterator, before and behind the first value."""
    for _, values in merge_of([(key, n) for key in "ab" for n in range(count)], tmp_path):
        iterator = iter(values)
        assert iter(iterator) is iterator
        assert next(iterator) == 0
        assert list(iterator) == list(range(1, count))
        assert list(iterator) == []


def test_a_small_group_kept_beyond_its_end_does_not_seem_to_be_empty(tmp_path: Path) -> None:
    """One value that nobody took."""
    groups = iter(merge_of([("a", 1), ("b", 2), ("c", 3), ("d", 4)], tmp_path))
    kept = iter(next(groups)[1])
    next(groups)
    next(groups)

    with pytest.raises(RuntimeError, match="iterated once"):
        list(kept)


def test_a_large_group_kept_beyond_its_end_does_not_seem_to_be_whole(tmp_path: Path) -> None:
    """Its iterator raises where the rest of the group would have come."""
    pairs: list[tuple[Any, Any]] = [("a", n) for n in range(10_000)]
    groups = iter(merge_of([*pairs, ("b", 1)], tmp_path))
    kept = iter(next(groups)[1])
    next(groups)

    with pytest.raises(RuntimeError, match="iterated once"):
        list(kept)


def test_unread_values_are_counted_and_large_ones_come_few_at_a_time(tmp_path: Path) -> None:
    """The books need every record, whatever the reducer reads."""
    merge = merge_of([("a", b"x" * 100_000)] * 50 + [("b", 1)], tmp_path)

    for _ in merge:
        pass

    assert (merge.read.records, merge.reduced, merge.groups) == (51, 51, 2)
    assert (merge.largest_group, merge.largest_key) == (50, "'a'")


def test_a_builtin_makes_rows_where_it_can_and_asks_python_where_it_cannot(
    tmp_path: Path,
) -> None:
    """A float among ints leaves the rest of the group to the exact sum of Python."""
    pairs = [("a", 1), ("a", 2**62), ("a", 2**63), ("b", 1), ("b", 2), ("b", 0.5), ("c", 2**200)]
    blocks: list[bytes] = []
    asked = []
    part = PartWriter(blocks.append, "tsv")

    def fallback(key: Any, values: Any) -> None:
        asked.append((key, list(values)))
        part.emit(key, "asked")

    ticks: list[int] = []
    merge = merge_of(
        [*pairs, *((f"d{n:03}", n) for n in range(200))],
        tmp_path,
        on_tick=lambda _bytes, records: ticks.append(records),
    )
    merge.reduce_into(part.rows, "sum", fallback)
    part.finish()

    rows = b"".join(blocks).decode().splitlines()
    assert rows[:3] == [f"a\t{1 + 2**62 + 2**63}", "b\tasked", "c\tasked"]
    assert rows[3:] == [f"d{n:03}\t{n}" for n in range(200)]
    assert asked == [("b", [3, 0.5]), ("c", [2**200])]
    assert ticks == [69, 133, 197]  # the record that ended a group, too
    assert (merge.groups, merge.reduced) == (203, 207)


def test_a_row_that_is_not_plain_is_made_by_python(tmp_path: Path) -> None:
    """The result stands for all values then."""
    deep = (1, (2, 3))
    found = []
    part = PartWriter(lambda _: None, "tsv")

    merge = merge_of([(deep, 4), (deep, 3), ("x", 1)], tmp_path)
    merge.reduce_into(part.rows, "max", lambda key, values: found.append((key, list(values))))

    assert found == [(deep, [4])]
    assert part.finish().records == 1


def test_the_objects_of_a_group_are_its_own_while_somebody_has_them(tmp_path: Path) -> None:
    """They are used again for the next one only if nobody does."""
    pairs = [(key, n) for key in range(6) for n in range(key % 3 + 1)]

    kept = list(merge_of(pairs, tmp_path))
    read = [(key, list(values)) for key, values in merge_of(pairs, tmp_path)]

    assert [key for key, _ in kept] == list(range(6))
    assert len({id(pair) for pair in kept}) == len({id(values) for _, values in kept}) == 6
    assert read == [(key, list(range(key % 3 + 1))) for key in range(6)]


def test_spills_are_private_and_few_files_are_open(tmp_path: Path) -> None:
    """Any number of spills needs no more open files than the fan-in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    records = buffer(tmp_path / "spills", limits=Limits(spill_bytes_max=0, merge_fan_in_max=8))
    open_now = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, hard))
    try:
        for number in range(200):
            records.emit(number, "v")
        assert (tmp_path / "spills").stat().st_mode & 0o777 == 0o700
        assert all(p.stat().st_mode & 0o777 == 0o600 for p in (tmp_path / "spills").iterdir())
        assert len(finish(records)) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list((tmp_path / "spills").iterdir()) == []


def test_another_thread_runs_while_a_run_is_written(tmp_path: Path) -> None:
    """The GIL is released, and the buffer is closed meanwhile."""
    seen: list[str] = []

    class Watched(MemoryObject):
        def write(self, data: bytes) -> None:
            try:
                records.emit("x", 1)
            except RuntimeError as error:
                seen.append(str(error))
            super().write(data)

    records = buffer(tmp_path)
    records.emit("k", 1)
    records.finish(Watched())

    assert "while the buffer combines, spills" in seen[0]


def test_a_file_that_is_shorter_than_its_run_is_corrupt(tmp_path: Path) -> None:
    """Read from the file itself, or through the store when there is no such file."""
    records = buffer(tmp_path)
    for number in range(1000):
        records.emit(number, "v")
    data = written(records)
    path = tmp_path / "run"
    path.write_bytes(data[:50])
    _, end = reader_of(data).read_footer()

    def read_at(offset: int, length: int) -> bytes:
        found = data if offset >= end else path.read_bytes()  # shorter since it was opened
        return found[offset : offset + length]

    source = SortedRunReader(read_at, len(data), "the run")
    for found in (str(path), str(tmp_path / "missing"), None):
        merge = NativeReduceMerge(
            [source],
            0,
            limits=Limits(),
            spill_folder=str(tmp_path),
            combine=None,
            paths=None if found is None else [found],
        )
        with pytest.raises(CorruptDataError, match="it has 38 bytes where") as caught:
            list(merge)
        assert caught.value.fields == {"path": "the run", "offset": 12}


def test_the_plain_shuffle_runs_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nowhere else, whatever combines."""

    def made(combine: Any) -> tuple[type, type]:
        options: dict[str, Any] = {"limits": Limits(), "spill_folder": "/x", "combine": combine}
        merge = reduce_merge([], 0, on_tick=print, **options)
        return type(map_buffer(partitions=1, **options)), type(merge)

    combines = (None, combine_for("sum"), combine_by(print))
    for combine in combines:
        assert made(combine) == (NativeMapBuffer, NativeReduceMerge)
    monkeypatch.setenv(REFERENCE, "1")
    for combine in combines:
        assert made(combine) == (MapBuffer, ReduceMerge)


def test_buffers_and_what_they_hold_are_freed(tmp_path: Path) -> None:
    """Nothing refers to itself: memory goes when the last name does."""

    class Value:
        def __reduce__(self) -> tuple[type, tuple[()]]:
            return (int, ())

    records = buffer(tmp_path)
    value = Value()
    records.emit("k", value)
    gone = weakref.ref(value), weakref.ref(records)
    gc.disable()
    try:
        del value, records
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_many_keys_leave_the_table_and_come_back_in_order(tmp_path: Path) -> None:
    """More keys than the table takes, then old ones again: in order of emission."""
    records = buffer(tmp_path, limits=Limits(spill_bytes_max=64 << 20))
    pairs = [(f"{n % 60_000}", n) for n in range(150_000)]
    for key, value in pairs:
        records.emit(key, value)

    expected = sorted(pairs, key=lambda pair: (encode_key(pair[0]), pair[1]))
    assert finish(records) == expected
