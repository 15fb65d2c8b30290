"""The lease and retry rules, each as the log of an incident."""

from __future__ import annotations

from typing import Any

import pytest

from core_samples import (
    LOST,
    USER,
    asked,
    attempt,
    committed,
    complete,
    failed,
    finished,
    phase,
    receipt,
    verified,
)
from pymr.core.events import (
    Abort,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    Command,
    Failed,
    Finished,
    Grant,
    Journal,
    Note,
    Published,
    Renewed,
    Revoke,
    Ticked,
    Verify,
    WorkerLost,
)
from pymr.core.phase import Phase
from pymr.core.spec import Attempt
from pymr.errors import InputError, StoreUnavailableError, TaskLostError, from_dict


def granted(commands: list[Command]) -> Attempt | None:
    """The attempt that was granted, if one was."""
    return next((c.attempt for c in commands if isinstance(c, Grant)), None)


def tick(p: Phase, until: float, step: float = 1.0) -> list[Command]:
    """Tick every second, as an edge that is awake does."""
    now, commands = 0.0, []
    while now <= until:
        commands += p.handle(Ticked(now))
        now += step
    return commands


def expired(of: Attempt, worker: str) -> dict[str, Any]:
    return {
        "type": "TaskLostError",
        "message": f"`{of}`: no sign of worker `{worker}` for 10 s",
        "hint": None,
        "fields": {"reason": "lease expired", "returncode": None},
    }


# -- the straight way ------------------------------------------------------------------------


def test_an_attempt_is_granted_verified_journalled_and_then_committed() -> None:
    """Nothing counts before its decision has come back from the journal."""
    p = phase()
    first = attempt()

    assert p.handle(asked("w", now=1.0)) == [
        Grant("w", first, expires=11.0),
        Note(AttemptStarted(first, "w")),
    ]
    assert p.handle(finished(first, now=2.0)) == [Verify(receipt(first))]
    assert p.handle(verified(first)) == [Journal(committed(first))]
    assert not p.done
    assert p.handle(committed(first)) == []
    assert p.done
    assert p.committed == {0: receipt(first)}


def test_pending_tasks_are_granted_lowest_first_and_retries_before_them() -> None:
    """A task that failed goes to the next worker, before tasks nobody has tried."""
    p = phase(tasks=4)
    assert [granted(p.handle(asked())) for _ in range(3)] == [attempt(0), attempt(1), attempt(2)]

    p.handle(failed(attempt(2)))
    p.handle(failed(attempt(0)))

    order = [granted(p.handle(asked())) for _ in range(4)]
    assert order == [attempt(0, 2), attempt(2, 2), attempt(3), None]


def test_counts_tell_where_the_tasks_are() -> None:
    """Pending, running and committed add up while a task fails and another commits."""
    p = phase(tasks=3)
    p.handle(asked())
    p.handle(asked())
    complete(p, attempt(0))
    p.handle(failed(attempt(1)))

    assert (p.pending, p.running, len(p.committed)) == (2, 0, 1)
    assert [p.state_of(task) for task in range(3)] == ["committed", "pending", "pending"]


def test_a_phase_without_tasks_is_done() -> None:
    """There is nothing to wait for, and nothing to grant."""
    p = phase(tasks=0)

    assert p.done
    assert p.handle(asked()) == []


def test_numbers_of_attempts_go_on_after_a_resume() -> None:
    """A resumed run starts at a number that no attempt before it had."""
    p = phase(attempt_first=8)

    assert granted(p.handle(asked())) == attempt(0, 8)
    p.handle(failed(attempt(0, 8)))
    assert granted(p.handle(asked())) == attempt(0, 9)


def test_a_decision_from_the_journal_commits_a_task_that_was_never_granted() -> None:
    """Replay: the task is done, whatever was to be granted next."""
    p = phase(tasks=3)

    assert p.handle(committed(attempt(1, 4))) == []
    assert granted(p.handle(asked())) == attempt(0)
    assert granted(p.handle(asked())) == attempt(2)


def test_a_decision_from_the_journal_commits_a_task_that_waits_for_a_retry() -> None:
    """The queue forgets it."""
    p = phase(tasks=2)
    p.handle(asked())
    p.handle(failed(attempt(0)))

    p.handle(committed(attempt(0, 1)))

    assert granted(p.handle(asked())) == attempt(1)
    p.check()


def test_the_first_decision_about_a_task_counts() -> None:
    """A second decision, of the same or another attempt, changes nothing."""
    p = phase()
    p.handle(committed(attempt(0, 1)))

    assert p.handle(committed(attempt(0, 2))) == []
    assert p.committed[0].attempt == attempt(0, 1)


def test_events_and_decisions_that_cannot_be_are_our_bugs() -> None:
    """An event of another machine, a foreign receipt or task, a decision nobody made."""
    p = phase()
    p.handle(asked())

    with pytest.raises(AssertionError):
        p.handle(Published())  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="receipt of another attempt"):
        p.handle(Finished(attempt(0), receipt(attempt(1)), now=1.0))
    with pytest.raises(AssertionError, match="no such task: map-0001"):
        p.handle(committed(attempt(1)))
    with pytest.raises(AssertionError, match="never verified"):
        p.handle(committed(attempt(0)))


# -- late and doubled reports ----------------------------------------------------------------


def test_late_finish_after_expiry_is_revoked_not_committed() -> None:
    """A worker that stalls past its lease can't overwrite the attempt that replaced it."""
    p = phase()
    first, second = attempt(0, 1), attempt(0, 2)

    p.handle(asked("slow", now=0.0))
    assert tick(p, until=9.0) == []
    assert p.handle(Ticked(10.0)) == [
        Revoke(first, "slow"),
        Note(AttemptLost(first, "slow", expired(first, "slow"), will_retry=True)),
    ]
    assert granted(p.handle(asked("fast", now=11.0))) == second
    assert p.handle(finished(first, now=12.0)) == [Revoke(first)]
    assert p.handle(verified(first)) == [Revoke(first)]
    assert p.handle(Renewed(first, now=12.0)) == [Revoke(first)]
    assert p.handle(failed(first)) == []
    assert complete(p, second) == []
    assert p.committed[0].attempt == second


def test_reports_that_come_twice_count_once() -> None:
    """A hundred reports of one attempt ask for one verification and one decision."""
    p = phase()
    p.handle(asked())

    asks = [p.handle(finished(attempt())) for _ in range(100)]
    decisions = [p.handle(verified(attempt())) for _ in range(100)]

    assert asks == [[Verify(receipt(attempt()))], *[[]] * 99]
    assert decisions == [[Journal(committed(attempt()))], *[[]] * 99]
    assert p.handle(failed(attempt())) == [], "the decision is on its way"


def test_f27_the_attempt_that_won_is_never_revoked() -> None:
    """Its report may come again after the commit, and its output must stay."""
    p = phase()
    p.handle(asked())
    complete(p, attempt())

    for late in (finished(attempt()), verified(attempt()), Renewed(attempt(), 9.0)):
        assert p.handle(late) == []


def test_what_was_not_finished_cannot_be_verified() -> None:
    """The right to commit needs a lease and a finish, in this order."""
    p = phase()
    p.handle(asked())

    assert p.handle(verified(attempt(0, 1))) == []
    assert p.handle(verified(attempt(0, 2))) == [Revoke(attempt(0, 2))]
    assert p.state_of(0) == "running"


# -- leases ----------------------------------------------------------------------------------


def test_a_renewed_lease_lasts_from_the_renewal() -> None:
    """It expires a lease after the last sign of life, not earlier and not later."""
    p = phase()
    p.handle(asked("w", now=0.0))
    tick(p, until=6.0)

    assert p.handle(Renewed(attempt(), now=6.0)) == []
    assert [p.handle(Ticked(now)) for now in (8.0, 11.0, 15.0)] == [[], [], []]
    assert Revoke(attempt(), "w") in p.handle(Ticked(16.0))


def test_an_expired_lease_frees_its_task_for_every_worker() -> None:
    """Lost is not failed: the task is granted again with a new number."""
    p = phase(tasks=2)
    p.handle(asked("w", now=0.0))

    tick(p, until=10.0)

    p.check()
    assert granted(p.handle(asked("w", now=11.0))) == attempt(0, 2)


def test_a_finished_attempt_cannot_be_lost() -> None:
    """Its object is complete, so neither its worker nor the time is needed any more."""
    p = phase()
    p.handle(asked("w", now=0.0))
    p.handle(finished(attempt(), now=1.0))

    assert p.handle(WorkerLost("w", LOST, now=2.0)) == []
    assert tick(p, until=60.0) == []
    assert p.handle(Renewed(attempt(), now=60.0)) == []
    assert p.handle(verified(attempt())) == [Journal(committed(attempt()))]


def test_f33_a_sleep_of_the_machine_expires_nothing() -> None:
    """Leases that nobody could renew start again when the core wakes up."""
    p = phase()
    p.handle(asked("w", now=0.0))
    p.handle(Ticked(1.0))

    assert p.handle(Ticked(3601.0)) == []
    assert [p.handle(Ticked(3601.0 + s)) for s in (4.0, 8.0, 9.9)] == [[], [], []]
    assert Revoke(attempt(), "w") in p.handle(Ticked(3611.0))


def test_a_pause_before_the_first_tick_expires_nothing() -> None:
    """The clock is known from the first grant on."""
    p = phase()
    p.handle(asked("w", now=100.0))

    assert p.handle(Ticked(111.0)) == []


def test_a_gap_of_half_a_lease_is_no_pause() -> None:
    """Ticks that are just in time do not keep a silent worker alive."""
    p = phase()
    p.handle(asked("w", now=0.0))

    assert p.handle(Ticked(5.0)) == []
    assert Revoke(attempt(), "w") in p.handle(Ticked(10.0))


def test_a_lease_of_a_second_ends_too() -> None:
    """Ticks that come each half second, or a little late, are no pause."""
    p = phase(lease_s=1.0)
    p.handle(asked("w", now=0.0))

    assert p.handle(Ticked(0.6)) == []
    assert Revoke(attempt(), "w") in p.handle(Ticked(1.2))


def test_a_renewal_within_a_pause_gives_one_lease_not_more() -> None:
    """An hour of sleep does not give anyone an hour."""
    p = phase()
    p.handle(asked("w", now=0.0))
    p.handle(Renewed(attempt(), now=3600.0))

    assert p.handle(Ticked(3601.0)) == []
    assert [p.handle(Ticked(now)) for now in (3605.0, 3610.0)] == [[], []]
    assert Revoke(attempt(), "w") in p.handle(Ticked(3611.0))


# -- failures --------------------------------------------------------------------------------


def test_failures_that_are_none_of_its_own_end_a_task_in_the_end() -> None:
    """What it reads is damaged, again and again: there is an end, if a late one."""
    p = phase(borne_max=3, attempts_max=1)
    ends = []
    for number in (1, 2, 3):
        p.handle(asked("w", now=number))
        of = attempt(0, number)
        ends.append(p.handle(Failed(of, LOST, True, "its sources", number, counts=False))[-1])
        p.check()

    assert [isinstance(end, Abort) for end in ends] == [False, False, True]
    assert p.failed


def test_user_code_that_fails_differently_is_tried_attempts_max_times() -> None:
    """The fourth failure ends the run, the third does not; the error says where it was."""
    p = phase(attempts_max=4)
    for number in (1, 2, 3):
        p.handle(asked())
        assert p.handle(failed(attempt(0, number))) == [
            Note(AttemptFailed(attempt(0, number), USER, will_retry=True))
        ]
    p.handle(asked())

    note, abort = p.handle(failed(attempt(0, 4)))

    assert note == Note(AttemptFailed(attempt(0, 4), USER, will_retry=False))
    fields = {"function": "mapper", "task": "map-0000", "attempt": 4}
    assert abort == Abort({**USER, "fields": fields})
    p.check()


def test_the_same_error_on_the_same_record_twice_ends_the_run() -> None:
    """User code that fails the same way again will do so a third time."""
    p = phase(tasks=2)
    p.handle(asked())
    p.handle(asked())
    p.handle(failed(attempt(0), signature="KeyError at 17"))
    assert not p.failed
    p.handle(failed(attempt(1), signature="KeyError at 17"))
    assert not p.failed, "another task, so another record"
    p.handle(asked())

    commands = p.handle(failed(attempt(0, 2), signature="KeyError at 17"))

    assert isinstance(commands[-1], Abort)
    assert p.failed


def test_an_error_that_no_retry_can_cure_ends_the_run_at_once() -> None:
    """An input that is not there will not be there at the second try."""
    p = phase()
    p.handle(asked())

    note, abort = p.handle(failed(attempt(), InputError("no such file", input="a.txt")))

    assert isinstance(note, Note)
    assert isinstance(abort, Abort)
    error = from_dict(abort.error)
    assert isinstance(error, InputError)
    assert error.fields == {"input": "a.txt", "task": "map-0000", "attempt": 1}


def test_a_retryable_error_may_come_back_attempts_max_times() -> None:
    """A store that did not answer twice in the same way may answer at the third try."""
    p = phase(attempts_max=3)
    sulking = StoreUnavailableError("no answer")
    for number in (1, 2):
        p.handle(asked())
        p.handle(failed(attempt(0, number), sulking, signature="same"))
    assert not p.failed
    p.handle(asked())

    commands = p.handle(failed(attempt(0, 3), sulking, signature="same"))

    assert [type(command) for command in commands] == [Note, Abort]


def test_an_object_that_was_refused_is_made_again() -> None:
    """Verification failed: the lease is gone and the task waits for a worker."""
    p = phase()
    p.handle(asked())
    p.handle(finished(attempt()))

    p.handle(failed(attempt(), StoreUnavailableError("footer cannot be read")))

    assert granted(p.handle(asked())) == attempt(0, 2)


def test_nothing_happens_after_an_abort() -> None:
    """No grant, no decision, no second Abort."""
    p = phase(tasks=2)
    p.handle(asked("w"))
    p.handle(asked("w"))
    p.handle(failed(attempt(0), InputError("no such file")))

    for event in (asked(), finished(attempt(1)), Ticked(99.0), committed(attempt(1))):
        assert p.handle(event) == []
    p.check()


# -- losses ----------------------------------------------------------------------------------


def test_a_lost_worker_loses_all_it_held_and_nothing_else() -> None:
    """Its tasks go to the others, at once."""
    p = phase(tasks=3)
    for worker in ("w1", "w2", "w1"):
        p.handle(asked(worker))

    assert p.handle(WorkerLost("w1", LOST, now=1.0)) == [
        Note(AttemptLost(attempt(0), "w1", LOST, will_retry=True)),
        Note(AttemptLost(attempt(2), "w1", LOST, will_retry=True)),
    ]
    assert p.state_of(1) == "running"
    assert [granted(p.handle(asked("w2"))) for _ in range(3)] == [
        attempt(0, 2),
        attempt(2, 2),
        None,
    ]
    assert p.handle(WorkerLost("w1", LOST, now=2.0)) == []


def test_f8_a_task_that_loses_every_worker_ends_the_run_at_losses_max() -> None:
    """The fourth loss ends the run, the third does not."""
    p = phase(tasks=2, losses_max=4)
    for number in (1, 2, 3):
        p.handle(asked(f"w{number}"))
        p.handle(WorkerLost(f"w{number}", LOST, now=1.0))
        assert not p.failed
    p.handle(asked("w4"))
    p.handle(asked("w4"))

    commands = p.handle(WorkerLost("w4", LOST, now=1.0))

    fields = {"reason": "SIGKILL", "returncode": -9, "task": "map-0000", "attempt": 4}
    assert commands == [
        Note(AttemptLost(attempt(0, 4), "w4", LOST, will_retry=False)),
        Abort({**LOST, "fields": fields}),
    ]
    p.check()


def test_leases_that_expire_for_ever_end_the_run_too() -> None:
    """The last loss is an Abort and not one more retry; the error names worker and time."""
    p = phase(tasks=2, losses_max=1)
    p.handle(asked("w", now=0.0))
    p.handle(asked("w", now=0.0))

    revoke, note, abort = tick(p, until=10.0)

    assert revoke == Revoke(attempt(0), "w")
    assert isinstance(note, Note)
    assert isinstance(abort, Abort)
    assert isinstance(from_dict(abort.error), TaskLostError)
    assert "no sign of worker `w` for 10 s" in abort.error["message"]


def test_losses_are_not_failures() -> None:
    """Workers that come and go use up no attempts of the user's code."""
    p = phase(attempts_max=2, losses_max=20)
    for number in range(1, 20):
        p.handle(asked("w"))
        p.handle(WorkerLost("w", LOST, now=float(number)))
    p.handle(asked("w"))

    p.handle(failed(attempt(0, 20)))

    assert not p.failed
