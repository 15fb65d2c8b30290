"""Merging sorted runs: many sources, one stream of groups in key order.

Law: equal keys come in the order of their sources, and within a source in its own order. With
sources in the order of map tasks that is input order. The merge is the textbook's: a stable
`heapq.merge`, then `groupby` (Knuth, TAOCP 3, §5.4.1).

At most `merge_fan_in_max` sorted runs are merged at once. When there are more, neighbours are
merged into spills first, and only as many as needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NoReturn, TypeVar

from pymr._native import decode_key
from pymr.core.spec import EdgeSum, Limits
from pymr.shuffle.combine import Blame, Combine, Combiner
from pymr.shuffle.sorted_run import Entry, SortedRunReader, SortedRunWriter, record_sum
from pymr.shuffle.spill import SpillFolder
from pymr.shuffle.values import GroupValues, short_repr

_Run = TypeVar("_Run")

_KEY: Callable[[Entry], bytes] = itemgetter(0)
_VALUES: Callable[[Entry], list[bytes]] = itemgetter(1)


def merged_groups(
    sources: Iterable[Iterator[Entry]],
) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Yield each encoded key with its encoded values; consume them before the next key."""
    for key, entries in groupby(heapq.merge(*sources, key=_KEY), key=_KEY):
        yield key, chain.from_iterable(map(_VALUES, entries))


def merge_into(
    writer: SortedRunWriter,
    partition: int,
    sources: Iterable[Iterator[Entry]],
    combiner: Combiner,
) -> None:
    """Write the merged and combined groups of `sources` as `partition` of `writer`."""
    for key, values in merged_groups(sources):
        writer.add_group(partition, key, combiner.apply(key, values))


def narrow(
    runs: Sequence[_Run],
    limits: Limits,
    merge: Callable[[Sequence[_Run]], _Run],
    size_of: Callable[[_Run], int] = lambda _: 0,
) -> list[_Run]:
    """Return few enough sorted runs to be merged at once, in order, by merging neighbours.

    At most `merge_fan_in_max`, and `merge_bytes_max` in memory, where `size_of` says what one
    takes; but two can always be merged. Merges go round, so that no record is merged much more
    often than another.
    """
    fan_in_max, bytes_max = limits.merge_fan_in_max, limits.merge_bytes_max
    assert fan_in_max > 1, f"merge_fan_in_max is {fan_in_max}, expected at least 2"
    result = list(runs)
    sizes = [size_of(run) for run in result]
    total = sum(sizes)
    start = 0
    while len(result) > fan_in_max or (len(result) > 2 and total > bytes_max):  # noqa: PLR2004
        width = fan_in_max
        if total <= bytes_max:
            width = min(width, len(result) - fan_in_max + 1)
        if start + min(width, 2 if total > bytes_max else width) > len(result):
            start = 0
        window = slice(start, start + _fitting(sizes[start : start + width], bytes_max))
        merged = merge(result[window])
        total += size_of(merged) - sum(sizes[window])
        result[window], sizes[window] = [merged], [size_of(merged)]
        start += 1
    return result


def _fitting(sizes: Sequence[int], bytes_max: int) -> int:
    """Return how many of the first `sizes` fit, at least two."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > bytes_max:
            return max(count, 2)
    return len(sizes)


class ReduceMerge:
    """The groups of one partition over `sources`, which stand in the order of map tasks.

    Iterate once; it yields `(key, values)` in key order. Values that nobody reads are read
    and counted all the same. The sums below grow while iterating and are final at its end:
    `read` is recomputed from the records that were really read. An error that a value raised when
    it was read is not hidden by whoever catches it: `blame(error, key)`, or else the iteration,
    raises it when the next group is asked for.
    """

    def __init__(
        self,
        sources: Sequence[SortedRunReader],
        partition: int,
        *,
        limits: Limits,
        spill_folder: str,
        combine: Combine | None,
        blame: Blame | None = None,
    ) -> None:
        self.read = EdgeSum()
        self.reduced = 0  # values in the groups that were yielded
        self.groups = 0
        self.healed = 0  # of what is read where it is nothing is read twice
        self.largest_group = 0
        self._largest: bytes | None = None
        self._sources = sources
        self._partition = partition
        self._limits = limits
        self._blame = blame
        self._spills = SpillFolder(spill_folder)
        self._combiner = Combiner(combine)
        self._spilled: set[SortedRunReader] = set()

    @property
    def combined_in(self) -> int:
        """Values that went into the combiner."""
        return self._combiner.values_in

    @property
    def combined_out(self) -> int:
        """Values that came out of it."""
        return self._combiner.values_out

    @property
    def spills(self) -> int:
        """Sorted runs written on the way."""
        return self._spills.count

    @property
    def largest_key(self) -> str | None:
        """The `repr` of the key with the most values, at most 80 characters."""
        return None if self._largest is None else short_repr(decode_key(self._largest))

    def __iter__(self) -> Iterator[tuple[Any, GroupValues]]:
        try:
            runs = narrow(self._sources, self._limits, self._merge)
            for key, encoded in merged_groups(map(self._entries, runs)):
                before = self.reduced
                values = GroupValues(self._counted(encoded))
                self.groups += 1
                yield decode_key(key), values
                values.close()
                if values.failed is not None:
                    self._refuse(values.failed, decode_key(key))
                if self.reduced - before > self.largest_group:
                    self.largest_group, self._largest = self.reduced - before, key
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the spills; the end of the iteration does so too."""
        self._spills.discard()

    def _refuse(self, error: BaseException, key: Any) -> NoReturn:
        if self._blame is not None:
            self._blame(error, key)
        raise error

    def _merge(self, runs: Sequence[SortedRunReader]) -> SortedRunReader:
        spill = self._spills.write(
            1,
            self._limits.block_bytes,
            lambda writer: merge_into(writer, 0, map(self._entries, runs), self._combiner),
        )
        self._spilled.add(spill)
        for run in runs:
            self._spills.remove(run)
        return spill

    def _entries(self, run: SortedRunReader) -> Iterator[Entry]:
        if run in self._spilled:
            yield from run.entries(0)
            return
        for key, values in run.entries(self._partition):
            self.read += record_sum(key, values)
            yield key, values

    def _counted(self, values: Iterator[bytes]) -> Iterator[bytes]:
        for value in values:
            self.reduced += 1
            yield value
