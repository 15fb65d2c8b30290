"""Sorted runs in memory, and the oracle that every shuffle must equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Self

import pymr
from pymr._native import xxh3_128
from pymr.core.spec import JobSpec, Limits
from pymr.shuffle.bounded import encode_varint
from pymr.shuffle.buffer import MapBuffer, MapTotals
from pymr.shuffle.combine import Combine
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader, SortedRunWriter
from pymr.task.call import combine_of
from pymr.task.user_code import shape_of

Pairs = Sequence[tuple[Any, Any]]
Groups = list[tuple[Any, list[Any]]]
_RANKS = {type(None): 0, bool: 1, int: 2, float: 3, str: 4, bytes: 5, tuple: 6}


class MemoryObject:
    """An `ObjectWriter` whose bytes stay here; the shuffle may only write."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self.data += data

    def commit(self) -> None:
        """Refuse: that is up to the task."""
        raise AssertionError("the shuffle commits nothing")

    def __enter__(self) -> Self:
        raise AssertionError("the shuffle opens nothing")

    def __exit__(self, *_: object) -> None:
        raise AssertionError("the shuffle closes nothing")


def fingerprint_of(key: bytes, value: bytes) -> int:
    """Return the fingerprint of one encoded record, which `fingerprint_sum` adds up."""
    return xxh3_128(encode_varint(len(key)) + key + value)


def reader_of(data: bytes, digest: str | None = None) -> SortedRunReader:
    """Open the sorted run whose bytes are `data`."""
    reader = SortedRunReader(
        lambda offset, length: data[offset : offset + length], len(data), "memory", digest
    )
    assert reader.footer
    return reader


def run_of(
    records: Iterable[tuple[int, bytes, bytes]],
    *,
    partitions: int = 1,
    block_bytes: int = 100,
    extra: bytes = b"",
) -> tuple[bytes, str]:
    """Return the bytes and the digest of a sorted run of (partition, key, value)."""
    target = MemoryObject()
    writer = SortedRunWriter(target.write, partitions, block_bytes)
    for partition, key, value in records:
        writer.add(partition, key, value)
    digest = writer.finish(extra)
    return bytes(target.data), digest


def records_of(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return what `run_of` wrote."""
    reader = reader_of(data)
    return [
        (partition, key, value)
        for partition in range(len(reader.footer.partitions))
        for key, values in reader.entries(partition)
        for value in values
    ]


class Shuffled(NamedTuple):
    """What came out of a whole shuffle."""

    partitions: list[Groups]
    totals: list[MapTotals]
    merges: list[ReduceMerge]
    sources: list[SortedRunReader]

    @property
    def groups(self) -> Groups:
        """The groups of all partitions, in key order."""
        return sorted(
            (group for groups in self.partitions for group in groups),
            key=lambda group: order(group[0]),
        )


def shuffle(
    tasks: Sequence[Pairs],
    folder: object,
    *,
    partitions: int = 1,
    limits: Limits | None = None,
    combine: Combine | None = None,
    native: bool = False,
    **options: Any,
) -> Shuffled:
    """Send the pairs of each map task through a buffer, and all of them through the merges."""
    limits = limits or Limits()
    make_buffer: Any = NativeMapBuffer if native else MapBuffer
    make_merge: Any = NativeReduceMerge if native else ReduceMerge
    sources, totals = [], []
    for pairs in tasks:
        buffer = make_buffer(
            partitions=partitions,
            limits=limits,
            spill_folder=f"{folder}/map",
            combine=combine,
            **options,
        )
        for key, value in pairs:
            buffer.emit(key, value)
        target = MemoryObject()
        totals.append(buffer.finish(target))
        sources.append(reader_of(bytes(target.data), totals[-1].footer_digest))
    merges = [
        make_merge(sources, index, limits=limits, spill_folder=f"{folder}/reduce", combine=combine)
        for index in range(partitions)
    ]
    groups = [[(key, list(values)) for key, values in merge] for merge in merges]
    return Shuffled(groups, totals, merges, sources)


def combine_by(function: Callable[[Any, Any, Any], Any], limits: Limits | None = None) -> Combine:
    """Return the combiner of a job whose combiner is `function`."""
    job = pymr.Job(mapper=print, reducer=print, combiner=function)
    shape = shape_of(job, digest="d")
    spec = JobSpec(
        run="r", name="n", worker="w", shape=shape, reducers=1, limits=limits or Limits()
    )
    combine = combine_of(job, spec)
    assert combine is not None
    return combine


def order(key: Any) -> tuple[Any, ...]:
    """Map a key to something whose own order is the key order of the contract."""
    rank = _RANKS[type(key)]
    if key is None:
        return (rank,)
    if type(key) is float:
        return (rank, math.isnan(key), 0.0 if math.isnan(key) else key)
    if type(key) is tuple:
        return (rank, [order(item) for item in key])
    return (rank, key)


def oracle(tasks: Iterable[Pairs]) -> list[tuple[Any, list[Any]]]:
    """Return `order(key)` and the values of each group: `sorted` and `groupby`, no more."""
    pairs = sorted(
        ((order(key), value) for pairs in tasks for key, value in pairs), key=lambda pair: pair[0]
    )
    return [
        (key, [value for _, value in group]) for key, group in groupby(pairs, lambda pair: pair[0])
    ]
