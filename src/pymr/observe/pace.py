"""How fast a run reads, by the times of its events: the same live and from history. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

SAMPLE_S: Final = 1.0  # between samples: to sum up thousands of attempts takes time
WINDOW_S: Final = 10.0  # that rates are averages over


class Pace:
    """Samples of how far a phase was; times are Unix seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def is_due(self, time: float) -> bool:
        """Say whether a sample is wanted at `time`."""
        return not self._samples or time >= self._samples[-1][0] + SAMPLE_S

    def add(self, time: float, size: int, records: int) -> None:
        """Take a sample: bytes and records so far."""
        self._samples.append((time, size, records))
        while self._samples[0][0] < time - WINDOW_S and len(self._samples) > 2:  # noqa: PLR2004
            self._samples.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Return bytes and records per second up to `now`; 0 while or when nothing is known."""
        if len(self._samples) < 2 or now - self._samples[-1][0] > WINDOW_S:  # noqa: PLR2004
            return 0.0, 0.0
        (began, size_before, before), (last, size, records) = self._samples[0], self._samples[-1]
        elapsed = max(now, last) - began
        # An attempt that failed takes back what it had read.
        return max(0.0, (size - size_before) / elapsed), max(0.0, (records - before) / elapsed)
