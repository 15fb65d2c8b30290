"""The reduce side of the shuffle, compiled: what `pymr.shuffle.merge` does, many times as fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Any, Protocol

from pymr._native import GroupMerge, RowWriter, Run, decode_key, merge_to_spill
from pymr.core.spec import EdgeSum, Limits
from pymr.shuffle.combine import Blame, Combine
from pymr.shuffle.fetch import Fetched
from pymr.shuffle.merge import narrow
from pymr.shuffle.native_combine import native_combine
from pymr.shuffle.sorted_run import SortedRunReader
from pymr.shuffle.values import short_repr


class _Removable(Protocol):
    def remove(self) -> None: ...


class NativeReduceMerge:
    """`ReduceMerge`, compiled; `combine` is None, a built-in or a `FunctionCombine`.

    Of the footer of each source, what it says of `partition` is kept. `paths` are local files with
    the bytes of the sources, where there are such; or sources have been fetched, and are removed
    with the spills. `on_tick` is called every few groups with the
    bytes and records that were read; it must not hold the merge. `blame` is that of `ReduceMerge`.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each a part of the job
        self,
        sources: Sequence[SortedRunReader] | Fetched,
        partition: int,
        *,
        limits: Limits,
        spill_folder: str,
        combine: Combine | None,
        paths: Sequence[str] | None = None,
        on_tick: Callable[[int, int], object] = lambda _bytes, _records: None,
        blame: Blame | None = None,
    ) -> None:
        self.combined_in = self.combined_out = self.spills = self.healed = 0
        self._limits = limits
        self._spill_folder = spill_folder
        self._combine = native_combine(combine, limits)
        self._on_tick = on_tick
        self._blame = blame
        self._removed: list[_Removable] = []  # at the end
        if isinstance(sources, Fetched):
            self._runs, self.healed = sources.runs, sources.healed
            self._removed.append(sources)
        else:
            self._runs = [
                Run(source.name, *source.read_footer(), partition, source.read_at, path)
                for source, path in zip(sources, paths or repeat(None, len(sources)), strict=True)
            ]
        self._read_before = EdgeSum()  # by merges into spills
        self._groups: GroupMerge | None = None

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Return the one iterator over the groups."""
        return self._open()

    def reduce_into(
        self, rows: RowWriter, reduce: str, fallback: Callable[[Any, Any], object]
    ) -> None:
        """Append a row for each group, instead of an iteration over them.

        `reduce` is the name of a built-in. Where it cannot be computed on encoded values, or a
        row is not plain, `fallback(key, values)` does what remains of the group; values that were
        combined already stand in it as one. identity appends a row for each value.
        """
        self._open().reduce_into(rows, reduce, fallback)

    def _open(self) -> GroupMerge:
        runs = narrow(self._runs, self._limits, self._merge, attrgetter("merge_bytes"))
        # Not `self.discard`: a cycle through a compiled object is never collected.
        self._groups = GroupMerge(
            runs,
            0,
            self._limits.merge_bytes_max,
            partial(_tick, self._on_tick, self._read_before),
            partial(_remove, self._removed),
            self._blame,
        )
        self._runs = runs
        return self._groups

    @property
    def read(self) -> EdgeSum:
        """What was really read of the sources so far."""
        if self._groups is None:
            return self._read_before
        return self._read_before + EdgeSum(*self._groups.read)

    @property
    def groups(self) -> int:
        """The groups that were yielded."""
        return self._groups.counts[0] if self._groups else 0

    @property
    def reduced(self) -> int:
        """Values in the groups that were yielded."""
        return self._groups.counts[1] if self._groups else 0

    @property
    def largest_group(self) -> int:
        """The most values of a key."""
        return self._groups.counts[2] if self._groups else 0

    @property
    def largest_key(self) -> str | None:
        """The `repr` of the key with the most values, at most 80 characters."""
        key = self._groups.largest_key if self._groups else None
        return None if key is None else short_repr(decode_key(key))

    def discard(self) -> None:
        """Remove the spills; the end of the iteration does so too."""
        _remove(self._removed)
        self._runs = []
        if self._groups is not None:
            self._groups.close()

    def _merge(self, runs: Sequence[Run]) -> Run:
        limits = self._limits
        run, moved = merge_to_spill(
            list(runs),
            1,
            limits.block_bytes,
            limits.merge_bytes_max,
            self._combine,
            self._spill_folder,
        )
        records, size, fingerprint, values_in, values_out = moved
        self._read_before += EdgeSum(records, size, fingerprint)
        self.combined_in += values_in
        self.combined_out += values_out
        self.spills += 1
        for merged in runs:
            merged.remove()
        self._removed.append(run)
        return run


def _tick(on_tick: Callable[[int, int], object], before: EdgeSum, size: int, records: int) -> None:
    on_tick(before.bytes + size, before.records + records)


def _remove(files: list[_Removable]) -> None:
    for file in files:  # An exception's traceback may hold them for long.
        file.remove()
    files.clear()
