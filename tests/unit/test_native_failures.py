"""What the compiled shuffle holds on to, and what it keeps when a disk fails it."""

from __future__ import annotations

import gc
import random
import resource
import signal
import tracemalloc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, reader_of, records_of
from pymr.core.spec import Limits
from pymr.errors import CorruptDataError, PymrError, ResourceError, StoreUnavailableError
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader


def buffer(folder: Path, limits: Limits, **options: Any) -> NativeMapBuffer:
    """Return a buffer with one partition."""
    return NativeMapBuffer(partitions=1, limits=limits, spill_folder=str(folder), **options)


def written(filled: NativeMapBuffer) -> bytes:
    """Return the sorted run of `filled`."""
    target = MemoryObject()
    filled.finish(target)
    return bytes(target.data)


def test_a_merge_is_gone_with_its_last_user(tmp_path: Path) -> None:
    """It holds descriptors and read-ahead, so no cycle may keep it until the collector comes."""
    records = buffer(tmp_path, Limits())
    records.emit("a", 1)
    records.emit("b", 2)
    merge = NativeReduceMerge(
        [reader_of(written(records))],
        0,
        limits=Limits(),
        spill_folder=str(tmp_path),
        combine=None,
    )
    assert [list(values) for _, values in merge] == [[1], [2]]
    gone = weakref.ref(merge)

    del merge

    assert gone() is None


@pytest.mark.parametrize("error", [CorruptDataError, StoreUnavailableError])
def test_a_merge_whose_error_was_hidden_is_gone_with_its_last_user(
    error: type[PymrError], tmp_path: Path
) -> None:
    """It keeps the error, which holds the frames of the reducer, and these the values."""
    dice = random.Random(1)
    records = buffer(tmp_path, Limits())
    for _ in range(40):
        records.emit("a", dice.randbytes(100_000))  # all of them are more than is read ahead
    data = bytearray(written(records))
    reader = reader_of(bytes(data))
    last = reader.footer.index[0].blocks[-1].offset
    data[last] ^= 1

    def read_at(offset: int, length: int) -> bytes:
        if error is StoreUnavailableError and offset <= last < offset + length:
            raise error("no answer")
        return bytes(data[offset : offset + length])

    reader.read_at = read_at
    merge = NativeReduceMerge(
        [reader], 0, limits=Limits(), spill_folder=str(tmp_path), combine=None
    )

    def reduce(values: Any) -> None:
        with pytest.raises(error):
            list(values)

    _, values = next(iter(merge))
    reduce(values)
    gone = weakref.ref(read_at)
    merge.discard()
    del merge, values, reader, read_at

    assert gone() is None


def test_a_buffer_that_its_partitioner_knows_is_collected(tmp_path: Path) -> None:
    """A worker file may keep its `ctx`, and so the buffer, where its functions are."""

    def partitioner(_key: object, _partitions: int) -> int:
        return 0

    records = buffer(tmp_path, Limits(), partitioner=partitioner)
    partitioner.known = records  # type: ignore[attr-defined]
    records.emit("k", 1)
    gone = weakref.ref(records)

    del records, partitioner
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    ("key", "value"), [("\ud800", 1), (("z", "\ud800"), 1), ("z", ["\ud800"]), ("z", {"\ud800": 1})]
)
def test_what_the_collector_emits_between_texts_without_utf_8_is_there_too(
    key: Any, value: Any, tmp_path: Path
) -> None:
    """Making the error of a lone surrogate may run it, in the middle of a call of `emit`."""
    records = buffer(tmp_path, Limits())
    late = 0

    class Late:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal late
            late += 1
            records.emit(("late", 0.5), {"late": [late]})

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            Late()
            records.emit(key, value)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()

    rows = [
        (decode_key(key), decode_value(value)) for _, key, value in records_of(written(records))
    ]

    assert sorted(row[1]["late"] for row in rows if row[0] == ("late", 0.5)) == [
        [number] for number in range(1, 101)
    ]
    assert [row for row in rows if row[0] != ("late", 0.5)] == [(key, value)] * 100


def test_a_spill_that_fails_loses_no_record(tmp_path: Path) -> None:
    """Who goes on after the disk was full for a moment gets every record that was taken."""
    records = buffer(tmp_path, Limits(spill_bytes_max=1 << 20))
    taken, refused = [], 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for number in range(120_000):
            try:
                records.emit(number % 60_000, number)
            except ResourceError:
                refused += 1
                if refused == 5:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                continue
            taken.append((number % 60_000, number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    found = {
        (decode_key(key), decode_value(value)) for _, key, value in records_of(written(records))
    }

    assert refused == 5
    assert set(taken) <= found


def test_a_merge_keeps_of_its_sources_only_what_it_will_read(tmp_path: Path) -> None:
    """A footer has an index of all partitions; there are as many footers as map tasks."""
    partitions, sources = 2000, 200
    target = MemoryObject()
    records = NativeMapBuffer(partitions=partitions, limits=Limits(), spill_folder=str(tmp_path))
    for number in range(4 * partitions):
        records.emit(number, number)
    records.finish(target)
    data = bytes(target.data)
    read_at = partial(_slice, data)
    readers = [SortedRunReader(read_at, len(data), "memory") for _ in range(sources)]
    limits, folder = Limits(merge_fan_in_max=2 * sources), str(tmp_path)

    tracemalloc.start()
    merge = NativeReduceMerge(readers, 7, limits=limits, spill_folder=folder, combine=None)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(next(iter(merge))) == 2
    assert held < sources * 1000
    assert peak < held + 4 * len(data)


def _slice(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


@pytest.mark.parametrize("make", [MapBuffer, NativeMapBuffer])
def test_a_buffer_without_a_folder_refuses_what_any_does_and_forgets_the_rest(make: Any) -> None:
    """For the search for a bad record, beside a buffer that is full."""
    limits = Limits(spill_bytes_max=10_000)
    records = make(partitions=1, limits=limits, spill_folder=None)
    tracemalloc.start()
    for number in range(20_000):
        records.emit(number, "a value")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    with pytest.raises(TypeError):
        records.emit([], 1)
    assert held < 100_000
    records.discard()


def test_a_disk_that_is_full_is_a_resource_error_that_names_the_folder(tmp_path: Path) -> None:
    """The half spill is gone; a limit on file sizes stands in for the disk."""
    records = buffer(tmp_path, Limits(spill_bytes_max=1 << 20))
    records.emit("k", "v")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ResourceError, match=f"cannot write a spill in `{tmp_path}`") as caught:
            records.emit("l", bytes(range(256)) * 3000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert caught.value.fields == {"path": str(tmp_path)}
    assert "--tmp-dir" in str(caught.value.hint)
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_resource_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_bytes(b"")
    records = buffer(tmp_path / "file" / "spills", Limits(spill_bytes_max=0))

    with pytest.raises(ResourceError, match="cannot write a spill"):
        records.emit("k", 1)


def test_a_spill_that_vanished_is_a_resource_error(tmp_path: Path) -> None:
    """Somebody cleaned the temporary folder."""
    records = buffer(tmp_path, Limits(spill_bytes_max=0))
    records.emit("k", 1)
    next(tmp_path.iterdir()).unlink()

    with pytest.raises(ResourceError, match="cannot read a spill"):
        written(records)


def test_a_spill_that_rots_is_corrupt(tmp_path: Path) -> None:
    """The local disk is not trusted either, and the other spills are removed."""
    records = buffer(tmp_path, Limits(spill_bytes_max=0))
    records.emit("k", "value")
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes().replace(b"value", b"velue"))

    with pytest.raises(CorruptDataError, match="checksum of a block differs") as caught:
        written(records)
    assert caught.value.fields == {"path": str(path), "offset": 12}
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_fails_the_buffer(tmp_path: Path) -> None:
    """The error of the store comes through as it is."""

    class Full(MemoryObject):
        def write(self, data: bytes) -> None:
            raise ResourceError("no space", path="there")

    for limits in (Limits(), Limits(spill_bytes_max=0)):
        records = buffer(tmp_path, limits)
        records.emit("k", 1)
        with pytest.raises(ResourceError, match="no space"):
            records.finish(Full())
    assert list(tmp_path.iterdir()) == []
