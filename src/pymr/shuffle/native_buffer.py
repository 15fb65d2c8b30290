"""The map side of the shuffle, compiled: what `pymr.shuffle.buffer` does, many times as fast.

The plain form stays the oracle: the same records give the same contents of runs, and the same
output. Where this one spills and combines depends on the records and the limits alone, too, but
not at the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Self

from pymr import failpoint
from pymr._native import RecordBuffer, Run, merge_to_run, merge_to_spill
from pymr.core.spec import EdgeSum, Limits
from pymr.shuffle.buffer import MapTotals
from pymr.shuffle.combine import Combine
from pymr.shuffle.merge import narrow
from pymr.shuffle.native_combine import NativeCombine, native_combine
from pymr.shuffle.normal_form import normalized
from pymr.shuffle.partition import partition_by
from pymr.shuffle.spill import failure
from pymr.store.base import ObjectWriter


class NativeMapBuffer(RecordBuffer):
    """`MapBuffer`, compiled; `combine` is None, a built-in or a `FunctionCombine`."""

    _partitions: int
    _limits: Limits
    _spill_folder: str | None
    _combine: NativeCombine
    _spills: list[Run]
    _spill_count: int
    _merged_in: int
    _merged_out: int

    def __new__(  # noqa: PLR0913 - keyword-only, each a part of the job
        cls,
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
    ) -> Self:
        """Make a buffer for the calling thread."""
        native = native_combine(combine, limits)
        self = super().__new__(
            cls,
            partitions=partitions,
            spill_bytes_max=limits.spill_bytes_max,
            block_bytes=limits.block_bytes,
            key_bytes_max=limits.key_bytes_max,
            value_bytes_max=limits.value_bytes_max,
            spill_folder=spill_folder or "",
            combine=native,
            partition_of=partial(partition_by, partitioner, partitions) if partitioner else None,
            normalized=partial(normalized, normalize) if normalize else None,
            count_only=count_only,
            partition_seed=partition_seed,
            boundaries=None if boundaries is None else list(boundaries),
        )
        self._partitions, self._limits = partitions, limits
        self._spill_folder, self._combine = spill_folder, native
        self._spills = []
        self._spill_count = 0
        self._merged_in = self._merged_out = 0
        return self

    def finish(self, writer: ObjectWriter, extra: bytes = b"") -> MapTotals:
        """Write the sorted run with `extra` in its footer; `writer` is not committed.

        Nothing may be emitted afterwards. The spills are gone.

        Raises:
            ResourceError: no space is left.
            CorruptDataError: a spill is not what was written.
        """
        emitted = self.emitted
        try:
            whole, (values_in, values_out) = self._write_all(writer, extra)
            self.check()  # A combiner may have had threads.
        finally:
            self.close()
            self.discard()
        records, size, fingerprint, digest, bytes_written = whole
        return MapTotals(
            emitted=emitted,
            combined_in=values_in + self._merged_in,
            combined_out=values_out + self._merged_out,
            written=EdgeSum(records, size, fingerprint),
            footer_digest=f"{digest:032x}",
            size=bytes_written,
            spills=self._spill_count,
        )

    def _write_all(self, writer: ObjectWriter, extra: bytes) -> tuple[Any, tuple[int, int]]:
        if not self._spills:
            return self.write(writer.write, extra), self.combined
        self._make_room()
        combined = self.combined
        # The merge needs the memory; and what a combiner emitted here would be lost.
        self.close()
        whole, moved = merge_to_run(
            narrow(self._spills, self._limits, self._merge, attrgetter("merge_bytes")),
            self._partitions,
            self._limits.block_bytes,
            self._limits.merge_bytes_max,
            self._combine,
            writer.write,
            extra,
        )
        self._count_merged(moved)
        return whole, combined

    def discard(self) -> None:
        """Remove the spills; may be called at any time, also twice."""
        for run in self._spills:  # An exception's traceback may hold them for long.
            run.remove()
        self._spills = []

    def _make_room(self) -> None:
        """Spill, or forget; `emit` calls this when the buffer is full."""
        if self._spill_folder is None:
            self.write(_forget, b"")
            return
        try:
            failpoint.hit("spill.write")
        except OSError as error:
            raise failure("write", self._spill_folder, error) from error
        self._spills.append(self.spill())
        self._spill_count += 1

    def _merge(self, runs: Sequence[Run]) -> Run:
        assert self._spill_folder is not None, "there are spills"
        run, moved = merge_to_spill(
            list(runs),
            self._partitions,
            self._limits.block_bytes,
            self._limits.merge_bytes_max,
            self._combine,
            self._spill_folder,
        )
        for merged in runs:
            merged.remove()
        self._spills.append(run)
        self._count_merged(moved)
        self._spill_count += 1
        return run

    def _count_merged(self, moved: tuple[int, int, int, int, int]) -> None:
        self._merged_in += moved[3]
        self._merged_out += moved[4]


def _forget(_data: bytes) -> None:
    pass
