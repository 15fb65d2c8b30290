"""What the compiled shuffle holds on to, and what it keeps when a disk fails it."""

from __future__ import annotations

import resource
import signal
import weakref
from pathlib import Path

import pytest

from memory_runs import MemoryObject, reader_of, records_of
from pymr.core.spec import Limits
from pymr.errors import CorruptDataError, ResourceError
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge


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
