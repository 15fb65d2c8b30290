"""Backup attempts: when a phase is nearly done, run what is slow a second time. Pure.

The idea is section 3.6 of the MapReduce paper (OSDI 2004); slow means slow against the
median of the attempts that won, and the longest running one goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heappushpop

from pymr.core.lease import Lease
from pymr.core.spec import Attempt


class Backups:
    """Attempts that run alone, the longest first, and how long attempts take."""

    def __init__(self, after: float, floor_s: float) -> None:
        """Call slow what runs longer than `after` times the median and than `floor_s`."""
        self._after = after
        self._floor_s = floor_s
        self._durations = RunningMedian()
        self._alone: list[tuple[float, Attempt]] = []  # heap by start; stale ones linger

    def watch(self, attempt: Attempt, started: float) -> None:
        """Note that `attempt` is the only one of its task. May be called again."""
        heappush(self._alone, (started, attempt))

    def learn(self, duration_s: float) -> None:
        """Note how long an attempt took that won."""
        self._durations.add(duration_s)

    def pick(
        self, but: str | None, now: float, find_alone: Callable[[Attempt], Lease | None]
    ) -> Attempt | None:
        """Take the longest running attempt that is slow, alone, and not on worker `but`.

        `find_alone` gives the lease of an attempt if it still runs, and runs alone. The
        attempt is not watched any more. O(log attempts) for each slot of that worker.
        """
        median = self._durations.value
        if median is None:
            return None
        slow_s = max(self._after * median, self._floor_s)
        own: list[tuple[float, Attempt]] = []
        found = None
        while self._alone and found is None:
            attempt = self._alone[0][1]
            lease = find_alone(attempt)
            if lease is not None and now - lease.started <= slow_s:
                break  # those behind it run for less
            entry = heappop(self._alone)
            if lease is not None and lease.worker == but:
                own.append(entry)
            elif lease is not None:
                found = attempt
        for entry in own:
            heappush(self._alone, entry)
        return found

    def check(self, alone: set[Attempt]) -> None:
        """Assert that all of `alone` are watched. O(attempts)."""
        watched = {attempt for _, attempt in self._alone}
        assert alone <= watched, f"can have no backup: {alone - watched}"


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
