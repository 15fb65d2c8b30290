"""What a journal says: a fold over its decisions, from which a later process takes on.

Pure. Any prefix of a journal is a state that a run was in, so a journal that lost its end
gives less kept work, and nothing wrong:

    RunPlanned ─► TaskCommitted …      the first commit of a task counts
                  TaskInvalidated …    its output is gone: the task is open again
                  RunResumed …         another process; what was committed stays

A run that is done may be replayed, once the mapper bears its bad records: map tasks that left some
out are open again, whole, and so are all reduce tasks. Attempts have the epoch in their number, so
a replay that was stopped knows what it has done already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from pymr.core.events import Decision, RunPlanned, RunResumed, TaskCommitted, TaskInvalidated
from pymr.core.spec import Code, JobSpec, PhaseName, Receipt, SkipRules

# Attempts are numbered from 1 in the first epoch, from 1001 in the second, and so on: which
# numbers were granted is not journalled, but no task has that many attempts in one epoch.
ATTEMPTS_PER_EPOCH: Final = 1000

TaskName = tuple[PhaseName, int]


class Replay(msgspec.Struct):
    """A run as its journal has it; tasks in the order of their decisions."""

    spec: JobSpec
    map_tasks: int
    epoch: int = 1
    committed: dict[TaskName, Receipt] = msgspec.field(default_factory=dict)
    invalidated: dict[TaskName, TaskInvalidated] = msgspec.field(default_factory=dict)  # open now
    skip: SkipRules = SkipRules()  # of the run itself: a replay may have been given others
    code: Code | None = None  # for workers on other machines, if it is not that of the plan

    @property
    def kept(self) -> tuple[int, int]:
        """How many map tasks, and how many reduce tasks, are committed."""
        maps = sum(phase == "map" for phase, _ in self.committed)
        return maps, len(self.committed) - maps


def outdated(run: Replay, *, digest: str, epoch: int | None) -> list[Receipt]:
    """Return what a later process does again, with code that has `digest`.

    In a replay of the result of `epoch`, what was told above; in a resume (None) map tasks that
    have left out records by other code, unless a reduce task has read already what they wrote.
    """
    receipts = run.committed.values()
    if epoch is not None:
        first = attempt_first(epoch + 1)
        before = [receipt for receipt in receipts if receipt.attempt.number < first]
        return [each for each in before if each.bad_records or each.attempt.phase == "reduce"]
    if run.kept[1]:
        return []
    return [each for each in receipts if each.bad_records and each.code_digest != digest]


def replay(planned: RunPlanned, decisions: Iterable[Decision]) -> Replay:
    """Return what `planned`, the first record of a journal, and the other `decisions` say."""
    run = Replay(planned.spec, planned.map_tasks, planned.epoch, skip=planned.spec.skip)
    for decision in decisions:
        match decision:
            case TaskCommitted(receipt):
                task = _name(receipt)
                run.committed.setdefault(task, receipt)
                run.invalidated.pop(task, None)
            case TaskInvalidated(receipt):
                task = _name(receipt)
                if run.committed.get(task) == receipt:
                    del run.committed[task]
                    run.invalidated[task] = decision
            case RunResumed(spec, epoch=epoch, code=code, is_replay=is_replay):
                run.spec, run.epoch, run.code = spec, epoch, code or run.code
                run.skip = run.skip if is_replay else spec.skip
            case _:
                raise AssertionError("a journal has one plan")
    return run


def attempt_first(epoch: int) -> int:
    """Return the number of a task's first attempt in an epoch."""
    return (epoch - 1) * ATTEMPTS_PER_EPOCH + 1


def _name(receipt: Receipt) -> TaskName:
    return receipt.attempt.phase, receipt.attempt.task
