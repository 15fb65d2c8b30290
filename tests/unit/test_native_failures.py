"""What the compiled shuffle holds on to, and what it keeps when a disk fails it."""

from __future__ import annotations

import resource
import tracemalloc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, reader_of, records_of
from pymr.core.spec import Limits
from pymr.errors import ResourceError
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader


def buffer(folder: Path, limits: Limits) -> NativeMapBuffer:
    """Return a buffer with one partition."""
    return NativeMapBuffer(partitions=1, limits=limits, spill_folder=str(folder))


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
