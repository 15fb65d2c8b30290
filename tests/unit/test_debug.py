"""Which failure of a run is debugged."""

from __future__ import annotations

from pymr.core.events import AttemptFailed, AttemptLost, Entry, Event, WorkersConnected
from pymr.core.spec import Attempt
from pymr.errors import TaskLostError, UserCodeError, to_dict
from pymr.runner.debug import Failure, failure_in

FIRST, AGAIN, OTHER = Attempt("map", 3, 1), Attempt("map", 3, 2), Attempt("reduce", 0, 1)
EARLY, LATE = UserCodeError("early"), UserCodeError("late", offset=7)
LOST = TaskLostError("worker-1 was killed")


def history(*events: Event) -> list[Entry]:
    return [Entry(1, seq, 0.0, event) for seq, event in enumerate(events, start=1)]  # type: ignore[arg-type]


RUN = history(
    WorkersConnected(2, 2),
    AttemptFailed(FIRST, to_dict(EARLY), will_retry=True),
    AttemptLost(OTHER, "worker-1", to_dict(LOST), will_retry=True),
    AttemptFailed(AGAIN, to_dict(LATE), will_retry=False),
)


def told(failure: Failure | None) -> tuple[Attempt, str] | None:
    return None if failure is None else (failure.attempt, failure.error.message)


def test_without_a_task_it_is_the_first_of_the_run() -> None:
    """Failed or lost."""
    assert told(failure_in(RUN, None, [])) == (FIRST, "early")
    assert told(failure_in(RUN[2:], None, [])) == (OTHER, "worker-1 was killed")


def test_a_task_that_is_done_since_is_passed_over() -> None:
    """Unless all are."""
    assert told(failure_in(RUN, None, [("map", 3)])) == (OTHER, "worker-1 was killed")
    assert told(failure_in(RUN, None, [("map", 3), ("reduce", 0)])) == (FIRST, "early")


def test_of_a_task_it_is_the_last() -> None:
    """With the fields of its error; another task's is none of it."""
    failure = failure_in(RUN, ("map", 3), [("map", 3)])

    assert told(failure) == (AGAIN, "late")
    assert failure is not None
    assert failure.error.fields == {"offset": 7}
    assert failure_in(RUN, ("map", 0), []) is None


def test_a_run_without_a_failure_has_none() -> None:
    """Other events are none."""
    assert failure_in(RUN[:1], None, []) is None
