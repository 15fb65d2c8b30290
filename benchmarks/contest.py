"""Runs sides against each other: in one run, alternating, so that a noisy machine is fair.

A clock of a shared machine is not to be trusted, a ratio taken in one run is. So every round
runs all sides, every second round in reverse order; what counts is computed from the medians.
The spread is that of the same figure computed for each round. A slow side runs in the first
round only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple


class Clocked(NamedTuple):
    """What one run took; the CPU seconds are those of all its processes that were waited for."""

    wall: float
    cpu: float
    memory_mb: float = 0  # peak, where it was sampled; MB of 1,000,000 bytes
    instructions: float = 0  # where they were counted


class Side(NamedTuple):
    """One of those that are compared."""

    name: str
    run: Callable[[], Clocked]
    once: bool = False  # too slow for every round


class Figure(NamedTuple):
    """A number that is computed from what the sides took, with what it is expected to be."""

    label: str  # of the target, as docs/benchmarks.md has it
    about: str
    compute: Callable[[Mapping[str, Clocked]], float]  # from what each side took, by its name
    unit: str = ""
    limit: float | None = None
    at_least: bool = False  # whether `limit` is the least or the most that it may be
    full_size: bool = True  # whether the inputs are as large as the target says


class Measure(NamedTuple):
    """Sides that are compared; the first is what the others' ratios are over."""

    name: str
    about: str
    sides: list[Side]
    figures: list[Figure]
    check: Callable[[], None]  # raises WrongAnswerError unless all sides' answers are equal
    rounds_factor: int = 1  # runs of milliseconds need more rounds than runs of seconds
    skipped: tuple[str, ...] = ()  # sides that this machine cannot run, and why
    close: Callable[[], None] = lambda: None  # ends what the sides have left running


class WrongAnswerError(Exception):
    """The sides' answers differ, so that their times mean nothing."""


class SkippedError(Exception):
    """A measure that this machine cannot take; the message says why."""


class Times:
    """What one side took, round by round."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.runs: list[Clocked] = []

    @property
    def wall(self) -> list[float]:
        """Wall seconds of each round."""
        return [run.wall for run in self.runs]

    @property
    def cpu(self) -> list[float]:
        """CPU seconds of each round."""
        return [run.cpu for run in self.runs]

    def middle(self) -> Clocked:
        """Return the medians."""
        return Clocked(*(median(column) for column in zip(*self.runs, strict=True)))

    def at(self, number: int) -> Clocked:
        """Return what round `number` took, or the only run of a slow side."""
        return self.runs[min(number, len(self.runs) - 1)]


class Result(NamedTuple):
    """What was measured."""

    measure: Measure
    times: list[Times]

    @property
    def rounds(self) -> int:
        """The runs of the sides that ran most often."""
        return max(len(entry.runs) for entry in self.times)

    def value(self, figure: Figure) -> float:
        """Return the figure of the medians."""
        return figure.compute({entry.side.name: entry.middle() for entry in self.times})

    def spread(self, figure: Figure) -> tuple[float, float]:
        """Return the figure's lowest and highest value of a round."""
        values = [
            figure.compute({entry.side.name: entry.at(number) for entry in self.times})
            for number in range(self.rounds)
        ]
        return min(values), max(values)

    def is_reached(self, figure: Figure) -> bool | None:
        """Whether the medians are within the limit; None if there is none."""
        if figure.limit is None:
            return None
        value = self.value(figure)
        return value >= figure.limit if figure.at_least else value <= figure.limit


def hold(measure: Measure, rounds: int) -> Result:
    """Run all sides of `measure` in each round.

    Raises:
        WrongAnswerError: after any round.
        SideFailedError: a command failed.
    """
    times = [Times(side) for side in measure.sides]
    try:
        for number in range(rounds * measure.rounds_factor):
            due = [entry for entry in times if number == 0 or not entry.side.once]
            if not due:
                break
            for entry in due if number % 2 == 0 else reversed(due):
                entry.runs.append(entry.side.run())
            measure.check()
    finally:
        measure.close()
    return Result(measure, times)


def wall_ratio(of: str, over: str) -> Callable[[Mapping[str, Clocked]], float]:
    """Return what computes the ratio of two sides' wall seconds."""
    return lambda took: took[of].wall / took[over].wall
