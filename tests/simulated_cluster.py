"""The core at a scale that no test machine has: thousands of workers on a simulated clock."""

from __future__ import annotations

import random
from collections import Counter
from heapq import heappop, heappush
from typing import Any

import msgspec

from core_samples import LOST, attempt, receipt, spec
from pymr.core.events import (
    AttemptStarted,
    Command,
    Finished,
    Grant,
    Journal,
    LeaseAsked,
    Note,
    Renewed,
    Revoke,
    TaskCommitted,
    Ticked,
    Verified,
    Verify,
    WorkerLost,
)
from pymr.core.job import Job
from pymr.core.limit import HOST_LOSSES_MAX, PhaseLimits
from pymr.core.phase import Phase
from pymr.core.spec import Attempt, EdgeSum, InputFile, MapTask, ReduceWork, Split, SplitReceipt

TASK_S = 2.0  # of a quick worker
SLOW_FACTOR = 30.0  # one worker in a hundred
SILENT, DYING = 0.002, 0.002  # chance of an attempt to end so


class Cluster:
    """Workers and the edge in one: runs attempts in simulated time, and counts what it saw."""

    def __init__(self, seed: int, tasks: int, workers: int) -> None:
        self.random = random.Random(seed)
        self.phase = Phase("map", tasks, PhaseLimits(losses_max=HOST_LOSSES_MAX))
        self.agenda: list[tuple[float, int, str, Any]] = []  # heap of what comes
        self.running: dict[Attempt, str] = {}
        self.idle: list[str] = [f"w{n}" for n in range(workers)]
        self.seen: Counter[str] = Counter()
        self.now = 0.0

    def run(self) -> None:
        """Let all happen until the phase is done."""
        self.plan(0.0, "tick", None)
        while not self.phase.done:
            self.now, _, kind, value = heappop(self.agenda)
            getattr(self, kind)(value)
            self.ask()

    def plan(self, after: float, kind: str, value: Any) -> None:
        """Put something on the agenda, `after` seconds from now."""
        heappush(self.agenda, (self.now + after, self.seen["planned"], kind, value))
        self.seen["planned"] += 1

    def ask(self) -> None:
        """Let idle workers ask until one gets nothing."""
        while self.idle:
            worker = self.idle.pop()
            commands = self.handle(LeaseAsked(worker, self.now))
            if not commands:
                self.idle.append(worker)
                return

    def handle(self, event: Any) -> list[Command]:
        """Hand an event to the phase and do what it commands."""
        self.seen["events"] += 1
        commands = self.phase.handle(event)
        for command in commands:
            match command:
                case Grant(worker, granted):
                    self.start(worker, granted)
                case Revoke(revoked):
                    self.free(revoked)
                case Verify(told):
                    self.handle(Verified(told, (), (), self.now))
                case Journal(decision):
                    self.handle(decision)
                case Note(event=AttemptStarted(backup=True)):
                    self.seen["backup"] += 1
        return commands

    def start(self, worker: str, granted: Attempt) -> None:
        """Begin an attempt and draw its fate."""
        self.running[granted] = worker
        slow = int(worker[1:]) % 100 == 0
        takes_s = TASK_S * self.random.uniform(0.8, 1.2) * (SLOW_FACTOR if slow else 1.0)
        fate = self.random.random()
        if fate < SILENT:
            self.seen["silent"] += 1  # it will say nothing more
        elif fate < SILENT + DYING:
            self.plan(takes_s / 2, "die", granted)
        else:
            self.plan(takes_s, "finish", granted)
            if takes_s > 5.0:
                self.plan(5.0, "renew", granted)

    def free(self, done: Attempt) -> None:
        """Give the worker of an attempt back, if it still runs it."""
        worker = self.running.pop(done, None)
        if worker is not None:
            self.idle.append(worker)

    def finish(self, done: Attempt) -> None:
        """Report an attempt that nobody stopped."""
        if done in self.running:
            self.free(done)
            self.handle(Finished(done, receipt(done), self.now))

    def renew(self, of: Attempt) -> None:
        """Send a sign of life, and another one later."""
        if of in self.running:
            self.handle(Renewed(of, self.now))
            self.plan(5.0, "renew", of)

    def die(self, of: Attempt) -> None:
        """Lose the worker of an attempt."""
        if of in self.running:
            self.seen["died"] += 1
            self.handle(WorkerLost(self.running[of], LOST, self.now))
            self.free(of)  # another worker of that name takes its place

    def tick(self, _: None) -> None:
        """Let the phase know the time, each second."""
        self.handle(Ticked(self.now))
        self.plan(1.0, "tick", None)


class Books:
    """A job of many map tasks that all write to many partitions: what a master has to hold."""

    def __init__(self, tasks: int, partitions: int) -> None:
        inputs = [InputFile(b"in", tasks, 1)]
        plan = [MapTask(n, (Split(0, n, n + 1),)) for n in range(tasks)]
        self.job = Job(spec(partitions), inputs, plan, PhaseLimits())
        self.partitions = tuple(EdgeSum(7, 70, (1 << 127) + n) for n in range(partitions))
        self.written = sum(self.partitions, EdgeSum())

    def commit_map(self, task: int) -> TaskCommitted:
        """Take a map task from its grant to its decision, and return that."""
        self.job.handle(LeaseAsked("w", 0.0))
        of = attempt(task)
        told = receipt(
            of,
            key=f"out/_pymr/run/map-{task:05d}-1-{task:032x}",
            footer_digest=f"{task:032x}",
            bytes_in=1,
            records_in=1,
            calls=1,
            emitted=self.written.records,
            written=self.written,
        )
        split = SplitReceipt(input=0, start=task, end=task + 1, bytes=1, records=1)
        decision = TaskCommitted(told)
        # Each has partitions of its own, as they come of a footer.
        partitions = msgspec.json.decode(self._footer(), type=tuple[EdgeSum, ...])
        for event in (Finished(of, told, 0.0), Verified(told, partitions, (split,), 0.0), decision):
            self.job.handle(event)
        return decision

    def _footer(self) -> bytes:
        return msgspec.json.encode(self.partitions)

    def grant_reduces(self) -> list[ReduceWork]:
        """Grant all reduce tasks, and return what their attempts are told to do."""
        count = len(self.partitions)
        grants = [self.job.handle(LeaseAsked("w", 0.0)) for _ in range(count)]
        assert all(isinstance(commands[0], Grant) for commands in grants)
        return [ReduceWork(n, self.job.map_sources()) for n in range(count)]
