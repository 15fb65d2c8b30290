"""Following a run in pods: what is shown once, and what is no end."""

from __future__ import annotations

from pymr.cluster.ending import is_moved
from pymr.core.events import Entry, RunFinished, Warned
from pymr.errors import InterruptedRunError, UserCodeError, to_dict
from pymr.kubernetes.follow import Seen
from pymr.runner.life import Observer


class Shown(Observer):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def entry(self, entry: Entry) -> None:
        """Keep the number of an entry."""
        self.numbers.append(entry.seq)


def entry(number: int) -> Entry:
    """Return an entry of a history."""
    return Entry(1, number, 0.0, Warned("look"))


def ended_by(signal: str, *, is_cancelled: bool = False) -> RunFinished:
    """Return the end of a life that a signal has ended."""
    fields = {"is_cancelled": True} if is_cancelled else {}
    return RunFinished(to_dict(InterruptedRunError("told to", signal=signal, **fields)))


def at_last(finished: RunFinished) -> Entry:
    """Return the last entry of a life."""
    return Entry(1, 1, 0.0, finished)


def test_what_this_process_has_written_is_not_shown_again_when_it_comes_back() -> None:
    """The plan is written from here, and stands in the history that is followed."""
    shown = Shown()
    seen = Seen(shown)
    for number in (1, 2):
        seen.entry(entry(number))

    told = [seen.take(entry(number)) for number in (1, 2, 3, 3, 4)]

    assert told == [False, False, True, False, True]
    assert shown.numbers == [1, 2, 3, 4]


def test_what_was_before_a_resume_is_not_shown() -> None:
    """It was, when it happened."""
    shown = Shown()
    seen = Seen(shown, last=7)

    for number in range(1, 10):
        seen.take(entry(number))

    assert shown.numbers == [8, 9]


def test_the_end_of_a_masters_life_is_not_shown_as_the_runs() -> None:
    """It would stand there as failed, until another pod has taken it on."""
    shown = Shown()
    seen = Seen(shown)

    seen.take(Entry(1, 1, 0.0, ended_by("SIGTERM")))
    seen.take(Entry(1, 2, 0.0, RunFinished(None)))

    assert shown.numbers == [2]


def test_f108_a_master_that_was_told_to_end_has_not_ended_its_run() -> None:
    """Another pod goes on; but for one that was cancelled, or interrupted by its user."""
    assert is_moved(at_last(ended_by("SIGTERM")))
    assert not is_moved(at_last(ended_by("SIGTERM", is_cancelled=True)))
    assert not is_moved(at_last(ended_by("SIGINT")))
    assert not is_moved(at_last(RunFinished(to_dict(UserCodeError("no")))))
    assert not is_moved(at_last(RunFinished(None)))
    assert not is_moved(entry(1)), "it goes on"
