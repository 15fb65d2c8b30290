"""The map side of the shuffle: records in, one sorted run out, in bounded memory.

    emit ─► groups in memory ─full─► combine ─still full─► sort, spill ─┐
                        └───────────finish──────────────────────────────┴─► merge ─► sorted run

Laws: equal keys keep the order in which they were emitted; where it combines and spills
depends on the records and the limits alone, so a second run of the attempt writes the same
bytes. This is the map side of Dean & Ghemawat, MapReduce (OSDI 2004), §3.1 and §4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any

import msgspec

from pymr._native import encode_key
from pymr.core.spec import EdgeSum, Limits
from pymr.shuffle.combine import Combine, Combiner
from pymr.shuffle.merge import merge_into, narrow
from pymr.shuffle.normal_form import normalized
from pymr.shuffle.partition import partition_by, partition_of, range_of
from pymr.shuffle.sorted_run import SortedRunReader, SortedRunWriter
from pymr.shuffle.spill import SpillFolder
from pymr.shuffle.value_codec import encode_value
from pymr.shuffle.values import too_large
from pymr.store.base import ObjectWriter

# What a record and a group cost beside their encoded bytes, so that the limit holds for
# memory: a bytes object and its place in a list; a list, two dict entries, key objects.
RECORD_BYTES = 48
GROUP_BYTES = 400

_ONE = encode_value(1)
_SMALL_INTS = {value: encode_value(value) for value in range(-16, 112)}  # those of one byte
_NOBODY = 0  # no thread has this ident


class MapTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What a map attempt put into its sorted run.

    `emitted - combined_in + combined_out == written.records`.
    """

    emitted: int
    combined_in: int
    combined_out: int
    written: EdgeSum
    footer_digest: str  # xxh3_128, hex
    size: int  # of the sorted run, bytes
    spills: int


class MapBuffer:
    """Takes the records of one map attempt; `finish` writes them, sorted and combined.

    It belongs to the thread that made it. Without a `spill_folder` it forgets what it holds when it
    is full: it refuses what any buffer does, and is not finished. `count_only` replaces every value
    by 1.
    `normalize` is the Unicode normal form that str keys are brought to. A key's partition is said
    by the `partitioner`, or else by its range, if there are `boundaries`, or else by its hash.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each a part of the job
        self,
        *,
        partitions: int,
        limits: Limits,
        spill_folder: str | None,
        combine: Combine | None = None,
        partitioner: Callable[[Any, int], int] | None = None,
        partition_seed: int = 0,
        boundaries: Sequence[bytes] | None = None,
        normalize: str | None = None,
        count_only: bool = False,
    ) -> None:
        self._partitions = partitions
        self._limits = limits
        self._combiner = Combiner(combine)
        self._has_combine = combine is not None
        self._partitioner = partitioner
        self._partition_seed = partition_seed
        self._boundaries = boundaries
        self._normalize = normalize
        self._count_only = count_only
        self._emitted = 0
        self._forgets = spill_folder is None
        self._spill_folder = SpillFolder(spill_folder or "")
        self._spills: list[SortedRunReader] = []
        self._thread = self._home = get_ident()
        self._misused: RuntimeError | None = None  # whoever hid it would lose records
        self._clear()

    def emit(self, key: Any, value: Any) -> None:
        """Take one record.

        Raises:
            TypeError: `key` is no key, or `value` cannot be pickled.
            ValueError: `key` or `value` is larger than its limit or nested too deeply, or the
                partitioner returned no partition.
            RuntimeError: called by another thread, or from within a combiner.
            ResourceError: no space is left for a spill.
        """
        if get_ident() != self._thread:
            raise self._misuse()
        # Pickling and the partitioner are code of the user, which may emit itself: nothing of
        # the buffer is held across them.
        data = _SMALL_INTS.get(value) if type(value) is int else None
        if data is None or self._count_only:
            data = self._encode(value)
        # Only an exact str is looked up by itself; 1, 1.0 and True are equal in a dict.
        group = self._strings.get(key) if type(key) is str else None
        if group is None:
            group = self._group_of(key)
        group.append(data)
        self._emitted += 1
        self._room -= len(data) + RECORD_BYTES
        if self._room < 0:
            self._make_room()

    def finish(self, writer: ObjectWriter, extra: bytes = b"") -> MapTotals:
        """Write the sorted run with `extra` in its footer; `writer` is not committed.

        Nothing may be emitted afterwards. The spills are gone.

        Raises:
            ResourceError: no space is left.
            CorruptDataError: a spill is not what was written.
        """
        self._check()
        if get_ident() != self._thread:
            raise self._misuse()
        self._thread = _NOBODY
        try:
            run = SortedRunWriter(writer.write, self._partitions, self._limits.block_bytes)
            self._combine_all()
            if self._spills:
                self._spill()
                self._merge_all(run, narrow(self._spills, self._limits, self._merge))
            else:
                self._write_groups(run)
            digest = run.finish(extra)
            self._check()  # A combiner may have had threads.
        finally:
            self.discard()
        return MapTotals(
            emitted=self._emitted,
            combined_in=self._combiner.values_in,
            combined_out=self._combiner.values_out,
            written=run.written,
            footer_digest=digest,
            size=run.size,
            spills=self._spill_folder.count,
        )

    def discard(self) -> None:
        """Drop what was emitted and remove the spills; may be called at any time, also twice."""
        self._clear()
        self._spills = []
        self._spill_folder.discard()

    def _clear(self) -> None:
        self._room = self._limits.spill_bytes_max  # bytes until the buffer is full
        self._groups: list[dict[bytes, list[bytes]]] = [{} for _ in range(self._partitions)]
        self._strings: dict[str, list[bytes]] = {}

    def _encode(self, value: Any) -> bytes:
        data = _ONE if self._count_only else encode_value(value)
        if len(data) > self._limits.value_bytes_max:
            raise too_large("value", len(data), self._limits.value_bytes_max)
        return data

    def _group_of(self, key: Any) -> list[bytes]:
        normal = key if self._normalize is None else normalized(self._normalize, key)
        data = encode_key(normal)
        if len(data) > self._limits.key_bytes_max:
            raise too_large("key", len(data), self._limits.key_bytes_max)
        partition = self._partition_of(normal, data)
        group = self._groups[partition].get(data)
        if group is None:
            group = self._groups[partition][data] = []
            self._room -= len(data) + GROUP_BYTES
        if type(key) is str:
            self._strings[key] = group
        return group

    def _partition_of(self, key: Any, data: bytes) -> int:
        if self._partitioner is None:
            if self._boundaries is not None:
                return range_of(data, self._boundaries)
            return partition_of(data, self._partitions, self._partition_seed)
        return partition_by(self._partitioner, self._partitions, key)

    def _make_room(self) -> None:
        if self._forgets:
            self._clear()
            return
        thread, self._thread = self._thread, _NOBODY
        try:
            self._combine_all()
            # Combining is worth its while only if it makes much room.
            if not self._has_combine or self._room < self._limits.spill_bytes_max // 2:
                self._spill()
        finally:
            self._thread = thread

    def _combine_all(self) -> None:
        if not self._has_combine:
            return
        for groups in self._groups:
            for key, group in groups.items():
                if len(group) > 1:
                    self._room += _memory(group)
                    group[:] = self._combiner.apply_to_list(key, group)
                    self._room -= _memory(group)

    def _spill(self) -> None:
        self._spills.append(
            self._spill_folder.write(self._partitions, self._limits.block_bytes, self._write_groups)
        )
        self._clear()

    def _write_groups(self, writer: SortedRunWriter) -> None:
        for partition, groups in enumerate(self._groups):
            for key in sorted(groups):
                writer.add_group(partition, key, groups[key])

    def _merge(self, runs: Sequence[SortedRunReader]) -> SortedRunReader:
        spill = self._spill_folder.write(
            self._partitions,
            self._limits.block_bytes,
            lambda writer: self._merge_all(writer, runs),
        )
        for run in runs:
            self._spill_folder.remove(run)
        return spill

    def _merge_all(self, writer: SortedRunWriter, runs: Sequence[SortedRunReader]) -> None:
        for partition in range(self._partitions):
            sources = [run.entries(partition) for run in runs]
            merge_into(writer, partition, sources, self._combiner)

    def _check(self) -> None:
        if self._misused is not None:
            raise self._misused

    def _misuse(self) -> RuntimeError:
        if self._thread == _NOBODY:
            error = RuntimeError(
                "emit was called while the buffer combines, spills or is finished,"
                " expected calls from the mapper only"
            )
        else:
            error = RuntimeError(
                "emit was called by another thread than the one that runs the mapper,"
                " expected all calls from that one"
            )
        if get_ident() != self._home:
            self._misused = error
        return error


def _memory(values: list[bytes]) -> int:
    return sum(map(len, values)) + RECORD_BYTES * len(values)
