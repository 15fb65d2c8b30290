"""What is said of attempts late, twice, or under another master."""

from __future__ import annotations

import pytest

from core_samples import (
    LOST,
    asked,
    attempt,
    committed,
    complete,
    exceeded,
    files,
    finished,
    job,
    map_verified,
    phase,
    receipt,
    reduce_verified,
    verified,
)
from pymr.core.events import (
    AttemptStarted,
    Command,
    Finished,
    Grant,
    Held,
    Journal,
    Keep,
    Note,
    Recovered,
    Renewed,
    Revoke,
    TaskCommitted,
    TaskInvalidated,
    Ticked,
    Verify,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.phase import Phase
from pymr.core.plan import plan_map_tasks
from pymr.core.replay import attempt_first
from pymr.core.sources import decode_sources, encode_sources, sources_digest
from pymr.core.spec import Attempt

EARLIER, NOW = attempt(0, 3), attempt(0, 1001)


def granted(commands: list[Command]) -> Attempt | None:
    """The attempt that was granted, if one was."""
    return next((c.attempt for c in commands if isinstance(c, Grant)), None)


def later(tasks: int = 1, name: str = "map", **limits: float) -> Phase:
    """A phase under the second master."""
    return phase(tasks, name, attempt_first=attempt_first(2), **limits)  # type: ignore[arg-type]


def held(of: Attempt, worker: str = "w9", now: float = 1.0, sources: str | None = None) -> Held:
    return Held(of, worker, now, sources)


# -- of a phase ------------------------------------------------------------------------------


def test_f58_a_worker_goes_on_with_what_it_was_granted_by_an_earlier_master() -> None:
    """Its attempt is live again, and may win; the numbers of this epoch are not its."""
    p = later(tasks=2)

    assert p.handle(held(EARLIER)) == [
        Keep("w9", EARLIER, expires=11.0),
        Note(AttemptStarted(EARLIER, "w9")),
    ]
    assert p.state_of(0) == "running"
    assert granted(p.handle(asked("w", 1.0))) == attempt(1, 1001)
    assert p.handle(Renewed(EARLIER, 5.0)) == []
    assert p.handle(finished(EARLIER, 6.0)) == [Verify(receipt(EARLIER))]
    assert p.handle(verified(EARLIER)) == [Journal(committed(EARLIER))]
    assert p.handle(committed(EARLIER)) == []
    p.check()


def test_an_attempt_that_was_adopted_is_lost_like_any_other() -> None:
    """Its task waits again, once."""
    p = later()
    p.handle(asked("w"))
    p.handle(WorkerLost("w", LOST, 1.0))  # Its task waits again, when it is adopted.
    p.handle(held(EARLIER))
    p.check()

    p.handle(WorkerLost("w9", LOST, 2.0))

    p.check()
    assert granted(p.handle(asked("w", 2.0))) == attempt(0, 1003)
    assert granted(p.handle(asked("w", 2.0))) is None


def test_f29_an_earlier_attempt_is_refused_where_another_one_owns_the_task() -> None:
    """It runs already, or is committed."""
    p = later()
    p.handle(asked("w"))
    assert p.handle(held(EARLIER)) == [Revoke(EARLIER)]

    complete(p, NOW)

    assert p.handle(held(EARLIER)) == [Revoke(EARLIER)]
    assert p.handle(held(NOW)) == [], "the winner may say what it likes"


def test_an_attempt_of_this_epoch_that_has_lost_its_lease_has_lost_it_for_good() -> None:
    """Its worker was told to stop it."""
    p = later()
    p.handle(asked("w"))
    for second in range(14):
        p.handle(Ticked(float(second)))
    assert p.state_of(0) == "pending"

    assert p.handle(held(NOW, now=14.0)) == [Revoke(NOW)]


def test_a_worker_that_registers_anew_keeps_its_leases_under_its_new_name() -> None:
    """What becomes of the old name is no matter then; nor what it says once too often."""
    p = phase(tasks=2)
    p.handle(asked("old", 0.0))

    assert p.handle(held(attempt(), "new", 5.0)) == [Keep("new", attempt(), expires=15.0)]
    assert p.handle(held(attempt(), "new", 6.0)) == [Keep("new", attempt(), expires=16.0)]
    assert p.handle(WorkerLost("old", LOST, 6.0)) == []
    p.check()
    assert p.state_of(0) == "running"
    p.handle(finished(attempt(), 7.0))
    assert isinstance(p.handle(held(attempt(), "newer", 8.0))[0], Keep), "it is complete"
    p.check()


@pytest.mark.parametrize("task", [-1, 1, 99])
def test_a_task_that_does_not_exist_is_not_held(task: int) -> None:
    """What comes over a network may be anything."""
    p = later()

    assert p.handle(held(attempt(task))) == [Revoke(attempt(task))]


def test_nothing_is_adopted_beside_a_task_that_runs_alone() -> None:
    """Nor is a task adopted that waits to run alone."""
    p = later(tasks=2)
    p.handle(asked("w"))
    p.handle(exceeded(NOW))
    assert p.handle(held(EARLIER)) == [Revoke(EARLIER)]
    complete_fresh = attempt(1, 1001)
    p.handle(asked("w"))
    complete(p, complete_fresh)
    p.handle(asked("w"))
    assert p.runs_alone
    p.handle(TaskInvalidated(committed(complete_fresh).receipt, "it is gone"))

    assert p.handle(held(attempt(1, 3))) == [Revoke(attempt(1, 3))]


# -- of both phases --------------------------------------------------------------------------

TASKS = plan_map_tasks(files(26), 2)


def reducing() -> Job:
    """A job under the second master, whose map tasks an earlier one has committed."""
    j = job(attempt_first=attempt_first(2))
    for task in TASKS:
        told = map_verified(attempt(task.index), task, 2)
        j.handle(Recovered(told.receipt, told.partitions, told.splits))
    assert j.state == "reduce"
    return j


def test_f58_a_reduce_attempt_goes_on_if_it_reads_what_there_is() -> None:
    """The list of map outputs that it reads is that of now, by its digest."""
    j = reducing()
    of = attempt(1, 4, "reduce")

    assert j.handle(held(of, sources=j.sources_digest()))[0] == Keep("w9", of, expires=11.0)
    assert j.reduce.state_of(1) == "running"
    assert j.verdict(of) == "open"


@pytest.mark.parametrize("sources", [None, "", "0" * 64])
def test_f29_a_reduce_attempt_that_reads_something_else_is_refused(sources: str | None) -> None:
    """A map output was written anew since, under another key."""
    j = reducing()
    of = attempt(1, 4, "reduce")

    assert j.handle(held(of, sources=sources)) == [Revoke(of)]
    assert j.reduce.state_of(1) == "pending"


def test_a_reduce_attempt_is_not_adopted_while_a_map_output_is_missing() -> None:
    """Whatever it read, what it reads next may be gone. What has a lease is told to go on."""
    j = reducing()
    j.handle(asked("w"))
    of, told = attempt(1, 4, "reduce"), attempt(0, 1001, "reduce")
    digest = j.sources_digest()
    lost = map_verified(attempt(0), TASKS[0], 2).receipt
    j.handle(TaskInvalidated(lost, "it is gone"))

    assert j.handle(held(of, sources=digest)) == [Revoke(of)]
    assert isinstance(j.handle(held(told, "w"))[0], Keep)


def test_the_digest_of_sources_is_that_of_the_bytes_of_their_list() -> None:
    """And another one, once a map output is written anew under another key."""
    j = reducing()
    body = encode_sources(j.map_sources())
    before = j.sources_digest()

    assert decode_sources(body) == j.map_sources()
    assert sources_digest(body) == before
    j.handle(TaskInvalidated(map_verified(attempt(0), TASKS[0], 2).receipt, "it is gone"))
    j.handle(asked("w"))
    of = attempt(0, 1001)
    told = map_verified(of, TASKS[0], 2)
    for event in (Finished(of, told.receipt, 1.0), told, TaskCommitted(told.receipt)):
        j.handle(event)
    assert j.sources_digest() not in {before, ""}


def test_f26_f27_f28_f30_the_verdict_on_an_attempt_is_the_same_however_often_it_is_asked() -> None:
    """Committed: it is the output. Open: it may become so. Stale: it is not wanted any more."""
    j = job()
    won, never = attempt(0), attempt(1, 7)
    assert j.verdict(won) == "stale", "nobody granted it"
    j.handle(asked("w"))
    told = map_verified(won, TASKS[0], 2)
    for event in (Finished(won, told.receipt, 1.0), told):
        assert j.verdict(won) == "open"
        j.handle(event)
    assert j.verdict(won) == "open", "the journal has the last word"
    j.handle(TaskCommitted(told.receipt))

    for _ in range(100):
        assert j.handle(Finished(won, told.receipt, 2.0)) == []
        assert j.handle(told) == []
        assert j.verdict(won) == "committed"
    late = attempt(0, 2)
    assert j.handle(Finished(late, map_verified(late, TASKS[0], 2).receipt, 2.0)) == [Revoke(late)]
    assert (j.verdict(late), j.verdict(never)) == ("stale", "stale")
    assert j.ledger.summary().counters == {"mapped": 1}


def test_a_winner_of_a_reduce_task_that_says_it_holds_it_is_not_revoked() -> None:
    """Its object is the output."""
    j = reducing()
    j.handle(asked("w"))
    of = attempt(0, 1001, "reduce")
    told = reduce_verified(of, 2)
    for event in (Finished(of, told.receipt, 1.0), told, TaskCommitted(told.receipt)):
        j.handle(event)

    assert j.handle(held(of, "w", sources="other")) == []
    assert j.verdict(of) == "committed"
