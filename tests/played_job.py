"""Plays the edge for a whole job: what happens is told step by step, and checked after each."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from core_samples import LOST, asked, attempt, failed, files, job, map_verified, reduce_verified
from pymr.core.events import (
    Abort,
    Command,
    Crashed,
    Decision,
    Finished,
    Grant,
    Held,
    Journal,
    Keep,
    Publish,
    Published,
    Recovered,
    Renewed,
    Returned,
    TaskCommitted,
    TaskInvalidated,
    Ticked,
    Verified,
    Verify,
    WorkerLost,
)
from pymr.core.job import Job, JobEvent
from pymr.core.plan import plan_map_tasks
from pymr.core.replay import Replay, TaskName, attempt_first
from pymr.core.spec import Attempt, EdgeSum
from pymr.errors import CorruptDataError, StoreUnavailableError, from_dict

SIZES = (20, 0, 6)
WORKERS = ("w0", "w1", "w2")
SULKING = StoreUnavailableError("no answer")
NEVER_HELD = (attempt(0, 77), attempt(0, 77, "reduce"))
PAUSES_S = (0.5, 3.0, 4.9, 20.0)
# What happens, the likely things more often.
KINDS = (
    *["ask", "finish"] * 6,
    *["deliver"] * 12,
    *["verify", "fail", "renew", "lose", "tick"],
    *["crash", "give back", "hold"],
)


class Edge:
    """Plays the edge for a job whose attempts all do the same, rightly."""

    def __init__(self, mappers: int, reducers: int, epoch: int = 1) -> None:
        self.tasks = plan_map_tasks(files(*SIZES), mappers)
        self.reducers = reducers
        self.job: Job = job(
            SIZES,
            mappers,
            reducers,
            attempts_max=99,
            losses_max=99,
            crashes_max=99,
            attempt_first=attempt_first(epoch),
        )
        self.now = 0.0
        self.granted: list[Attempt] = []
        self.epoch = epoch
        self.adopted: list[Attempt] = []  # of an earlier epoch
        self.owed: list[JobEvent] = []
        self.journal: list[Decision] = []
        self.published = 0
        self.errors: list[Exception] = []
        self.liar: Attempt | None = None  # the attempt whose receipt is one record short
        self.unstable: int | None = None  # the map task that emits one pair less from now on

    def verified(self, of: Attempt) -> Verified:
        """Return what is verified about an attempt."""
        if of.phase == "reduce":
            told = reduce_verified(of, len(self.tasks), self.now)
            lie = {"read": EdgeSum(told.receipt.read.records - 1)}
        else:
            told = map_verified(of, self.tasks[of.task], self.reducers, self.now)
            lie = {"emitted": told.receipt.emitted - 1}
        if of.phase == "map" and of.task == self.unstable:
            lie = {"emitted": told.receipt.emitted - 1, "combined_in": -1}
        elif of != self.liar:
            return told
        receipt = msgspec.structs.replace(told.receipt, **lie)
        return msgspec.structs.replace(told, receipt=receipt)

    def take_on(self, earlier: Replay, lost: Collection[TaskName] = ()) -> None:
        """Begin with what an earlier process has committed, but for what is `lost` of it."""
        for decision in earlier.invalidated.values():
            self.tell(decision)
        for name, receipt in earlier.committed.items():
            if name in lost:
                self.perform(Journal(TaskInvalidated(receipt, "it is gone")))
                self.tell(self.owed.pop())
            else:
                told = self.verified(receipt.attempt)
                self.tell(Recovered(receipt, told.partitions, told.splits))

    def step(self, kind: str, value: int) -> None:
        """Let one thing happen."""
        if kind == "tick":
            self.now += PAUSES_S[value % len(PAUSES_S)]
        if kind != "deliver":
            self.tell(self.report(kind, value))
        elif self.owed:
            self.tell(self.owed.pop(value % len(self.owed)))

    def report(self, kind: str, value: int) -> JobEvent:
        """Return the event for one step."""
        worker = WORKERS[value % len(WORKERS)]
        if kind == "ask":
            return asked(worker, self.now)
        if kind == "lose":
            return WorkerLost(worker, LOST, self.now)
        if kind == "tick":
            return Ticked(self.now)
        return self.report_of(self.pick(value), kind, worker, value)

    def report_of(self, of: Attempt, kind: str, worker: str, value: int) -> JobEvent:
        """Return the event for one step of an attempt."""
        made: dict[str, Callable[[], JobEvent]] = {
            "crash": lambda: Crashed(of, LOST, self.now),
            "give back": lambda: Returned(of, LOST, self.now),
            "hold": lambda: self.held(of, worker, value),
            "damage": lambda: failed(of, self.damage(value), now=self.now),
            "fail": lambda: failed(of, SULKING, now=self.now),
            "renew": lambda: Renewed(of, self.now),
            "verify": lambda: self.verified(of),
            "finish": lambda: self.finished(of),
        }
        return made[kind]()

    def held(self, of: Attempt, worker: str, value: int) -> Held:
        """Return what a worker says that holds an attempt, now and then one of an earlier epoch."""
        if value % 2 and self.epoch > 1:
            of = Attempt(of.phase, of.task, 1 + value)
        knows = of.phase == "reduce" and self.job.map.done and value % 3
        return Held(of, worker, self.now, self.job.sources_digest() if knows else None)

    def damage(self, value: int) -> CorruptDataError:
        """Return what an attempt says that finds a map output damaged."""
        outputs = sorted(receipt.key for receipt in self.job.map.committed.values())
        key = outputs[value % len(outputs)] if outputs else "a spill"
        return CorruptDataError(f"sorted run `{key}` is corrupt", path=key)

    def finished(self, of: Attempt) -> Finished:
        """Return the report of an attempt."""
        return Finished(of, self.verified(of).receipt, self.now)

    def pick(self, value: int) -> Attempt:
        """Return one of the last attempts that were granted, or one that never was."""
        live = [*self.granted, *self.adopted]
        if value > 7 or not live:
            return NEVER_HELD[value % 2]
        return live[-1 - value % min(3, len(live))]

    def tell(self, told: JobEvent) -> list[Command]:
        """Hand an event to the job, check it, and do what it commands."""
        commands = self.job.handle(told)
        self.job.check()
        for command in commands:
            self.perform(command)
        return commands

    def perform(self, command: Command) -> None:
        """Do what was commanded, or owe it."""
        match command:
            case Grant(attempt=granted):
                assert granted not in self.granted, "a number was used twice"
                self.granted.append(granted)
            case Keep(attempt=held):
                if held not in self.granted:
                    assert held.number < attempt_first(self.epoch), "a lease came back"
                    self.adopted.append(held)
            case Verify(receipt=receipt):
                self.owed.append(self.verified(receipt.attempt))
            case Journal(decision=decision):
                self.journal.append(decision)
                self.owed.append(decision)
            case Abort(error=error):
                self.errors.append(from_dict(error))
            case Publish():
                self.published += 1
                self.owed.append(Published())

    def finish_fairly(self) -> None:
        """Let a worker that nothing happens to do the rest, and time pass."""
        for _ in range(40 * (len(self.tasks) + self.reducers + 1)):
            while self.owed:
                self.tell(self.owed.pop(0))
            if self.job.done or self.job.failed:
                return
            self.now += 1.0
            self.tell(Ticked(self.now))
            for command in self.tell(asked("fair", self.now)):
                if isinstance(command, Grant):
                    self.tell(self.finished(command.attempt))
        raise AssertionError(f"the run does not end: {self.job.state}")

    def commits(self) -> list[TaskName]:
        """Return the tasks that the journal says were committed, in order."""
        return [
            (decision.receipt.attempt.phase, decision.receipt.attempt.task)
            for decision in self.journal
            if isinstance(decision, TaskCommitted)
        ]
