"""The median of a growing collection, in two heaps. Pure."""

from __future__ import annotations

from heapq import heappush, heappushpop


class RunningMedian:
    """The median of the numbers added so far: O(log n) to add, O(1) to read."""

    def __init__(self) -> None:
        self._low: list[float] = []  # the lower half, negated: its largest is at the top
        self._high: list[float] = []  # the upper half, at most one longer than the lower

    def add(self, number: float) -> None:
        """Add one number."""
        if len(self._low) < len(self._high):
            heappush(self._low, -heappushpop(self._high, number))
        else:
            heappush(self._high, -heappushpop(self._low, -number))

    @property
    def value(self) -> float | None:
        """The upper median, one of the numbers added; None if there are none."""
        return self._high[0] if self._high else None
