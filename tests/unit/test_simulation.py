"""A large phase on a simulated clock: 100,000 tasks, 1,000 workers, some slow, some dying."""

from __future__ import annotations

import random
import time
from collections import Counter
from heapq import heappop, heappush
from typing import Any

from core_samples import LOST, attempt, receipt
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
    Ticked,
    Verified,
    Verify,
    WorkerLost,
)
from pymr.core.limit import PhaseLimits
from pymr.core.phase import Phase
from pymr.core.spec import Attempt

TASKS, WORKERS = 100_000, 1_000
TASK_S = 2.0  # of a quick worker
SLOW_FACTOR = 30.0  # one worker in a hundred
SILENT, DYING = 0.002, 0.002  # chance of an attempt to end so


class Cluster:
    """Workers and the edge in one: runs attempts in simulated time, and counts what it saw."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.phase = Phase("map", TASKS, PhaseLimits(losses_max=20))
        self.agenda: list[tuple[float, int, str, Any]] = []  # heap of what comes
        self.running: dict[Attempt, str] = {}
        self.idle: list[str] = [f"w{n}" for n in range(WORKERS)]
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


def test_a_hundred_thousand_tasks_end_in_bounded_events_and_time() -> None:
    """Workers die, fall silent and are slow; the work is done once, and not much slower."""
    cluster = Cluster(seed=20_240_601)
    start = time.process_time()

    cluster.run()

    took_s = time.process_time() - start
    cluster.phase.check()
    print(f"{took_s:.1f} s of CPU, {cluster.now:.0f} s simulated, {dict(cluster.seen)}")  # noqa: T201 - shown if it fails
    assert sorted(cluster.phase.committed) == list(range(TASKS))
    assert cluster.phase.running == 0
    assert min(cluster.seen[kind] for kind in ("silent", "died", "backup")) > 0
    attempts = TASKS + cluster.seen["silent"] + cluster.seen["died"] + cluster.seen["backup"]
    assert cluster.seen["events"] < 5 * attempts, "events for each attempt are bounded"
    ideal_s = TASKS / WORKERS * TASK_S
    assert cluster.now < 1.3 * ideal_s, "one slow worker in a hundred costs little"
    assert took_s < 30.0, "a step costs O(log n)"  # about 4 s on a quiet machine


def test_the_last_task_of_a_phase_does_not_wait_for_a_silent_worker_for_ever() -> None:
    """A single task on a worker that says nothing is granted again after one lease."""
    phase = Phase("map", 1, PhaseLimits())
    phase.handle(LeaseAsked("silent", 0.0))

    now = 0.0
    while not any(isinstance(c, Grant) for c in phase.handle(LeaseAsked("other", now))):
        now += 1.0
        phase.handle(Ticked(now))

    assert now == 15.0
    assert phase.handle(Finished(attempt(0, 2), receipt(attempt(0, 2)), now)) != []
