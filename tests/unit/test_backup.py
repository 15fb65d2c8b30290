"""Backup attempts, as a phase grants them; all leases are long, so that nothing expires."""

from __future__ import annotations

import statistics

from core_samples import (
    LOST,
    asked,
    attempt,
    committed,
    complete,
    failed,
    finished,
    phase,
    verified,
)
from pymr.core.backup import RunningMedian
from pymr.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptRevoked,
    AttemptStarted,
    Grant,
    Journal,
    Note,
    Revoke,
    Ticked,
    Verify,
    WorkerLost,
)
from pymr.core.phase import Phase


def nearly_done(slow: int = 1, **limits: float) -> Phase:
    """Three of 3 + `slow` tasks took 10 s; the others run since 0.0 on workers `slow-0` …."""
    ready = 3 / (3 + slow)
    p = phase(tasks=3 + slow, **{"lease_s": 1e6, "backup_ready": ready, "losses_max": 99, **limits})
    for task in range(3):
        p.handle(asked("quick", now=0.0))
        assert p.state_of(task) == "running"
    for n in range(slow):
        p.handle(asked(f"slow-{n}", now=n / 100))
    for task in range(3):
        complete(p, attempt(task), now=10.0)
    return p


def backup_of(task: int, number: int, worker: str, now: float) -> list[object]:
    granted = attempt(task, number)
    return [Grant(worker, granted, now + 1e6), Note(AttemptStarted(granted, worker, backup=True))]


def test_f17_the_slow_rest_of_a_phase_is_backed_up_after_twice_the_median() -> None:
    """An idle worker gets a second attempt, just after the limit and not at it."""
    p = nearly_done()

    assert p.handle(asked("idle", now=20.0)) == []
    assert p.handle(asked("idle", now=20.1)) == backup_of(3, 2, "idle", 20.1)
    assert p.handle(asked("idle-2", now=99.0)) == [], "two live attempts of a task are enough"
    p.check()


def test_the_first_verified_attempt_wins_and_the_other_is_revoked() -> None:
    """Here the backup is quicker."""
    p = nearly_done()
    p.handle(asked("idle", now=30.0))

    assert complete(p, attempt(3, 2), now=35.0) == [
        Revoke(attempt(3, 1), "slow-0"),
        Note(AttemptRevoked(attempt(3, 1))),
    ]
    assert p.done
    assert p.handle(finished(attempt(3, 1))) == [Revoke(attempt(3, 1))]


def test_of_two_attempts_that_are_verified_one_is_journalled() -> None:
    """The other is revoked at once, and nothing it says counts any more."""
    p = nearly_done()
    p.handle(asked("idle", now=30.0))
    first, second = attempt(3, 1), attempt(3, 2)
    p.handle(finished(first))
    p.handle(finished(second))
    assert p.handle(verified(second)) == [Journal(committed(second))]

    assert p.handle(verified(first)) == [Revoke(first, "slow-0"), Note(AttemptRevoked(first))]

    p.check()
    assert p.state_of(3) == "verified"
    assert p.handle(committed(second)) == []
    assert p.committed[3].attempt == second


def test_a_rival_that_fails_while_the_decision_is_written_is_no_failure_of_the_task() -> None:
    """Not even its last allowed one."""
    p = nearly_done(attempts_max=1, losses_max=1)
    p.handle(asked("idle", now=30.0))
    p.handle(finished(attempt(3, 2)))
    p.handle(verified(attempt(3, 2)))

    [note] = p.handle(failed(attempt(3, 1)))

    assert isinstance(note, Note)
    assert isinstance(note.event, AttemptFailed)
    assert not note.event.will_retry
    assert not p.failed
    p.check()


def test_a_rival_that_is_lost_while_the_decision_is_written_is_no_loss_of_the_task() -> None:
    """Not even its last allowed one."""
    p = nearly_done(losses_max=1)
    p.handle(asked("idle", now=30.0))
    p.handle(finished(attempt(3, 2)))
    p.handle(verified(attempt(3, 2)))

    assert p.handle(WorkerLost("slow-0", LOST, now=31.0)) == [
        Note(AttemptLost(attempt(3, 1), "slow-0", LOST, will_retry=False))
    ]
    assert not p.failed


def test_a_lost_backup_leaves_the_first_attempt_and_may_be_replaced() -> None:
    """The task is not queued, since it still runs; it can be backed up again."""
    p = nearly_done()
    p.handle(asked("idle", now=30.0))

    p.handle(WorkerLost("idle", LOST, now=31.0))

    p.check()
    assert p.state_of(3) == "running"
    assert p.handle(asked("idle-2", now=32.0)) == backup_of(3, 3, "idle-2", 32.0)


def test_the_longest_running_attempt_is_backed_up_first() -> None:
    """Then the next one."""
    p = nearly_done(slow=2)

    assert p.handle(asked("idle", now=30.0)) == backup_of(3, 2, "idle", 30.0)
    assert p.handle(asked("idle", now=30.0)) == backup_of(4, 2, "idle", 30.0)


def test_a_worker_does_not_back_itself_up() -> None:
    """What is slow there would be slow again; other slow attempts it may back up."""
    p = nearly_done(slow=2)

    assert p.handle(asked("slow-0", now=30.0)) == backup_of(4, 2, "slow-0", 30.0)
    assert p.handle(asked("slow-0", now=30.0)) == []
    p.check()
    assert p.handle(asked("slow-1", now=30.0)) == backup_of(3, 2, "slow-1", 30.0)


def test_there_is_no_backup_before_the_phase_is_nearly_done() -> None:
    """With three of five tasks committed and three quarters wanted, nothing is backed up."""
    p = nearly_done(slow=2, backup_ready=0.75)

    assert p.handle(asked("idle", now=1000.0)) == []


def test_the_last_task_of_a_small_phase_is_backed_up_too() -> None:
    """Of two tasks one is half of them; with a single one there is nothing to compare."""
    p = phase(tasks=2, lease_s=1e6)
    p.handle(asked("quick"))
    p.handle(asked("slow"))
    complete(p, attempt(0), now=10.0)
    alone = phase(tasks=1, lease_s=1e6)
    alone.handle(asked("slow"))

    assert p.handle(asked("quick", now=20.0)) == []
    assert p.handle(asked("quick", now=20.1)) == backup_of(1, 2, "quick", 20.1)
    assert alone.handle(asked("idle", now=1e5)) == []


def test_what_is_finished_needs_no_backup() -> None:
    """Verification may take its time."""
    p = nearly_done()
    assert p.handle(finished(attempt(3), now=11.0)) != []

    assert p.handle(asked("idle", now=1000.0)) == []


def test_short_attempts_are_not_worth_a_backup() -> None:
    """The median of a phase may be a millisecond; the floor is named."""
    p = nearly_done(backup_floor_s=60.0)

    assert p.handle(asked("idle", now=60.0)) == []
    assert p.handle(asked("idle", now=60.1)) != []


def test_f33_a_sleep_of_the_machine_makes_nobody_slow() -> None:
    """An hour in which nothing could run is no part of how long an attempt runs."""
    p = nearly_done(lease_s=60.0)
    p.handle(Ticked(15.0))
    p.handle(Ticked(3615.0))

    assert p.handle(asked("idle", now=3620.0)) == []
    assert p.handle(asked("idle", now=3620.1)) != []


def test_without_a_duration_nothing_is_slow() -> None:
    """After a resume all that is known of the others is that they are committed."""
    p = phase(tasks=4, lease_s=1e6)
    for task in range(3):
        p.handle(committed(attempt(task)))
    p.handle(asked("slow", now=0.0))

    assert p.handle(asked("idle", now=1000.0)) == []


def test_an_unlimited_factor_turns_backups_off() -> None:
    """`backup_after` is infinite."""
    p = nearly_done(backup_after=float("inf"))

    assert p.handle(asked("idle", now=1e9)) == []


def test_a_pending_task_goes_before_a_backup() -> None:
    """A retry is work that nobody does."""
    p = nearly_done(slow=2)
    p.handle(failed(attempt(4)))

    assert p.handle(asked("idle", now=30.0))[0] == Grant("idle", attempt(4, 2), 30.0 + 1e6)


def test_a_verify_follows_each_finish_of_both_attempts() -> None:
    """Both may win until one is verified."""
    p = nearly_done()
    p.handle(asked("idle", now=30.0))

    answers = [p.handle(finished(attempt(3, number))) for number in (1, 2)]

    assert [type(answer) for [answer] in answers] == [Verify, Verify]
    p.check()


def test_the_running_median_is_the_upper_median() -> None:
    """As the statistics module has it."""
    numbers = [5.0, 1.0, 4.0, 4.0, 9.0, 0.0, 2.0, 7.0, 7.0]
    median = RunningMedian()
    assert median.value is None

    for count, number in enumerate(numbers, start=1):
        median.add(number)
        assert median.value == statistics.median_high(numbers[:count])
