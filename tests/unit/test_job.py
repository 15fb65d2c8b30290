"""A run from its first lease to its publication, each test the log of an incident."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from core_samples import (
    LOST,
    asked,
    attempt,
    edge_sum,
    failed,
    files,
    job,
    map_verified,
    reduce_verified,
    spec,
)
from pymr.core.events import (
    Abort,
    AttemptLost,
    Command,
    Finished,
    Grant,
    Journal,
    Note,
    PhaseFinished,
    Publish,
    Published,
    Renewed,
    Revoke,
    TaskCommitted,
    Ticked,
    Verified,
    Warned,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.ledger import Ledger
from pymr.core.limit import PhaseLimits
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import Attempt, EdgeSum, MapSource
from pymr.errors import InputError, IntegrityError, TimeoutReachedError, from_dict

TASKS = plan_map_tasks(files(26), 2)
REDUCERS = 2


def a_map(task: int, number: int = 1) -> Verified:
    return map_verified(attempt(task, number), TASKS[task], REDUCERS)


def a_reduce(partition: int, number: int = 1) -> Verified:
    return reduce_verified(attempt(partition, number, "reduce"), len(TASKS))


def deliver(j: Job, event: Verified) -> list[Command]:
    """Finish, verify and journal an attempt; return what its commit asked for."""
    j.handle(Finished(event.receipt.attempt, event.receipt, event.now))
    assert j.handle(event) == [Journal(TaskCommitted(event.receipt))]
    j.check()
    return j.handle(TaskCommitted(event.receipt))


def granted(commands: list[Command]) -> Attempt | None:
    return next((c.attempt for c in commands if isinstance(c, Grant)), None)


def at_the_start(deadline: float | None = None) -> Job:
    """A job that nobody has asked for work."""
    return job(deadline=deadline)


def at_the_barrier(deadline: float | None = None) -> Job:
    """A job whose map tasks are committed."""
    j = job(deadline=deadline)
    for task in range(2):
        j.handle(asked())
        deliver(j, a_map(task))
    return j


def all_reduced(deadline: float | None = None) -> Job:
    """A job that waits for its publication."""
    j = at_the_barrier(deadline)
    for partition in range(REDUCERS):
        j.handle(asked())
        deliver(j, a_reduce(partition))
    return j


def ends_with(commands: list[Command]) -> Exception:
    """The error of the one Abort."""
    [command] = [c for c in commands if isinstance(c, Abort)]
    return from_dict(command.error)


# -- the straight way ------------------------------------------------------------------------


def test_a_run_maps_reduces_and_publishes() -> None:
    """Each barrier is passed with the commit of its last task, and noted."""
    j = job()
    assert granted(j.handle(asked())) == attempt(0)
    assert granted(j.handle(asked())) == attempt(1)
    assert granted(j.handle(asked())) is None, "no reduce task before the barrier"

    assert deliver(j, a_map(1)) == []
    assert deliver(j, a_map(0)) == [Note(PhaseFinished("map", 2))]
    assert (j.state, j.phase.name) == ("reduce", "reduce")

    assert granted(j.handle(asked())) == attempt(0, name="reduce")
    assert deliver(j, a_reduce(0)) == []
    assert granted(j.handle(asked())) == attempt(1, name="reduce")
    assert deliver(j, a_reduce(1)) == [Note(PhaseFinished("reduce", 2)), Publish()]
    assert j.state == "publishing"

    assert j.handle(Published()) == []
    assert j.done
    assert j.handle(asked()) == []
    j.check()


def test_reduce_tasks_read_the_map_outputs_in_task_order() -> None:
    """Whatever order they were committed in; the order is that of the input."""
    j = job()
    j.handle(asked())
    j.handle(asked())
    deliver(j, a_map(1))
    deliver(j, a_map(0))

    sources = j.map_sources()

    assert sources == tuple(
        MapSource(task, f"map-{task:04d}-1", "f", a_map(task).receipt.size) for task in (0, 1)
    )
    assert j.map_sources() is sources, "made once for all reduce tasks"


def test_the_books_hold_what_was_committed() -> None:
    """Once for each task, whichever attempt it was."""
    j = all_reduced()

    summary = j.ledger.summary()

    assert summary.bytes_in == summary.records_in == 26
    assert summary.written == summary.read
    assert summary.partition_records == tuple(
        sum(edge_sum(task, partition).records for task in range(2)) for partition in range(2)
    )
    assert summary.counters == {"mapped": 2, "reduced": 2}


def test_a_map_only_job_publishes_after_its_map_phase() -> None:
    """The map outputs are the parts."""
    j = job(mappers=1, reducers=0)
    j.handle(asked())

    commands = deliver(j, map_verified(attempt(), plan_map_tasks(files(26), 1)[0], 0))

    assert commands == [Note(PhaseFinished("map", 1)), Publish()]
    assert j.phase is j.map
    j.check()


def test_b6_empty_inputs_make_empty_parts() -> None:
    """No map task, and every partition is reduced all the same."""
    j = job(sizes=(0, 0), reducers=2)

    first = j.handle(asked())

    assert first[0] == Note(PhaseFinished("map", 0))
    assert granted(first) == attempt(0, name="reduce")
    assert j.map_sources() == ()
    j.handle(asked())
    deliver(j, reduce_verified(attempt(0, name="reduce"), 0))
    commands = deliver(j, reduce_verified(attempt(1, name="reduce"), 0))
    assert commands[-1] == Publish()


def test_a_map_only_job_over_empty_inputs_publishes_at_its_first_event() -> None:
    """There is nothing to wait for."""
    j = job(sizes=(), reducers=0)

    assert j.handle(Ticked(0.0)) == [Note(PhaseFinished("map", 0)), Publish()]
    assert j.handle(Published()) == []
    assert j.done


# -- late and doubled reports ----------------------------------------------------------------


def test_a_late_map_attempt_is_revoked_in_the_reduce_phase() -> None:
    """Its report goes to the phase it belongs to, not to the one at work."""
    j = at_the_barrier()
    late = a_map(0, number=7)

    assert j.handle(Finished(attempt(0, 7), late.receipt, 9.0)) == [Revoke(attempt(0, 7))]
    assert j.handle(Renewed(attempt(0, 7), 9.0)) == [Revoke(attempt(0, 7))]
    assert j.handle(late) == [Revoke(attempt(0, 7))]


@pytest.mark.parametrize("event", [a_map(0), a_map(0, number=2)], ids=["same", "other"])
def test_a_second_decision_about_a_task_is_not_entered(event: Verified) -> None:
    """The books hold one receipt for each task, the first in the journal."""
    j = at_the_barrier()
    before = j.ledger.summary()

    assert j.handle(TaskCommitted(event.receipt)) == []

    assert j.ledger.summary() == before
    assert j.map.committed[0].attempt == attempt(0, 1)


def test_a_lost_worker_in_the_reduce_phase_loses_reduce_attempts_only() -> None:
    """Map outputs live in the store; no map task runs again."""
    j = at_the_barrier()
    j.handle(asked("w1"))

    commands = j.handle(WorkerLost("w1", LOST, 2.0))

    lost = attempt(0, name="reduce")
    assert commands == [Note(AttemptLost(lost, "w1", LOST, will_retry=True))]
    assert granted(j.handle(asked())) == attempt(0, 2, "reduce")
    assert j.map.done


def test_workers_that_never_become_ready_fail_the_run_in_the_end() -> None:
    """Each is a warning, the last one allowed is the end, with its own error."""
    j = job(unready_losses_max=3)
    loss = WorkerLost("w1", LOST, 1.0, was_ready=False)

    told = [j.handle(loss), j.handle(loss), j.handle(loss)]

    warned = Warned("worker `w1` was lost before it was ready: task process ended by SIGKILL")
    assert told == [[Note(warned)], [Note(warned)], [Abort(LOST)]]
    assert j.state == "failed"
    assert j.handle(asked("w2")) == []


def test_a_decision_without_its_verification_is_our_bug() -> None:
    """The books need the details that only a verification brings."""
    j = job()
    j.handle(asked())

    with pytest.raises(AssertionError, match="decided but never verified"):
        j.handle(TaskCommitted(a_map(0).receipt))


def test_a_publication_that_nobody_asked_for_is_our_bug() -> None:
    """Before the books are closed there is nothing to publish."""
    j = at_the_barrier()

    with pytest.raises(AssertionError, match="published in state reduce"):
        j.handle(Published())


def test_map_outputs_are_not_known_before_the_barrier() -> None:
    """Nor is an output without a digest of its footer."""
    j = job(mappers=1)
    with pytest.raises(AssertionError, match="before the barrier"):
        j.map_sources()

    event = map_verified(attempt(), plan_map_tasks(files(26), 1)[0], REDUCERS)
    blind = msgspec.structs.replace(event.receipt, footer_digest=None)
    j.handle(asked())
    deliver(j, msgspec.structs.replace(event, receipt=blind))

    with pytest.raises(AssertionError, match="no footer digest"):
        j.map_sources()


# -- ends ------------------------------------------------------------------------------------


def test_a_reduce_task_may_meet_each_map_output_damaged() -> None:
    """More of them may be, where there are more."""
    assert [job(mappers=n).reduce.limits.borne_max for n in (1, 3)] == [10, 30]


def test_an_abort_of_a_phase_fails_the_run() -> None:
    """Nothing is granted or published afterwards."""
    j = job()
    j.handle(asked())
    j.handle(asked())

    error = ends_with(j.handle(failed(attempt(0), InputError("no such file"))))

    assert isinstance(error, InputError)
    assert j.failed
    event = a_map(1)
    for late in (asked(), Finished(attempt(1), event.receipt, 2.0), event, Ticked(9.0)):
        assert j.handle(late) == []
    j.check()


def changed(event: Verified, **fields: object) -> Verified:
    return msgspec.structs.replace(event, receipt=msgspec.structs.replace(event.receipt, **fields))


def test_a_map_task_that_lost_a_record_fails_the_run() -> None:
    """Exit 7, naming the task."""
    j = job()
    j.handle(asked())

    error = ends_with(deliver(j, changed(a_map(0), emitted=99)))

    assert isinstance(error, IntegrityError)
    assert "map-0000" in error.message
    assert j.failed


def test_a_reduce_task_that_doubled_a_record_fails_the_run() -> None:
    """Exit 7, naming the partition."""
    j = at_the_barrier()
    j.handle(asked())
    read = a_reduce(0).receipt.read

    error = ends_with(deliver(j, changed(a_reduce(0), read=read + EdgeSum(1, 7, 0))))

    assert isinstance(error, IntegrityError)
    assert "partition 0" in error.message
    assert not j.reduce.done


def test_a_partition_that_nobody_reduced_fails_the_run() -> None:
    """The books are closed before anything is published, and they know of two partitions."""
    j = job(sizes=(0,), reducers=1)
    j.ledger = Ledger(files(0), [], partitions=2)
    j.handle(asked())

    error = ends_with(deliver(j, reduce_verified(attempt(name="reduce"), 0)))

    assert "2 tasks planned, 1 committed" in str(error)
    assert j.failed


def test_a_plan_that_leaves_bytes_out_fails_the_run_at_the_barrier() -> None:
    """The inputs are balanced before any reduce task runs."""
    j = Job(spec(), files(27), TASKS, PhaseLimits())
    j.handle(asked())
    j.handle(asked())
    deliver(j, a_map(0))

    error = ends_with(deliver(j, a_map(1)))

    assert "27 bytes of input, 26 planned" in str(error)
    assert j.handle(asked()) == []


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (at_the_start, "0 of 2 map tasks committed"),
        (at_the_barrier, "0 of 2 reduce tasks committed"),
    ],
)
def test_a_run_ends_at_its_deadline(start: Callable[[float], Job], message: str) -> None:
    """At the time it names and not before; the message says how far it came."""
    j = start(60.0)
    assert j.handle(Ticked(59.9)) == []

    error = ends_with(j.handle(Ticked(60.0)))

    assert isinstance(error, TimeoutReachedError)
    assert message in error.message
    assert j.failed


def test_a_run_that_publishes_is_not_stopped_by_its_deadline() -> None:
    """Its result is complete; a half-published one would help nobody."""
    j = all_reduced(deadline=60.0)

    assert j.handle(Ticked(61.0)) == []
    j.handle(Published())
    assert j.done
