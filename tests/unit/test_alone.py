"""Tasks that take too much memory: each is tried once more, alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_samples import (
    LOST,
    asked,
    attempt,
    committed,
    complete,
    exceeded,
    failed,
    finished,
    job,
    phase,
    verified,
)
from pymr.core.events import (
    Abort,
    AttemptFailed,
    AttemptStarted,
    Command,
    Grant,
    Journal,
    MemoryExceeded,
    Note,
    Revoke,
    TaskInvalidated,
    Verify,
    Warned,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.phase import Phase, PhaseEvent
from pymr.core.queue import TaskQueue
from pymr.core.spec import Attempt
from pymr.errors import TaskMemoryError, from_dict


def alone(task: int, number: int, worker: str = "w", now: float = 0.0) -> list[object]:
    of = attempt(task, number)
    return [Grant(worker, of, now + 10.0, alone=True), Note(AttemptStarted(of, worker, alone=True))]


def grants(commands: list[Command]) -> list[tuple[str, bool]]:
    return [(str(c.attempt), c.alone) for c in commands if isinstance(c, Grant)]


def test_f12_a_task_over_its_memory_is_stopped_and_waits_for_all_others() -> None:
    """It goes last, when nothing runs; and while it does, nobody else gets anything."""
    p = phase(tasks=3)
    p.handle(asked("w0"))
    p.handle(asked("w1"))

    revoke, failure, warning = p.handle(exceeded(attempt(0)))

    assert revoke == Revoke(attempt(0), "w0")
    assert isinstance(failure, Note)
    assert isinstance(failure.event, AttemptFailed)
    assert failure.event.will_retry
    assert warning == Note(
        Warned(
            "map-0000 used 3G, had 2G: it is tried again alone; --task-memory 4G lets it run"
            " beside others"
        )
    )
    p.check()
    assert grants(p.handle(asked("w0"))) == [("map-0002", False)], "the others first"
    complete(p, attempt(1))
    assert p.handle(asked("w1")) == [], "one still runs"
    complete(p, attempt(2))
    assert p.handle(asked("w1")) == alone(0, 2, "w1")
    assert p.handle(asked("w0")) == [], "nothing beside it"
    p.check()
    complete(p, attempt(0, 2))
    assert p.done


def test_nothing_runs_beside_a_task_that_is_alone() -> None:
    """Neither a backup attempt of it, however long it takes, nor a task that is opened again."""
    p = phase(tasks=2, lease_s=1e6)
    p.handle(asked("w0"))
    complete(p, attempt(0))
    p.handle(asked("w0"))
    p.handle(exceeded(attempt(1)))
    assert p.handle(asked("w0"))[0] == Grant("w0", attempt(1, 2), 1e6, alone=True)

    assert p.handle(asked("w1", now=1e5)) == []
    p.handle(TaskInvalidated(committed(attempt(0)).receipt, "it is gone"))
    assert p.handle(asked("w1", now=1e5)) == []

    complete(p, attempt(1, 2))
    assert grants(p.handle(asked("w1", now=1e5))) == [("map-0000", False)]


def test_f12_over_its_memory_alone_too_it_ends_the_run() -> None:
    """With what it used and had, and what may help."""
    p = phase()
    p.handle(asked())
    p.handle(exceeded(attempt()))
    p.handle(asked())

    revoke, failure, abort = p.handle(exceeded(attempt(0, 2)))

    assert revoke == Revoke(attempt(0, 2), "w")
    assert isinstance(failure, Note)
    assert isinstance(failure.event, AttemptFailed)
    assert not failure.event.will_retry
    assert isinstance(abort, Abort)
    error = from_dict(abort.error)
    assert isinstance(error, TaskMemoryError)
    assert error.hint == "--task-memory 4G, or more memory for this machine"
    assert error.fields["used_bytes"] == 3 << 30
    assert error.fields["task"] == "map-0000"
    assert p.failed


def test_f13_in_a_pod_its_own_memory_is_all_that_helps() -> None:
    """No machine is the user's there: what the hint says is the whole of it."""
    p = phase()
    p.handle(asked())
    p.handle(exceeded(attempt()))
    p.handle(asked())
    error = exceeded(attempt(0, 2)).error
    error |= {"hint": "--memory 4G", "fields": {**error["fields"], "is_in_pod": True}}

    abort = p.handle(MemoryExceeded(attempt(0, 2), error, 1.0))[-1]

    assert isinstance(abort, Abort)
    assert abort.error["hint"] == "--memory 4G"


@pytest.mark.parametrize("end", [failed(attempt(0, 2)), WorkerLost("w", LOST, 1.0)])
def test_what_failed_alone_for_another_reason_is_alone_again(end: WorkerLost) -> None:
    """Its memory is as it was."""
    p = phase()
    p.handle(asked())
    p.handle(exceeded(attempt()))
    p.handle(asked())

    p.handle(end)

    p.check()
    assert p.handle(asked()) == alone(0, 3)


def test_what_has_finished_may_have_used_what_it_liked() -> None:
    """So may an attempt that nobody waits for."""
    p = phase()
    p.handle(asked())
    p.handle(finished(attempt()))

    assert p.handle(exceeded(attempt())) == []
    assert p.handle(exceeded(attempt(0, 7))) == []
    assert p.state_of(0) == "verifying"


def test_others_go_on_while_what_ran_alone_is_verified() -> None:
    """Its process is idle then: its object is complete."""
    p = phase(tasks=2)
    p.handle(asked("w0"))
    p.handle(exceeded(attempt(0)))
    p.handle(asked("w1"))
    p.handle(exceeded(attempt(1)))
    assert p.handle(asked("w0")) == alone(0, 2, "w0")
    assert p.handle(finished(attempt(0, 2))) != []

    assert p.handle(asked("w1")) == alone(1, 2, "w1")
    p.check()


def test_of_two_attempts_one_may_be_too_large_and_the_other_win() -> None:
    """A backup has its own luck; the task does not wait for the rest."""
    p = phase(tasks=2, lease_s=1e6, backup_ready=0.5, backup_floor_s=1.0)
    p.handle(asked("quick"))
    p.handle(asked("slow"))
    complete(p, attempt(0))
    assert grants(p.handle(asked("quick", now=50.0))) == [("map-0001", False)]

    _, _, warning = p.handle(exceeded(attempt(1, 2)))

    assert isinstance(warning, Note)
    p.check()
    assert p.state_of(1) == "running"
    complete(p, attempt(1))
    assert p.done


def test_a_rival_of_a_decided_attempt_may_be_too_large() -> None:
    """That is no news: the task is as good as committed."""
    p = phase(tasks=2, lease_s=1e6, backup_ready=0.5, backup_floor_s=1.0)
    p.handle(asked("quick"))
    p.handle(asked("slow"))
    complete(p, attempt(0))
    p.handle(asked("quick", now=50.0))
    p.handle(finished(attempt(1, 2)))
    p.handle(verified(attempt(1, 2)))

    revoke, failure = p.handle(exceeded(attempt(1)))

    assert revoke == Revoke(attempt(1), "slow")
    assert isinstance(failure, Note)
    assert isinstance(failure.event, AttemptFailed)
    assert not failure.event.will_retry
    p.check()
    p.handle(committed(attempt(1, 2)))
    assert p.done


def test_a_task_that_is_committed_while_it_waits_is_not_run() -> None:
    """And it may be opened again, since its output was lost: beside others, at first."""
    p = phase(tasks=1)
    p.handle(asked())
    p.handle(exceeded(attempt()))
    told = committed(attempt(0, 5))
    p.handle(told)
    assert p.handle(asked()) == []

    p.handle(TaskInvalidated(told.receipt, "it is gone"))

    p.check()
    assert grants(p.handle(asked())) == [("map-0000", False)]


def test_a_task_that_is_opened_again_while_it_lingers_waits_once() -> None:
    """In the line in which it stood."""
    queue = TaskQueue(1)
    assert queue.take((), (), lambda _: True) == 0
    queue.put_back(0, alone=True)
    queue.reopen(0)

    assert queue.waiting((), (0,)) == [0]
    assert queue.has_alone
    assert queue.take_alone(()) == 0
    assert not queue.has_alone


def test_a_map_task_that_is_open_again_is_not_alone_beside_a_reduce_task() -> None:
    """Both phases are at work then; nothing of either runs beside it."""
    j: Job = job(mappers=1, reducers=2)
    map_phase, reduce_phase = j.map, j.reduce
    receipt = committed(attempt()).receipt
    map_phase.handle(committed(attempt()))
    reduce_phase.handle(asked("w0"))
    map_phase.handle(TaskInvalidated(receipt, "it is gone"))
    assert grants(j.handle(asked("w1"))) == [("map-0000", False)]
    j.handle(exceeded(attempt(0, 1)))

    assert j.handle(asked("w1")) == [], "a reduce task runs"
    reduce_phase.handle(WorkerLost("w0", LOST, 1.0))
    assert grants(j.handle(asked("w1"))) == [("map-0000", True)]
    assert j.handle(asked("w0")) == []


def test_a_reduce_task_that_runs_alone_is_alone_of_both_phases() -> None:
    """A map task that is opened meanwhile waits."""
    j = job(mappers=1, reducers=1)
    receipt = committed(attempt()).receipt
    j.map.handle(committed(attempt()))
    of = attempt(name="reduce")
    j.reduce.handle(asked("w0"))
    j.reduce.handle(exceeded(of))
    assert grants(j.reduce.handle(asked("w0"))) == [("reduce-0000", True)]
    j.map.handle(TaskInvalidated(receipt, "it is gone"))

    assert j.handle(asked("w1")) == []


KINDS = ("ask", "finish", "decide", "exceed", "fail", "lose")


class Edge:
    """Plays the edge; no attempt that is alone takes too much memory."""

    def __init__(self) -> None:
        limits = {"lease_s": 1e6, "attempts_max": 99, "losses_max": 99, "backup_ready": 0.3}
        self.phase: Phase = phase(3, **limits)
        self.running: dict[Attempt, tuple[str, bool]] = {}  # their workers, and who is alone
        self.owed: list[Command] = []

    def tell(self, told: PhaseEvent) -> None:
        """Hand an event to the phase, check it, and do what it commands."""
        for command in self.phase.handle(told):
            match command:
                case Grant(worker, of, _, is_alone):
                    assert not any(alone for _, alone in self.running.values())
                    assert not (is_alone and self.running), "something else runs"
                    self.running[of] = worker, is_alone
                case Revoke(of):
                    self.running.pop(of, None)
                case Verify() | Journal():
                    self.owed.append(command)
        self.phase.check()

    def settle(self) -> None:
        """Answer the oldest command that waits for an answer."""
        command = self.owed.pop(0)
        if isinstance(command, Verify):
            self.tell(verified(command.receipt.attempt))
        elif isinstance(command, Journal):
            self.tell(command.decision)

    def end(self, of: Attempt, kind: str) -> None:
        """Let an attempt end; alone, none takes too much memory."""
        _, is_alone = self.running[of]
        if kind == "exceed" and not is_alone:
            self.tell(exceeded(of))
        elif kind != "exceed":
            del self.running[of]
            self.tell(finished(of) if kind == "finish" else failed(of))

    def step(self, kind: str, value: int) -> None:
        """Let one thing happen."""
        worker = f"w{value}"
        if kind == "ask":
            self.tell(asked(worker, now=99.0))
        elif kind == "lose":
            self.running = {a: w for a, w in self.running.items() if w[0] != worker}
            self.tell(WorkerLost(worker, LOST, 1.0))
        elif kind == "decide" and self.owed:
            self.settle()
        elif kind != "decide" and self.running:
            self.end(sorted(self.running)[value % len(self.running)], kind)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), max_size=60))
def test_in_any_history_what_is_alone_is_alone_and_fair_workers_end_it(
    history: list[tuple[str, int]],
) -> None:
    """Safety and liveness; over its memory each task is beside others only."""
    edge = Edge()

    for kind, value in history:
        edge.step(kind, value)

    for _ in range(50):
        while edge.owed:
            edge.settle()
        for of in list(edge.running):
            edge.end(of, "finish")
        edge.tell(asked("fair", now=1e5))
    assert edge.phase.done
