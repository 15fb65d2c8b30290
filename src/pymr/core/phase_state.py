"""What one phase knows of its tasks, from pending to committed; the rules are in `phase`. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from pymr.core.backup import Backups
from pymr.core.lease import LeaseBook, LeaseState
from pymr.core.limit import LIVE_ATTEMPTS_MAX, PhaseLimits
from pymr.core.quarantine import Quarantine
from pymr.core.queue import TaskQueue
from pymr.core.spec import Attempt, PhaseName, Receipt

TaskState: TypeAlias = Literal["pending", "running", "verifying", "verified", "committed"]

_PROGRESS: tuple[LeaseState, ...] = ("running", "verifying", "verified")


class OpenTask(msgspec.Struct):
    """A task that was granted, or committed before, and is not committed."""

    attempts: int = 0
    failures: int = 0
    borne: int = 0  # failures that are none of its own: what it read was damaged
    losses: int = 0  # of its worker: mostly the machine
    crashes: int = 0  # of its process: mostly the task
    signatures: list[str] = []  # of failures that are not retryable
    live: list[Attempt] = []  # those with a lease
    decided: bool = False  # a TaskCommitted is on its way to the journal
    alone: bool = False  # it took too much memory beside others
    scans: set[Attempt] | None = None  # attempts that leave bad records out; None: it had none yet
    shuns: str | None = None  # the worker on which it crashed last …
    shuns_until: float = 0.0  # … which gets it again only from then on, if there are others

    def check(self, limits: PhaseLimits, *, failed: bool) -> None:
        """Assert that no limit was passed; after the end of the run one was reached."""
        assert len(self.live) <= LIVE_ATTEMPTS_MAX, f"too many live attempts: {self}"
        ended = self.failures + self.borne + self.losses + self.crashes
        assert self.attempts >= ended + len(self.live), f"{self}"
        if not failed and not self.decided:
            assert self.failures < limits.attempts_max, f"{self}"
            assert self.borne < limits.borne_max, f"{self}"
            assert self.losses < limits.losses_max, f"{self}"
            assert self.crashes < limits.crashes_max, f"{self}"


class PhaseState:
    """Tasks and leases of a phase, and what is changed about them as one."""

    def __init__(
        self, name: PhaseName, tasks: int, limits: PhaseLimits, quarantine: Quarantine | None = None
    ) -> None:
        """Take the number of tasks; both phases of a run have the same `quarantine`."""
        self.name: PhaseName = name
        self.tasks = tasks
        self.limits = limits
        self.committed: dict[int, Receipt] = {}
        self.failed = False
        self.open: dict[int, OpenTask] = {}
        self.spent: dict[int, int] = {}  # attempts of committed tasks: no number comes twice
        self.alone: Attempt | None = None  # the last one that was granted to run alone
        self.queue = TaskQueue(tasks)
        self.leases = LeaseBook(limits.lease_s)
        self.backups = Backups(limits.backup_after, limits.backup_floor_s)
        self.quarantine = quarantine or Quarantine()

    @property
    def done(self) -> bool:
        """All tasks are committed."""
        return len(self.committed) == self.tasks

    @property
    def running(self) -> int:
        """How many attempts have a lease."""
        return len(self.leases)

    @property
    def runs_alone(self) -> bool:
        """An attempt is at work beside which nothing else may run."""
        lease = None if self.alone is None else self.leases.get(self.alone)
        return lease is not None and lease.state == "running"

    @property
    def waits_to_be_alone(self) -> bool:
        """A task waits until nothing else runs."""
        return self.queue.has_alone

    @property
    def pending(self) -> int:
        """How many tasks wait for a worker. O(tasks that are open)."""
        leased = sum(1 for task in self.open.values() if task.live)
        return self.tasks - len(self.committed) - leased

    def state_of(self, task: int) -> TaskState:
        """Return the state of a task: that of its most advanced attempt."""
        if task in self.committed:
            return "committed"
        live = self.open[task].live if task in self.open else []
        states = [self.leases[attempt].state for attempt in live]
        return max(states, key=_PROGRESS.index) if states else "pending"

    def drop(self, attempt: Attempt) -> OpenTask:
        """Take the lease of `attempt` away; what is left of its task may need a backup."""
        self.leases.drop(attempt)
        task = self.open[attempt.task]
        task.live.remove(attempt)
        for survivor in task.live:
            self.backups.watch(survivor, self.leases[survivor].started)
        return task

    def put_back(self, attempt: Attempt, *, fatal: bool) -> bool:
        """Queue the task of a dropped attempt, unless it is decided; return if it goes on."""
        task = self.open[attempt.task]
        self.failed = fatal
        if not fatal and not task.live:
            self.queue.put_back(attempt.task, alone=task.alone)
        return not fatal and not task.decided

    def check(self) -> None:
        """Assert that every task is in exactly one place, and every lease can end. O(tasks)."""
        live = [attempt for task in self.open.values() for attempt in task.live]
        assert sorted(live) == sorted(self.leases), "leases and live attempts differ"
        waiting = self.queue.waiting(self.committed, self.open)
        places = [*waiting, *{a.task for a in live}, *self.committed]
        assert len(places) == len(set(places)), f"a task is in two places: {places}"
        assert self.failed or len(places) == self.tasks, f"a task is in no place: {places}"
        assert self.failed or self.pending == len(waiting), "pending is miscounted"
        running = [a for a in live if self.leases[a].state == "running"]
        for index, task in self.open.items():
            states = [self.leases[attempt].state for attempt in task.live]
            assert states.count("verified") == task.decided, f"decided wrongly: {index}, {states}"
            task.check(self.limits, failed=self.failed)
        assert not self.runs_alone or len(running) == 1, f"not alone: {running}"
        self.leases.check()
        self.backups.check({a for a in running if len(self.open[a.task].live) == 1})
