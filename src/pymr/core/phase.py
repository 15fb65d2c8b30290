"""Lease and retry rules for one phase: all map tasks, or all reduce tasks.

No I/O, no clock, no threads: time arrives inside events, effects leave as commands. Every
rule about who may run, retry or win a task lives in this file.

    pending ──LeaseAsked──► running ──Finished──► verifying ──Verified──► verified
       ▲                       │                      │                      │
       ├─ Failed, WorkerLost, ─┘                      │                TaskCommitted
       │  expired, MemoryExceeded                     │                      ▼
       ├──────────────────── Failed ──────────────────┘                  committed
       └──────────────────────────── TaskInvalidated ────────────────────────┘

    attempts_max failures, losses_max losses, or an error that no retry can cure: Abort.
    What took too much memory is tried once more, last and alone; over it again: Abort.
    A failure at a record that a scan may leave out does not count, nor one of a bad map output.

The edge must tick at least every half lease, must answer each Verify with Verified or Failed,
and must hand each journalled decision back. An ask that gets no Grant is forgotten: ask again
after the next event, and after ticks (a backup attempt comes with time). A Revoke may come
twice for the same attempt.

The full table of states and events is in docs/design/states.md.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, assert_never

import msgspec

from pymr.core.backup import Backups
from pymr.core.bad_records import is_at_record
from pymr.core.events import (
    Abort,
    AttemptFailed,
    AttemptLost,
    AttemptRevoked,
    AttemptStarted,
    Command,
    Failed,
    Finished,
    Grant,
    Journal,
    LeaseAsked,
    MemoryExceeded,
    Note,
    Renewed,
    Revoke,
    TaskCommitted,
    TaskInvalidated,
    Ticked,
    Verified,
    Verify,
    Warned,
    WorkerLost,
)
from pymr.core.lease import Lease, LeaseBook, LeaseState
from pymr.core.limit import PhaseLimits
from pymr.core.queue import TaskQueue
from pymr.core.spec import Attempt, PhaseName, Receipt
from pymr.errors import UserCodeError, to_dict

PhaseEvent: TypeAlias = (
    LeaseAsked
    | Renewed
    | Finished
    | Verified
    | Failed
    | MemoryExceeded
    | WorkerLost
    | Ticked
    | TaskCommitted
    | TaskInvalidated
)
TaskState: TypeAlias = Literal["pending", "running", "verifying", "verified", "committed"]

LIVE_ATTEMPTS_MAX = 2  # of a task: the first and its backup

_PROGRESS: tuple[LeaseState, ...] = ("running", "verifying", "verified")


class _Task(msgspec.Struct):
    """A task that was granted, or committed before, and is not committed."""

    attempts: int = 0
    failures: int = 0
    losses: int = 0
    signatures: list[str] = []  # of failures that are not retryable
    live: list[Attempt] = []  # those with a lease
    decided: bool = False  # a TaskCommitted is on its way to the journal
    alone: bool = False  # it took too much memory beside others
    scans: set[Attempt] | None = None  # attempts that leave bad records out; None: it had none yet


class Phase:
    """The tasks of one phase, from pending to committed. After an Abort it does nothing."""

    def __init__(self, name: PhaseName, tasks: int, limits: PhaseLimits) -> None:
        self.name: PhaseName = name
        self.tasks = tasks
        self.committed: dict[int, Receipt] = {}
        self.failed = False
        self._limits = limits
        self._queue = TaskQueue(tasks)
        self._alone: Attempt | None = None  # the last one that was granted to run alone
        self._open: dict[int, _Task] = {}
        self._spent: dict[int, int] = {}  # attempts of committed tasks: no number comes twice
        self._leases = LeaseBook(limits.lease_s)
        self._backups = Backups(limits.backup_after, limits.backup_floor_s)

    def handle(self, event: PhaseEvent) -> list[Command]:  # noqa: C901, PLR0911 - one flat match
        """Apply one event and return what the caller must now do, in order."""
        if self.failed:
            return []
        match event:
            case LeaseAsked():
                return self._grant(event.worker, event.now)
            case Renewed():
                return self._renew(event)
            case Finished():
                return self._finish(event)
            case Verified():
                return self._decide(event.receipt)
            case TaskCommitted():
                return self._commit(event.receipt)
            case TaskInvalidated():
                return self._reopen(event.receipt)
            case Failed():
                return self._fail(event)
            case MemoryExceeded():
                return self._exceed(event)
            case WorkerLost():
                return self._lose_worker(event)
            case Ticked():
                return self._tick(event.now)
            case _:
                assert_never(event)

    @property
    def done(self) -> bool:
        """All tasks are committed."""
        return len(self.committed) == self.tasks

    @property
    def running(self) -> int:
        """How many attempts have a lease."""
        return len(self._leases)

    @property
    def runs_alone(self) -> bool:
        """An attempt is at work beside which nothing else may run."""
        lease = None if self._alone is None else self._leases.get(self._alone)
        return lease is not None and lease.state == "running"

    @property
    def waits_to_be_alone(self) -> bool:
        """A task waits until nothing else runs."""
        return self._queue.has_alone

    @property
    def pending(self) -> int:
        """How many tasks wait for a worker."""
        leased = sum(1 for task in self._open.values() if task.live)
        return self.tasks - len(self.committed) - leased

    def state_of(self, task: int) -> TaskState:
        """Return the state of a task: that of its most advanced attempt."""
        if task in self.committed:
            return "committed"
        live = self._open[task].live if task in self._open else []
        states = [self._leases[attempt].state for attempt in live]
        return max(states, key=_PROGRESS.index) if states else "pending"

    # -- granting ----------------------------------------------------------------------------

    def _grant(self, worker: str, now: float) -> list[Command]:
        if self.runs_alone:
            return []
        index = self._next_pending()
        if index is None:
            index = self._next_backup(worker, now)
        if index is None:
            return []
        task = self._open.setdefault(index, _Task())
        attempt = Attempt(self.name, index, self._limits.attempt_first + task.attempts)
        backup, alone = bool(task.live), task.alone and not task.live
        if task.scans is not None:
            task.scans.add(attempt)
        lease = self._leases.grant(attempt, worker, now)
        task.attempts += 1
        task.live.append(attempt)
        if alone:
            self._alone = attempt
        if not backup:
            self._backups.watch(attempt, now)
        return [
            Grant(worker, attempt, lease.expires, alone, task.scans is not None),
            Note(AttemptStarted(attempt, worker, backup, alone)),
        ]

    def _next_pending(self) -> int | None:
        task = self._queue.take(self.committed, self._open)
        if task is None and not self._leases.is_busy:
            task = self._queue.take_alone(self.committed)
        return task

    def _next_backup(self, worker: str, now: float) -> int | None:
        # Of two or three tasks the last one is slow, if any.
        if len(self.committed) < min(self._limits.backup_ready * self.tasks, self.tasks - 1):
            return None
        slow = self._backups.pick(worker, now, self._find_alone)
        return None if slow is None else slow.task

    def _find_alone(self, attempt: Attempt) -> Lease | None:
        lease = self._leases.get(attempt)
        if lease is None or lease.state != "running" or len(self._open[attempt.task].live) > 1:
            return None
        return lease

    # -- winning -----------------------------------------------------------------------------

    def _renew(self, event: Renewed) -> list[Command]:
        lease = self._leases.get(event.attempt)
        if lease is None:
            return self._refuse(event.attempt)
        self._leases.renew(lease, event.now)
        return []

    def _finish(self, event: Finished) -> list[Command]:
        assert event.receipt.attempt == event.attempt, f"receipt of another attempt: {event}"
        lease = self._leases.get(event.attempt)
        if lease is None:
            return self._refuse(event.attempt)
        if lease.state != "running":
            return []  # said before
        self._leases.settle(event.attempt, event.now)
        return [Verify(event.receipt)]

    def _decide(self, receipt: Receipt) -> list[Command]:
        attempt = receipt.attempt
        lease = self._leases.get(attempt)
        if lease is None:
            return self._refuse(attempt)
        if lease.state != "verifying":
            return []  # not asked for, or said before
        if self._open[attempt.task].decided:
            self._drop(attempt)  # its rival was verified first
            return [Revoke(attempt, lease.worker), Note(AttemptRevoked(attempt))]
        lease.state = "verified"
        self._open[attempt.task].decided = True
        return [Journal(TaskCommitted(receipt))]

    def _refuse(self, attempt: Attempt) -> list[Command]:
        """Revoke an attempt that comes late; but one that won may say so as often as it likes."""
        winner = self.committed.get(attempt.task)
        return [] if winner is not None and winner.attempt == attempt else [Revoke(attempt)]

    def _commit(self, receipt: Receipt) -> list[Command]:
        winner = receipt.attempt
        assert 0 <= winner.task < self.tasks, f"no such task: {winner}"
        if winner.task in self.committed:
            return []  # the first decision in the journal counts
        self.committed[winner.task] = receipt
        commands: list[Command] = []
        task = self._open.pop(winner.task, _Task())
        self._spent[winner.task] = task.attempts
        for attempt in task.live:
            lease = self._leases.drop(attempt)
            if attempt == winner:
                assert lease.state == "verified", f"`{winner}` was committed but never verified"
                self._backups.learn(lease.finished - lease.started)
            else:
                commands += [Revoke(attempt, lease.worker), Note(AttemptRevoked(attempt))]
        return commands

    def _reopen(self, receipt: Receipt) -> list[Command]:
        """Open a committed task again, if it is this attempt that was committed."""
        index = receipt.attempt.task
        if self.committed.get(index) == receipt:
            del self.committed[index]
            self._open[index] = _Task(attempts=self._spent.pop(index))
            self._queue.reopen(index)
        return []

    # -- failing and losing ------------------------------------------------------------------

    def _fail(self, event: Failed) -> list[Command]:
        lease = self._leases.get(event.attempt)
        if lease is None or lease.state == "verified":
            return []  # late
        task = self._drop(event.attempt)
        hopeless = not event.retryable and self._is_hopeless(task, event)
        may_scan = self._limits.may_scan and event.attempt not in (task.scans or ())
        will_scan = may_scan and is_at_record(event.error)
        task.scans = task.scans or set() if will_scan else task.scans
        task.failures += (counts := event.counts and not will_scan)
        spent = hopeless or task.failures >= self._limits.attempts_max
        fatal = counts and spent and not task.decided
        will_retry = self._give_back(event.attempt, fatal=fatal)
        note = Note(AttemptFailed(event.attempt, event.error, will_retry, will_scan))
        return [note, *([_abort(event.attempt, event.error)] if fatal else [])]

    def _is_hopeless(self, task: _Task, event: Failed) -> bool:
        """Only user code may do better at a second try, and only if it fails differently."""
        seen = event.signature in task.signatures
        task.signatures.append(event.signature)
        return seen or event.error["type"] != UserCodeError.__name__

    def _exceed(self, event: MemoryExceeded) -> list[Command]:
        lease = self._leases.get(event.attempt)
        if lease is None or lease.state != "running":
            return []  # late; or its object is complete, whatever that took
        was_alone = event.attempt == self._alone
        task = self._drop(event.attempt)
        task.alone = True
        fatal = was_alone and not task.decided
        will_retry = self._give_back(event.attempt, fatal=fatal)
        note = Note(AttemptFailed(event.attempt, event.error, will_retry))
        commands: list[Command] = [Revoke(event.attempt, lease.worker), note]
        if fatal:
            commands.append(_abort(event.attempt, event.error, "more memory for this machine"))
        elif will_retry:
            text = f"{event.error['message']}: it is tried again alone;"
            commands.append(Note(Warned(f"{text} {event.error['hint']} lets it run beside others")))
        return commands

    def _lose_worker(self, event: WorkerLost) -> list[Command]:
        commands: list[Command] = []
        for attempt in self._leases.held_by(event.worker):
            if not self.failed:
                commands += self._lose(attempt, event.worker, event.error)
        return commands

    def _lose(self, attempt: Attempt, worker: str, error: dict[str, Any]) -> list[Command]:
        task = self._drop(attempt)
        task.losses += 1
        fatal = not task.decided and task.losses >= self._limits.losses_max
        will_retry = self._give_back(attempt, fatal=fatal)
        note = Note(AttemptLost(attempt, worker, error, will_retry))
        return [note, *([_abort(attempt, error)] if fatal else [])]

    def _tick(self, now: float) -> list[Command]:
        self._leases.listen(now)
        commands: list[Command] = []
        while not self.failed and (attempt := self._leases.pop_expired(now)) is not None:
            worker = self._leases[attempt].worker
            error = to_dict(self._leases.expiry(attempt))
            commands += [Revoke(attempt, worker), *self._lose(attempt, worker, error)]
        return commands

    # -- bookkeeping -------------------------------------------------------------------------

    def _drop(self, attempt: Attempt) -> _Task:
        """Take the lease of `attempt` away; what is left of its task may need a backup."""
        self._leases.drop(attempt)
        task = self._open[attempt.task]
        task.live.remove(attempt)
        for survivor in task.live:
            self._backups.watch(survivor, self._leases[survivor].started)
        return task

    def _give_back(self, attempt: Attempt, *, fatal: bool) -> bool:
        """Queue the task of a dropped attempt, unless it is decided; return if it goes on."""
        task = self._open[attempt.task]
        self.failed = fatal
        if not fatal and not task.live:
            self._queue.put_back(attempt.task, alone=task.alone)
        return not fatal and not task.decided

    def check(self) -> None:
        """Assert that every task is in exactly one place, and every lease can end. O(tasks)."""
        live = [attempt for task in self._open.values() for attempt in task.live]
        assert sorted(live) == sorted(self._leases), "leases and live attempts differ"
        waiting = self._queue.waiting(self.committed, self._open)
        places = [*waiting, *{a.task for a in live}, *self.committed]
        assert len(places) == len(set(places)), f"a task is in two places: {places}"
        assert self.failed or len(places) == self.tasks, f"a task is in no place: {places}"
        assert self.failed or self.pending == len(waiting), "pending is miscounted"
        running = [a for a in live if self._leases[a].state == "running"]
        assert not self.runs_alone or len(running) == 1, f"not alone: {running}"
        for task in self._open.values():
            self._check_task(task)
        self._leases.check()
        self._backups.check({a for a in self._leases if self._find_alone(a) is not None})

    def _check_task(self, task: _Task) -> None:
        assert len(task.live) <= LIVE_ATTEMPTS_MAX, f"too many live attempts: {task}"
        assert task.attempts >= task.failures + task.losses + len(task.live), f"{task}"
        states = [self._leases[attempt].state for attempt in task.live]
        assert states.count("verified") == task.decided, f"decided wrongly: {task}, {states}"
        if not self.failed:
            assert task.failures < self._limits.attempts_max or task.decided, f"{task}"
            assert task.losses < self._limits.losses_max or task.decided, f"{task}"


def _abort(attempt: Attempt, error: dict[str, Any], or_else: str = "") -> Abort:
    """Return the end of the run, with the task and attempt added to the error's fields."""
    fields = {**error.get("fields", {}), "task": str(attempt), "attempt": attempt.number}
    hint = f"{error['hint']}, or {or_else}" if or_else else error["hint"]
    return Abort({**error, "hint": hint, "fields": fields})
