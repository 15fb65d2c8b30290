"""Hosts that lose their work again and again get none for a time."""

from __future__ import annotations

import pytest

from core_samples import LOST, asked, attempt, job
from pymr.core.events import (
    Abort,
    Command,
    Crashed,
    Grant,
    Note,
    Returned,
    Ticked,
    Warned,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.limit import HOST_LOSSES_MAX
from pymr.core.quarantine import LOSSES_MAX, QUARANTINE_S, Quarantine


def hosts(**workers: str) -> Quarantine:
    """Return what is known when these workers have joined, each on its host."""
    quarantine = Quarantine()
    for worker, host in workers.items():
        quarantine.join(worker, host)
    return quarantine


def lose(quarantine: Quarantine, worker: str, *times: float) -> list[bool]:
    """Lose something at these times; return when a warning came."""
    return [quarantine.count(worker, now) is not None for now in times]


def is_granted(commands: list[Command]) -> bool:
    return any(isinstance(command, Grant) for command in commands)


def test_three_losses_within_the_time_are_too_many() -> None:
    """Nothing is granted for as long, and then all is forgotten."""
    quarantine = hosts(a="ill", b="well")

    assert lose(quarantine, "a", 0.0, 100.0) == [False, False]
    assert not quarantine.holds_back("a", 100.0)
    assert lose(quarantine, "a", 300.0) == [True]

    assert quarantine.holds_back("a", 599.0)
    assert not quarantine.holds_back("b", 599.0)
    assert not quarantine.holds_back("a", 600.0)
    assert lose(quarantine, "a", 601.0, 602.0) == [False, False]


def test_losses_that_are_far_apart_are_none_of_an_ill_host() -> None:
    """Every machine is lost now and then."""
    quarantine = hosts(a="old", b="other")

    assert not any(lose(quarantine, "a", *(n * 151.0 for n in range(9))))


def test_what_is_lost_at_once_is_one_loss() -> None:
    """A worker that goes loses the attempts of all of its slots."""
    quarantine = hosts(a="many slots", b="other")

    assert lose(quarantine, "a", 0.0, 0.0, 0.3, 0.9, 5.0, 5.2) == [False] * 6


def test_the_only_host_is_not_held_back_nor_are_all_at_once() -> None:
    """Nobody starves: work that may be lost is better than none."""
    quarantine = hosts(a="one", a2="one", b="two")
    lose(quarantine, "a", 0.0, 2.0, 4.0)
    assert quarantine.holds_back("a", 5.0)
    assert quarantine.holds_back("a2", 5.0), "it is the host that is ill"
    quarantine.leave("a2")
    assert quarantine.holds_back("a", 5.0)

    lose(quarantine, "b", 5.0, 7.0, 9.0)
    assert not quarantine.holds_back("a", 10.0)
    assert not quarantine.holds_back("b", 10.0)

    quarantine.join("c", "three")
    assert quarantine.holds_back("a", 11.0)
    quarantine.leave("c")
    quarantine.leave("b")
    assert not quarantine.holds_back("a", 12.0)


def test_a_worker_that_comes_back_has_another_name_and_the_same_host() -> None:
    """That is why the host is counted."""
    quarantine = hosts(b="well")
    for number in range(LOSSES_MAX):
        quarantine.join(f"w{number}", "ill")
        lose(quarantine, f"w{number}", 2.0 * number)
        quarantine.leave(f"w{number}")
    quarantine.join("w9", "ill")

    assert quarantine.holds_back("w9", 8.0)


def test_who_has_not_joined_is_on_no_host() -> None:
    """Task processes of this machine are not counted."""
    quarantine = Quarantine()

    assert lose(quarantine, "w", 0.0, 2.0, 4.0, 6.0) == [False] * 4
    assert not quarantine.holds_back("w", 7.0)
    assert not quarantine.is_only("w")
    quarantine.leave("w")


def test_a_worker_that_joins_twice_is_there_once() -> None:
    """The host it named last is its host."""
    quarantine = hosts(a="one")
    quarantine.join("a", "two")

    assert quarantine.is_only("a")
    quarantine.leave("a")
    assert not quarantine.is_only("a")


def test_what_was_lost_long_ago_takes_no_room() -> None:
    """Hosts come and go for days, and none comes twice."""
    quarantine = Quarantine()
    for number in range(1000):
        quarantine.join(f"w{number}", f"pod-{number}")
        lose(quarantine, f"w{number}", 2.0 * number)
        quarantine.leave(f"w{number}")

    assert len(quarantine._losses) <= QUARANTINE_S / 2.0 + 1


# -- in a run --------------------------------------------------------------------------------


def joined(*workers: str, **limits: float) -> Job:
    """A job with workers on hosts of their own."""
    j = job(mappers=2, losses_max=HOST_LOSSES_MAX, **limits)
    for worker in workers:
        j.handle(WorkerJoined(worker, f"host of {worker}", 0.0))
    return j


@pytest.mark.parametrize("how", ["lost", "returned", "expired"])
def test_f18_a_host_that_loses_its_work_is_left_alone_for_a_time(how: str) -> None:
    """In whatever way; the run goes on elsewhere, and people are told."""
    j = joined("a", "b")
    commands: list[Command] = []
    for number in range(1, LOSSES_MAX + 1):
        now = 30.0 * number
        j.handle(Ticked(now))
        assert is_granted(j.handle(asked("a", now)))
        if how == "expired":
            for second in range(11):
                commands = j.handle(Ticked(now + second))
        elif how == "returned":
            commands = j.handle(Returned(attempt(0, number), LOST, now))
        else:
            commands = j.handle(WorkerLost("a", LOST, now))
            j.handle(WorkerJoined("a", "host of a", now))

    [warning] = [c.event for c in commands if isinstance(c, Note) and isinstance(c.event, Warned)]
    assert "host `host of a` has lost its work 3 times within 300 s" in warning.message
    assert not is_granted(j.handle(asked("a", 110.0)))
    assert is_granted(j.handle(asked("b", 110.0)))
    assert is_granted(j.handle(asked("a", 410.0)))
    j.check()


def test_what_a_broken_stream_has_lost_is_not_the_hosts_loss() -> None:
    """The grant was on its way; the task has lost an attempt all the same."""
    j = joined("a", "b")
    for number in range(1, HOST_LOSSES_MAX):
        assert is_granted(j.handle(asked("a", 30.0 * number)))
        commands = j.handle(
            Returned(attempt(0, number), LOST, 30.0 * number + 1, blames_host=False)
        )
        assert not any(isinstance(c, Note) and isinstance(c.event, Warned) for c in commands)
    j.handle(asked("a", 600.0))

    last = j.handle(Returned(attempt(0, HOST_LOSSES_MAX), LOST, 601.0, blames_host=False))

    assert isinstance(last[-1], Abort)


def test_f18_workers_that_join_and_leave_for_ever_use_up_no_task() -> None:
    """Every two seconds, and each time with a task: the other host does the work."""
    j = joined("steady")
    j.handle(asked("steady"))
    grants = 0
    for second in range(2, 290, 2):
        worker = f"w{second}"
        j.handle(WorkerJoined(worker, "flighty", second))
        grants += is_granted(j.handle(asked(worker, second)))
        commands = j.handle(WorkerLost(worker, LOST, second + 1.0))
        assert not any(isinstance(command, Abort) for command in commands)

    assert grants == LOSSES_MAX
    assert is_granted(j.handle(asked("steady", 290.0)))


def test_a_worker_that_is_lost_without_an_attempt_counts_too() -> None:
    """It would lose the next one; also one that was never ready."""
    j = joined("b")
    for second in (0.0, 2.0, 4.0):
        j.handle(WorkerJoined("a", "ill", second))
        j.handle(WorkerLost("a", LOST, second, was_ready=second < 3))
    j.handle(WorkerJoined("a", "ill", 5.0))

    assert not is_granted(j.handle(asked("a", 5.0)))


def test_what_a_task_does_to_its_process_is_no_fault_of_the_host() -> None:
    """Nor is it one to leave in order."""
    j = joined("a", "b")
    for number in (1, 2, 3):
        j.handle(asked("a", 20.0 * number))
        j.handle(Crashed(attempt(0, number), LOST, 20.0 * number + 1))
        j.handle(WorkerLeft("a", 20.0 * number + 2))
        j.handle(WorkerJoined("a", "host of a", 20.0 * number + 3))

    assert is_granted(j.handle(asked("a", 70.0)))
