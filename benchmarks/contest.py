"""Runs commands against each other: in one run, alternating, so that a noisy machine is fair.

A clock of a shared machine is not to be trusted, a ratio taken in one run is. So every round
runs all sides, every second round in reverse order; what counts is the ratio of the medians.
The spread is that of the ratios within each round.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Side(NamedTuple):
    """One command of a measure, with what it is expected to reach."""

    name: str
    command: list[str]
    output: Path | None = None  # removed before each run, so that each does the same work
    wall_max: float | None = None  # seconds
    ratio_max: float | None = None  # wall, over the measure's first side


class Measure(NamedTuple):
    """Sides that are compared; the first is what the others are held against."""

    name: str
    about: str
    sides: list[Side]
    check: Callable[[], None]  # raises WrongAnswerError unless all sides' answers are equal
    rounds_factor: int = 1  # runs of milliseconds need more rounds than runs of seconds


class Clocked(NamedTuple):
    """The seconds of one run: on the wall, and of CPU in all of its processes."""

    wall: float
    cpu: float


class WrongAnswerError(Exception):
    """The sides' answers differ, so that their times mean nothing."""


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

    def wall_ratio(self, other: Times) -> float:
        """Return the ratio of the medians."""
        return median(self.wall) / median(other.wall)

    def cpu_ratio(self, other: Times) -> float:
        """Return the ratio of the medians."""
        return median(self.cpu) / median(other.cpu)

    def ratio_spread(self, other: Times) -> tuple[float, float]:
        """Return the lowest and the highest wall ratio within a round."""
        ratios = [mine / theirs for mine, theirs in zip(self.wall, other.wall, strict=True)]
        return min(ratios), max(ratios)


def hold(measure: Measure, rounds: int, folder: Path) -> list[Times]:
    """Run all sides of `measure` in each round and return their times, in the sides' order.

    Raises:
        WrongAnswerError: after any round.
        CalledProcessError: a command failed.
    """
    times = [Times(side) for side in measure.sides]
    for number in range(rounds * measure.rounds_factor):
        for entry in times if number % 2 == 0 else reversed(times):
            entry.runs.append(_clock(entry.side, folder))
        measure.check()
    return times


def _clock(side: Side, folder: Path) -> Clocked:
    if side.output is not None:
        shutil.rmtree(side.output, ignore_errors=True)
    # Runs are not to appear among those of the user.
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    cpu_before = _cpu_of_children()
    started = time.perf_counter()
    subprocess.run(
        side.command, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    wall = time.perf_counter() - started
    return Clocked(wall, _cpu_of_children() - cpu_before)


def _cpu_of_children() -> float:
    """Return the CPU seconds of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
