"""Workers of other machines: what crashes, what is given back, and workers with many slots."""

from __future__ import annotations

import pytest

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
from pymr.core.events import (
    Abort,
    AttemptLost,
    Command,
    Crashed,
    Grant,
    Journal,
    Note,
    Returned,
    WorkerLost,
)
from pymr.core.limit import HOST_LOSSES_MAX
from pymr.core.spec import Attempt
from pymr.errors import StoreUnavailableError, to_dict

UNREACHABLE = to_dict(StoreUnavailableError("no answer of the store for 120 s"))
EARLIER, NOW = attempt(0, 3), attempt(0, 1001)


def granted(commands: list[Command]) -> Attempt | None:
    """The attempt that was granted, if one was."""
    return next((c.attempt for c in commands if isinstance(c, Grant)), None)


# -- crashes ---------------------------------------------------------------------------------


def test_f8_a_task_that_ends_its_process_each_time_ends_the_run_after_two_workers() -> None:
    """Four crashes, on workers that live on; each time another one gets it, if it asks."""
    p = phase(losses_max=HOST_LOSSES_MAX)
    on: list[str] = []
    for number in (1, 2, 3, 4):
        assert not p.failed
        asks = {worker: p.handle(asked(worker, float(number))) for worker in ("a", "b")}
        on += [worker for worker, commands in asks.items() if granted(commands) is not None]
        ended = p.handle(Crashed(attempt(0, number), LOST, float(number)))

    assert on == ["a", "b", "a", "b"]
    assert ended[0] == Note(AttemptLost(attempt(0, 4), "b", LOST, will_retry=False))
    assert isinstance(ended[1], Abort)
    assert ended[1].error["fields"]["attempt"] == 4
    p.check()


def test_a_task_that_crashed_waits_for_another_worker_but_not_for_ever() -> None:
    """Others may be busy for long; meanwhile the worker gets what nobody has tried."""
    p = phase(tasks=2)
    p.handle(asked("a"))
    p.handle(Crashed(attempt(0), LOST, 1.0))

    assert granted(p.handle(asked("a", 1.0))) == attempt(1)
    assert granted(p.handle(asked("a", 15.9))) is None
    assert granted(p.handle(asked("a", 16.0))) == attempt(0, 2)


def test_a_task_that_crashed_goes_back_at_once_where_no_other_worker_is() -> None:
    """Nobody else could get it."""
    p = phase()
    p.quarantine.join("a", "host")
    p.handle(asked("a"))
    p.handle(Crashed(attempt(0), LOST, 1.0))

    assert granted(p.handle(asked("a", 1.0))) == attempt(0, 2)


def test_a_worker_does_not_look_past_more_than_a_few_tasks_that_crashed_on_it() -> None:
    """An ask costs no more when a worker is ill; the others lose nothing."""
    p = phase(tasks=12)
    for _ in range(10):
        p.handle(asked("ill"))
    for task in range(10):
        p.handle(Crashed(attempt(task), LOST, 1.0))

    assert granted(p.handle(asked("ill", 1.0))) == attempt(10)
    order = [granted(p.handle(asked("well", 1.0))) for _ in range(12)]
    assert order == [*(attempt(task, 2) for task in range(10)), attempt(11), None]
    p.check()


def test_a_crash_does_not_count_as_a_loss_nor_as_a_failure() -> None:
    """Each has a limit of its own, and the one that is reached first ends the run."""
    p = phase(attempts_max=2, losses_max=2, crashes_max=2)
    for number, end in enumerate(("fail", "lose", "crash", "crash"), start=1):
        assert not p.failed
        p.handle(asked(f"w{number}", 100.0 * number))
        told = {
            "fail": failed(attempt(0, number)),
            "lose": WorkerLost(f"w{number}", LOST, 1.0),
            "crash": Crashed(attempt(0, number), LOST, 1.0),
        }
        commands = p.handle(told[end])

    assert isinstance(commands[-1], Abort)


@pytest.mark.parametrize("kind", [Crashed, Returned])
def test_what_ends_after_its_object_is_complete_changes_nothing(
    kind: type[Crashed | Returned],
) -> None:
    """Nor what never had a lease."""
    p = phase()
    assert p.handle(kind(attempt(), LOST, 1.0)) == []
    p.handle(asked())
    p.handle(finished(attempt()))

    assert p.handle(kind(attempt(), LOST, 2.0)) == []
    assert p.handle(verified(attempt())) == [Journal(committed(attempt()))]


def test_a_crash_beside_an_attempt_that_is_decided_does_not_end_the_run() -> None:
    """The task has its output."""
    p = phase(tasks=1, crashes_max=1, backup_ready=0.0)
    p.backups.learn(1.0)
    p.handle(asked("a"))
    assert granted(p.handle(asked("b", 5.0))) == attempt(0, 2)
    p.handle(finished(attempt(0, 2)))
    p.handle(verified(attempt(0, 2)))

    assert p.handle(Crashed(attempt(), LOST, 6.0)) == [
        Note(AttemptLost(attempt(), "a", LOST, will_retry=False))
    ]
    assert not p.failed


# -- what is given back ----------------------------------------------------------------------


def test_what_a_worker_gives_back_counts_neither_as_failure_nor_as_crash() -> None:
    """The store did not answer it; another worker goes on at once."""
    p = phase(attempts_max=1, crashes_max=1, losses_max=2)
    p.handle(asked("a"))

    assert p.handle(Returned(attempt(), UNREACHABLE, 1.0)) == [
        Note(AttemptLost(attempt(), "a", UNREACHABLE, will_retry=True))
    ]
    assert granted(p.handle(asked("b", 1.0))) == attempt(0, 2)
    assert isinstance(p.handle(Returned(attempt(0, 2), UNREACHABLE, 2.0))[-1], Abort)


def test_a_worker_that_is_gone_loses_the_attempts_of_all_of_its_slots() -> None:
    """And those only."""
    p = phase(tasks=6)
    for worker in ("a", "b", "a", "b", "a"):
        p.handle(asked(worker))

    commands = p.handle(WorkerLost("a", LOST, 1.0))

    lost = [c.event.attempt.task for c in commands if isinstance(c, Note)]  # type: ignore[attr-defined]
    assert lost == [0, 2, 4]
    assert p.running == 2
    p.check()


def test_a_backup_is_not_beside_its_rival_while_another_worker_is_there() -> None:
    """A worker with a free slot is as slow as its other slot, mostly; the only one may try."""
    p = phase(tasks=2, backup_floor_s=0.0)
    p.quarantine.join("a", "one")
    p.quarantine.join("b", "two")
    p.handle(asked("a", 0.0))
    p.handle(asked("a", 0.0))
    complete(p, attempt(0), 1.0)

    assert granted(p.handle(asked("a", 5.0))) is None
    assert granted(p.handle(asked("b", 5.0))) == attempt(1, 2)

    p.handle(WorkerLost("b", LOST, 6.0))
    p.quarantine.leave("b")
    assert granted(p.handle(asked("a", 7.0))) == attempt(1, 3)
