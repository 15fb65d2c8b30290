"""A run that a later process takes on, and map outputs that are lost, each test an incident."""

from __future__ import annotations

import msgspec
import pytest

from core_samples import (
    LOST,
    asked,
    attempt,
    committed,
    complete,
    failed,
    files,
    job,
    map_verified,
    phase,
    receipt,
    reduce_verified,
)
from pymr.core.events import (
    Abort,
    AttemptFailed,
    AttemptLost,
    Command,
    Finished,
    Grant,
    Journal,
    Note,
    PhaseFinished,
    Publish,
    Recovered,
    TaskCommitted,
    TaskInvalidated,
    TaskKept,
    Ticked,
    Verified,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import Attempt
from pymr.errors import (
    CorruptDataError,
    IntegrityError,
    ObjectMissingError,
    PymrError,
    from_dict,
)

TASKS = plan_map_tasks(files(26), 2)
REDUCERS = 2


def a_map(task: int, number: int = 1, **changes: object) -> Verified:
    told = map_verified(attempt(task, number), TASKS[task], REDUCERS)
    return msgspec.structs.replace(told, receipt=msgspec.structs.replace(told.receipt, **changes))


def a_reduce(partition: int, number: int = 1) -> Verified:
    return reduce_verified(attempt(partition, number, "reduce"), len(TASKS))


def kept(told: Verified) -> Recovered:
    return Recovered(told.receipt, told.partitions, told.splits)


def void(told: Verified, reason: str = "it is gone") -> TaskInvalidated:
    return TaskInvalidated(told.receipt, reason)


def deliver(j: Job, told: Verified) -> list[Command]:
    """Finish, verify and journal an attempt; return what its commit asked for."""
    j.handle(Finished(told.receipt.attempt, told.receipt, told.now))
    commands = j.handle(told)
    j.check()
    if commands != [Journal(TaskCommitted(told.receipt))]:
        return commands
    commands = j.handle(TaskCommitted(told.receipt))
    j.check()
    return commands


def granted(commands: list[Command]) -> Attempt | None:
    return next((c.attempt for c in commands if isinstance(c, Grant)), None)


def refusal(commands: list[Command]) -> PymrError:
    [command] = [c for c in commands if isinstance(c, Abort)]
    return from_dict(command.error)


def second_life(*events: Recovered | TaskInvalidated, **limits: float) -> Job:
    """A job whose attempts are numbered from 1001, after `events`."""
    j = job(attempt_first=1001, **limits)
    for event in events:
        j.handle(event)
        j.check()
    return j


def reducing(**limits: float) -> Job:
    """A job at the barrier, of which both reduce tasks are granted to `w0` and `w1`."""
    j = job(**limits)
    for task in range(2):
        j.handle(asked())
        deliver(j, a_map(task))
    assert [granted(j.handle(asked(w))) for w in ("w0", "w1")] == [
        attempt(0, name="reduce"),
        attempt(1, name="reduce"),
    ]
    return j


def meets_damage(j: Job, partition: int, error: PymrError, number: int = 1) -> list[Command]:
    """Let a reduce attempt fail because of a map output, and the journal take what follows."""
    commands = j.handle(failed(attempt(partition, number, "reduce"), error))
    j.check()
    for command in commands:
        if isinstance(command, Journal):
            assert j.handle(command.decision) == []
            j.check()
    return commands


DAMAGED = CorruptDataError("sorted run `map-0000-1` is corrupt", path="map-0000-1", offset=7)
MISSING = ObjectMissingError("no object `map-0000-1`", key="map-0000-1")


# -- taking on ---------------------------------------------------------------------------------


def test_what_is_kept_is_not_run_again() -> None:
    """The other tasks are, with numbers that the earlier process cannot have used."""
    j = second_life()

    assert j.handle(kept(a_map(1))) == [Note(TaskKept(a_map(1).receipt))]
    assert granted(j.handle(asked())) == attempt(0, 1001)
    assert granted(j.handle(asked())) is None
    assert deliver(j, a_map(0, 1001)) == [Note(PhaseFinished("map", 2))]
    assert j.map_sources()[1].key == "map-0001-1"


def test_a_run_of_which_all_is_kept_is_published_at_once() -> None:
    """It was killed between its last commit and its manifest."""
    j = second_life(kept(a_map(0)), kept(a_map(1)), kept(a_reduce(1)))

    commands = j.handle(kept(a_reduce(0)))

    assert commands[-2:] == [Note(PhaseFinished("reduce", 2)), Publish()]


def test_a_reduce_task_is_kept_while_a_map_output_is_lost() -> None:
    """Its books wait for those of all map tasks; it is not run again."""
    j = second_life(kept(a_map(1)), void(a_map(0)), kept(a_reduce(0)))
    assert j.state == "map"
    assert granted(j.handle(asked())) == attempt(0, 1001)

    commands = deliver(j, a_map(0, 1001))

    assert commands == [Note(PhaseFinished("map", 2)), Note(TaskKept(a_reduce(0).receipt))]
    assert granted(j.handle(asked())) == attempt(1, 1001, "reduce")


def test_a_lost_part_is_written_again() -> None:
    """A reduce task of which nobody has read: its books are those of the new attempt."""
    j = second_life(kept(a_map(0)), kept(a_map(1)), kept(a_reduce(1)), void(a_reduce(0)))

    assert granted(j.handle(asked())) == attempt(0, 1001, "reduce")
    assert deliver(j, a_reduce(0, 1001))[-1] == Publish()


def test_a_task_that_is_kept_twice_is_a_bug() -> None:
    """A journal has one valid commit of a task."""
    j = second_life(kept(a_map(0)))

    with pytest.raises(AssertionError, match="came twice"):
        j.handle(kept(a_map(0)))


# -- an output that is lost and written again --------------------------------------------------


def test_a_mapper_that_writes_something_else_is_not_deterministic() -> None:
    """The same code, another fingerprint: exit 7, and both are told."""
    j = second_life(kept(a_map(1)), void(a_map(0)))
    j.handle(asked())

    error = refusal(deliver(j, a_map(0, 1001, emitted=8)))

    assert isinstance(error, IntegrityError)
    assert "the mapper is not deterministic: `map-0000` was run again" in error.message
    assert "gave 8 pairs with" in error.message
    assert "expected 7 pairs with" in error.message
    assert error.fields["task"] == "map-0000"
    assert j.failed


def test_other_code_may_write_something_else_that_nobody_has_read() -> None:
    """The user has fixed the mapper; no reduce task had run."""
    j = second_life(kept(a_map(1)), void(a_map(0)))
    j.handle(asked())

    other = a_map(0, 1001, emitted=8, combined_in=1, code_digest="fixed")

    assert deliver(j, other) == [Note(PhaseFinished("map", 2))]
    assert j.ledger.summary().emitted == 8 + a_map(1).receipt.emitted


def test_other_code_may_not_write_something_else_after_a_reduce_task_has_read() -> None:
    """The kept reduce task saw the old output: the result would be of both codes."""
    j = second_life(kept(a_map(1)), void(a_map(0)), kept(a_reduce(0)))
    j.handle(asked())

    error = refusal(deliver(j, a_map(0, 1001, emitted=8, code_digest="fixed")))

    assert "after reduce tasks had read it" in error.message
    assert "--restart" in str(error.hint)


def test_the_same_output_of_other_code_is_fine_whoever_has_read() -> None:
    """Only the reducer was changed, for instance."""
    j = second_life(kept(a_map(1)), void(a_map(0)), kept(a_reduce(0)))
    j.handle(asked())

    assert Note(TaskKept(a_reduce(0).receipt)) in deliver(j, a_map(0, 1001, code_digest="fixed"))


# -- found by a reduce task ----------------------------------------------------------------------


def test_a_map_output_that_is_gone_is_written_again() -> None:
    """The decision goes first, the reduce task waits for the map task; the books hold."""
    j = reducing()

    commands = meets_damage(j, 0, MISSING)

    assert commands[0] == Journal(TaskInvalidated(a_map(0).receipt, MISSING.message))
    [note] = [c.event for c in commands if isinstance(c, Note)]
    assert isinstance(note, AttemptFailed)
    assert note.will_retry
    assert (j.state, j.phase.name) == ("reduce", "map")
    assert granted(j.handle(asked("w0"))) == attempt(0, 2), "a number is used once"
    assert granted(j.handle(asked("w2"))) is None, "no reduce task before the map task"
    assert deliver(j, a_map(0, 2)) == []
    assert [source.key for source in j.map_sources()] == ["map-0000-2", "map-0001-1"]
    assert granted(j.handle(asked("w0"))) == attempt(0, 2, "reduce")
    deliver(j, a_reduce(1))
    assert deliver(j, a_reduce(0, 2))[-1] == Publish()
    assert j.ledger.summary().counters == {"mapped": 2, "reduced": 2}


def test_a_map_output_that_is_misread_is_read_again_before_it_is_given_up() -> None:
    """A cable may have changed a byte; that two attempts find it damaged is no accident."""
    j = reducing()

    [note] = meets_damage(j, 0, DAMAGED)
    assert isinstance(note, Note)
    assert granted(j.handle(asked("w0"))) == attempt(0, 2, "reduce")
    commands = meets_damage(j, 1, DAMAGED)

    assert commands[0] == Journal(TaskInvalidated(a_map(0).receipt, DAMAGED.message))
    assert granted(j.handle(asked("w1"))) == attempt(0, 2)


@pytest.mark.parametrize("error", ["DAMAGED", "MISSING"])
def test_bad_map_outputs_are_no_failures_of_their_reader(error: str) -> None:
    """However many there are: each is written again, and the reduce task has all its tries."""
    j = reducing(attempts_max=1)
    reader = 1
    for task in range(len(TASKS)):
        kind = CorruptDataError if error == "DAMAGED" else ObjectMissingError
        bad = kind("it is bad", **{"path" if error == "DAMAGED" else "key": f"map-{task:04}-1"})
        while j.map.done:
            commands = meets_damage(j, 0, bad, reader)
            assert not j.failed, commands
            if j.map.done:
                reader += 1
                assert granted(j.handle(asked("w0"))) == attempt(0, reader, "reduce")
        assert granted(j.handle(asked("w0"))) == attempt(task, 2)
        deliver(j, a_map(task, 2))
        reader += 1
        assert granted(j.handle(asked("w0"))) == attempt(0, reader, "reduce")


def test_a_map_output_that_ends_the_run_is_given_up_for_the_next_process() -> None:
    """It was written again and is damaged again: the journal knows, so a resume comes further."""
    j = reducing(attempts_max=1)
    meets_damage(j, 0, MISSING)
    assert granted(j.handle(asked("w0"))) == attempt(0, 2)
    deliver(j, a_map(0, 2))
    assert granted(j.handle(asked("w0"))) == attempt(0, 2, "reduce")

    commands = meets_damage(j, 0, CorruptDataError("again", path="map-0000-2"), 2)

    assert commands[0] == Journal(TaskInvalidated(a_map(0, 2).receipt, "again"))
    assert isinstance(refusal(commands), CorruptDataError)


def test_two_reduce_tasks_that_meet_the_same_damage_cost_one_decision() -> None:
    """Also while it is on its way to the journal."""
    j = reducing()

    first = j.handle(failed(attempt(0, name="reduce"), MISSING))
    second = j.handle(failed(attempt(1, name="reduce"), MISSING))

    decisions = [c.decision for c in (*first, *second) if isinstance(c, Journal)]
    assert len(decisions) == 1
    j.handle(decisions[0])
    assert not j.failed, "both are tried again"
    assert j.map.pending == 1


def test_damage_of_something_else_is_no_map_output() -> None:
    """A spill of the attempt itself: it is tried again, as after any such error."""
    j = reducing()

    commands = meets_damage(j, 0, CorruptDataError("a spill is corrupt", path="spill-1"))

    assert [type(c) for c in commands] == [Note]
    assert j.map.done


def test_other_errors_of_a_reduce_task_open_no_map_task() -> None:
    """Whatever key they name."""
    j = reducing()

    commands = meets_damage(j, 0, PymrError("no", key="map-0000-1"))

    assert refusal(commands).message == "no"


def test_damage_found_by_the_loser_of_the_last_task_waits_for_its_map_task() -> None:
    """Both reduce tasks are committed, and the output that one attempt could not read is open."""
    j = reducing(backup_ready=0.5, backup_floor_s=0.1)
    deliver(j, a_reduce(1))
    j.handle(Ticked(4.0))
    assert granted(j.handle(asked("w2", now=5.0))) == attempt(0, 2, "reduce"), "a backup"
    meets_damage(j, 0, MISSING)

    assert deliver(j, a_reduce(0, 2)) == [], "not published"

    assert granted(j.handle(asked("w0", now=6.0))) == attempt(0, 2)
    assert deliver(j, a_map(0, 2))[-1] == Publish()


def test_a_worker_that_dies_while_a_map_task_is_open_again_loses_its_reduce_task() -> None:
    """Both phases hear of it."""
    j = reducing()
    meets_damage(j, 0, MISSING)

    commands = j.handle(WorkerLost("w1", LOST, 2.0))

    [note] = [c.event for c in commands if isinstance(c, Note)]
    assert isinstance(note, AttemptLost)
    assert note.attempt == attempt(1, name="reduce")


def test_damage_that_is_told_when_all_is_committed_changes_nothing() -> None:
    """The decision was on its way when the last reduce task was committed."""
    j = reducing()
    commands = j.handle(failed(attempt(0, name="reduce"), MISSING))
    j.handle(asked("w0"))
    deliver(j, a_reduce(1))
    assert deliver(j, a_reduce(0, 2))[-1] == Publish()
    [decision] = [c.decision for c in commands if isinstance(c, Journal)]

    assert j.handle(decision) == []
    j.check()
    assert j.state == "publishing"


# -- a phase that opens a task again -------------------------------------------------------------


def test_a_committed_task_that_is_opened_again_goes_on_counting_its_attempts() -> None:
    """A number is never used twice, whatever was committed and lost in between."""
    p = phase(tasks=2)
    for now in (0.0, 1.0):
        p.handle(asked("w", now))
    p.handle(WorkerLost("w", LOST, now=2.0))
    assert granted(p.handle(asked())) == attempt(0, 2)
    complete(p, attempt(0, 2))

    assert p.handle(TaskInvalidated(receipt(attempt(0, 2)), "it is gone")) == []

    p.check()
    assert p.state_of(0) == "pending"
    assert granted(p.handle(asked())) == attempt(0, 3)


def test_a_task_of_an_earlier_process_that_is_opened_again_is_granted_once() -> None:
    """It was never granted here; it must not count as fresh and as opened."""
    p = phase(tasks=2)
    p.handle(committed(attempt(1)))
    p.handle(TaskInvalidated(receipt(attempt(1)), "it is gone"))
    p.check()

    assert [granted(p.handle(asked())) for _ in range(3)] == [attempt(1), attempt(0), None]
    p.check()


def test_a_task_that_waits_for_a_retry_is_opened_again_once() -> None:
    """It lost its worker, was committed by an earlier attempt's decision, and lost that too."""
    p = phase(tasks=1)
    p.handle(asked("w"))
    p.handle(WorkerLost("w", LOST, now=1.0))
    p.handle(committed(attempt(0)))

    p.handle(TaskInvalidated(receipt(attempt(0)), "it is gone"))

    p.check()
    assert granted(p.handle(asked())) == attempt(0, 2)
    assert granted(p.handle(asked())) is None


def test_another_attempt_s_output_being_lost_opens_nothing() -> None:
    """Only what is committed can be lost."""
    p = phase()
    p.handle(committed(attempt(0, 2)))

    p.handle(TaskInvalidated(receipt(attempt(0, 1)), "it is gone"))

    assert p.done
