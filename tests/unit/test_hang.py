"""Attempts that make no progress, by the runner's clock."""

from __future__ import annotations

from pymr.core.spec import Attempt
from pymr.runner.hang import DEAF_S, HANG_GRACE_S, HangWatch

ATTEMPT = Attempt("map", 3, 1)


class Process:
    """What the watch needs of a task process."""

    def __init__(self, attempt: Attempt | None = ATTEMPT) -> None:
        self.attempt = attempt
        self.done: list[str] = []

    def interrupt(self) -> None:
        """Take note."""
        self.done.append("interrupt")

    def kill(self) -> None:
        """Take note."""
        self.done.append("kill")


def looks(watch: HangWatch, process: Process, start: float, end: float) -> list[str]:
    """Look twice a second and return what was done to the process."""
    process.done = []
    for half in range(round(2 * start), round(2 * end) + 1):
        watch.look([process], half / 2)
    return process.done


def test_an_attempt_is_interrupted_once_and_then_killed() -> None:
    """After the timeout without progress, and the grace that it has to report."""
    watch, process = HangWatch(10.0), Process()
    watch.progressed(ATTEMPT, 0.0)
    assert looks(watch, process, 0, 9.5) == []

    assert looks(watch, process, 10, 10 + HANG_GRACE_S - 0.5) == ["interrupt"]
    assert looks(watch, process, 10 + HANG_GRACE_S, 10 + HANG_GRACE_S) == ["kill"]
    assert watch.ended(ATTEMPT)
    assert not watch.ended(ATTEMPT)


def test_progress_begins_the_time_anew() -> None:
    """However long the attempt takes."""
    watch, process = HangWatch(10.0), Process()
    for start in range(0, 100, 9):
        watch.progressed(ATTEMPT, start)
        assert looks(watch, process, start, start + 9) == []
    assert not watch.ended(ATTEMPT)


def test_time_in_which_the_runner_was_deaf_does_not_count() -> None:
    """It was stopped, or the machine stalled: what it was told is not read yet."""
    watch, process = HangWatch(10.0), Process()
    watch.progressed(ATTEMPT, 0.0)
    looks(watch, process, 0, 5)

    assert looks(watch, process, 60, 64.5) == []
    assert looks(watch, process, 65, 65) == ["interrupt"]
    assert DEAF_S < 10


def test_without_a_timeout_nothing_is_watched() -> None:
    """Nor is what runs nothing."""
    off, idle = HangWatch(None), HangWatch(1.0)
    off.progressed(ATTEMPT, 0.0)

    assert not off.is_on
    assert idle.is_on
    assert looks(off, Process(), 0, 100) == []
    assert looks(idle, Process(None), 0, 100) == []
