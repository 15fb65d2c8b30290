"""What a journal says: the first commit counts, a void one opens its task, the last code holds."""

from __future__ import annotations

import msgspec
import pytest

from core_samples import attempt, committed, receipt, spec
from pymr.config.setting import BY_NAME
from pymr.core.events import (
    Decision,
    RunPlanned,
    RunResumed,
    TaskCommitted,
    TaskInvalidated,
    encode,
)
from pymr.core.limit import HOST_LOSSES_MAX, LIVE_ATTEMPTS_MAX, PhaseLimits
from pymr.core.replay import ATTEMPTS_PER_EPOCH, attempt_first, outdated, replay
from pymr.core.spec import SkipRules

PLANNED = RunPlanned(spec(), 3, 1, 26)


def void(*of: int) -> TaskInvalidated:
    return TaskInvalidated(committed(attempt(*of)).receipt, "it is gone")


def test_commits_are_kept_in_their_order() -> None:
    """Of both phases, with how many there are."""
    decisions = [committed(attempt(n)) for n in (2, 0, 1)]
    decisions.append(committed(attempt(0, name="reduce")))

    run = replay(PLANNED, decisions)

    assert list(run.committed) == [("map", 2), ("map", 0), ("map", 1), ("reduce", 0)]
    assert run.kept == (3, 1)
    assert (run.epoch, run.map_tasks, run.spec) == (1, 3, PLANNED.spec)


def test_the_first_commit_of_a_task_counts() -> None:
    """A second one, which no process should have written, changes nothing."""
    run = replay(PLANNED, [committed(attempt(0, 1)), committed(attempt(0, 2))])

    assert run.committed["map", 0].attempt.number == 1


def test_a_void_commit_opens_its_task_until_the_next() -> None:
    """And what had been written is remembered, to be compared, until then."""
    first, again = committed(attempt(0, 1)), committed(attempt(0, 1001))

    run = replay(PLANNED, [first, void(0, 1)])
    assert run.committed == {}
    assert run.invalidated == {("map", 0): void(0, 1)}

    run = replay(PLANNED, [first, void(0, 1), again])
    assert run.committed == {("map", 0): again.receipt}
    assert run.invalidated == {}


def test_a_commit_is_not_void_for_what_was_said_of_another() -> None:
    """What is void is one attempt, not its task."""
    run = replay(PLANNED, [committed(attempt(0, 2)), void(0, 1), void(1, 1)])

    assert list(run.committed) == [("map", 0)]
    assert run.invalidated == {}


def test_a_later_process_brings_its_code_and_its_epoch() -> None:
    """The shape is that of the code as it was last."""
    shape = msgspec.structs.replace(spec().shape, digest="fixed")
    fixed = msgspec.structs.replace(spec(), shape=shape)
    decisions: list[Decision] = [
        committed(attempt(0)),
        RunResumed(PLANNED.spec, 3, 1, 26, epoch=2),
        RunResumed(fixed, 3, 1, 26, epoch=3),
    ]

    run = replay(PLANNED, decisions)

    assert (run.epoch, run.spec.shape.digest) == (3, "fixed")
    assert run.kept == (1, 0)


def test_what_a_replay_may_leave_out_is_not_what_the_run_may() -> None:
    """A resume changes that for good, a replay for itself."""
    resumed = msgspec.structs.replace(spec(), skip=SkipRules(records_max=5))
    replayed = msgspec.structs.replace(spec(), skip=SkipRules(records_max=0))

    run = replay(
        PLANNED,
        [
            RunResumed(resumed, 3, 1, 26, epoch=2),
            RunResumed(replayed, 3, 1, 26, epoch=3, is_replay=True),
        ],
    )

    assert (run.skip.records_max, run.spec.skip.records_max) == (5, 0)
    assert replay(PLANNED, []).skip == PLANNED.spec.skip


def test_a_journal_with_two_plans_is_a_bug() -> None:
    """No process writes it."""
    with pytest.raises(AssertionError, match="one plan"):
        replay(PLANNED, [PLANNED])


def test_no_task_has_as_many_attempts_as_an_epoch_has_numbers() -> None:
    """So no number comes twice, though grants are not journalled."""
    limits = PhaseLimits(attempts_max=BY_NAME["attempts"].kind.maximum)
    attempts_max = limits.attempts_max + limits.crashes_max + HOST_LOSSES_MAX + LIVE_ATTEMPTS_MAX

    assert attempts_max < ATTEMPTS_PER_EPOCH
    assert [attempt_first(epoch) for epoch in (1, 2, 3)] == [1, 1001, 2001]


def bad(task: int, number: int) -> TaskCommitted:
    return TaskCommitted(receipt(attempt(task, number), bad_records=2))


def test_a_replay_does_again_what_left_records_out_and_all_reduce_tasks() -> None:
    """Map outputs that are whole are kept."""
    of_reduce = committed(attempt(0, 1, "reduce"))
    run = replay(PLANNED, [committed(attempt(0)), bad(1, 2), committed(attempt(2)), of_reduce])

    assert outdated(run, digest="c", epoch=1) == [bad(1, 2).receipt, of_reduce.receipt]


def test_a_replay_that_was_stopped_is_gone_on_with() -> None:
    """What it has done already is told by the numbers of attempts, also what is bad again."""
    decisions: list[Decision] = [
        *(bad(0, 2), bad(1, 2), bad(2, 2), committed(attempt(0, 1, "reduce"))),
        RunResumed(PLANNED.spec, 3, 1, 26, epoch=2),
        *(void(0, 2), bad(0, 1001)),
    ]
    run = replay(PLANNED, decisions[:-2])
    run.committed["map", 0] = bad(0, 1001).receipt

    again = [str(each.attempt) for each in outdated(run, digest="c", epoch=1)]

    assert again == ["map-0001", "map-0002", "reduce-0000"]
    assert [str(each.attempt) for each in outdated(run, digest="c", epoch=2)] == [
        "map-0000",
        *again,
    ]


def test_a_resume_after_a_fix_tries_bad_records_again() -> None:
    """They are what the fix is for; other tasks are kept, and those that the same code has done."""
    run = replay(PLANNED, [committed(attempt(0)), bad(1, 2)])

    assert outdated(run, digest="fixed", epoch=None) == [bad(1, 2).receipt]
    assert outdated(run, digest="c", epoch=None) == []


def test_what_reduce_tasks_have_read_is_left_to_a_replay() -> None:
    """A result with bad records comes first, then."""
    run = replay(PLANNED, [bad(1, 2), committed(attempt(0, 1, "reduce"))])

    assert outdated(run, digest="fixed", epoch=None) == []


@pytest.mark.parametrize("decision", [void(0), RunResumed(spec(), 3, 1, 26, epoch=2)])
def test_a_decision_is_one_line_and_comes_back_equal(decision: Decision) -> None:
    """As the others (test_events)."""
    line = encode(decision)

    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Decision) == decision
