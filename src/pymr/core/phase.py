"""Lease and retry rules for one phase: all map tasks, or all reduce tasks.

No I/O, no clock, no threads: time arrives inside events, effects leave as commands. Every
rule about who may run or win a task lives in this file, and what ends an attempt in `failing`.

    pending ──LeaseAsked──► running ──Finished──► verifying ──Verified──► verified
       ▲                       │                      │                      │
       ├─ WorkerLost, expired ─┤                      │                TaskCommitted
       ├─ Crashed, Returned ───┤                      │                      │
       ├─ MemoryExceeded ──────┘                      │                      ▼
       ├──────────────────── Failed ──────────────────┘                  committed
       └──────────────────────────── TaskInvalidated ────────────────────────┘

    attempts_max failures, crashes_max crashes, losses_max losses, or an error that no retry can
    cure: Abort.
    What took too much memory is tried once more, last and alone; over it again: Abort.
    A failure at a record that a scan may leave out does not count, nor one of a bad map output.

A worker may hold many attempts, one for each of its slots. `Held` gives it back one that it still
runs, though the master is another one, or the connection.

The edge must tick at least every half lease, must answer each Verify with Verified or Failed,
and must hand each journalled decision back. An ask that gets no Grant is forgotten: ask again
after the next event, and after ticks (a backup attempt comes with time). A Revoke may come
twice for the same attempt.

The full table of states and events is in docs/design/states.md.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from pymr.core import failing
from pymr.core.events import (
    AttemptRevoked,
    AttemptStarted,
    Command,
    Crashed,
    Failed,
    Finished,
    Grant,
    Held,
    Journal,
    Keep,
    LeaseAsked,
    MemoryExceeded,
    Note,
    Renewed,
    Returned,
    Revoke,
    TaskCommitted,
    TaskInvalidated,
    Ticked,
    Verified,
    Verify,
    WorkerLost,
)
from pymr.core.lease import Lease
from pymr.core.phase_state import OpenTask, PhaseState
from pymr.core.spec import Attempt, Receipt

PhaseEvent: TypeAlias = (
    LeaseAsked
    | Renewed
    | Held
    | Finished
    | Verified
    | Failed
    | MemoryExceeded
    | Crashed
    | Returned
    | WorkerLost
    | Ticked
    | TaskCommitted
    | TaskInvalidated
)


class Phase(PhaseState):
    """The tasks of one phase, from pending to committed. After an Abort it does nothing."""

    def handle(self, event: PhaseEvent) -> list[Command]:  # noqa: C901, PLR0911, PLR0912 - one flat match
        """Apply one event and return what the caller must now do, in order."""
        if self.failed:
            return []
        match event:
            case LeaseAsked():
                return self._grant(event.worker, event.now)
            case Renewed():
                return self._renew(event)
            case Held():
                return self._adopt(event)
            case Finished():
                return self._finish(event)
            case Verified():
                return self._decide(event.receipt)
            case TaskCommitted():
                return self._commit(event.receipt)
            case TaskInvalidated():
                return self._reopen(event.receipt)
            case Failed():
                return failing.fail(self, event)
            case MemoryExceeded():
                return failing.exceed(self, event)
            case Crashed():
                return failing.crash(self, event)
            case Returned():
                return failing.take_back(self, event)
            case WorkerLost():
                return failing.lose_worker(self, event)
            case Ticked():
                return failing.expire(self, event.now)
            case _:
                assert_never(event)

    # -- granting ----------------------------------------------------------------------------

    def _grant(self, worker: str, now: float) -> list[Command]:
        if self.runs_alone:
            return []
        index = self._next_pending(worker, now)
        if index is None:
            index = self._next_backup(worker, now)
        if index is None:
            return []
        task = self.open.setdefault(index, OpenTask())
        attempt = Attempt(self.name, index, self.limits.attempt_first + task.attempts)
        backup, alone = bool(task.live), task.alone and not task.live
        if task.scans is not None:
            task.scans.add(attempt)
        if alone:
            self.alone = attempt
        lease = self._lease(attempt, task, worker, now)
        return [
            Grant(worker, attempt, lease.expires, alone, task.scans is not None),
            Note(AttemptStarted(attempt, worker, backup, alone)),
        ]

    def _lease(self, attempt: Attempt, task: OpenTask, worker: str, now: float) -> Lease:
        if not task.live:
            self.backups.watch(attempt, now)
        task.attempts += 1
        task.live.append(attempt)
        return self.leases.grant(attempt, worker, now)

    def _next_pending(self, worker: str, now: float) -> int | None:
        def may(task: int) -> bool:
            is_shunned = self.open[task].shuns == worker and now < self.open[task].shuns_until
            return not is_shunned or self.quarantine.is_only(worker)

        task = self.queue.take(self.committed, self.open, may)
        if task is None and not self.leases.is_busy:
            task = self.queue.take_alone(self.committed)
        return task

    def _next_backup(self, worker: str, now: float) -> int | None:
        # Of two or three tasks the last one is slow, if any.
        if len(self.committed) < min(self.limits.backup_ready * self.tasks, self.tasks - 1):
            return None
        but = None if self.quarantine.is_only(worker) else worker
        slow = self.backups.pick(but, now, self._find_alone)
        return None if slow is None else slow.task

    def _find_alone(self, attempt: Attempt) -> Lease | None:
        lease = self.leases.get(attempt)
        if lease is None or lease.state != "running" or len(self.open[attempt.task].live) > 1:
            return None
        return lease

    # -- winning -----------------------------------------------------------------------------

    def _renew(self, event: Renewed) -> list[Command]:
        lease = self.leases.get(event.attempt)
        if lease is None:
            return self._refuse(event.attempt)
        self.leases.renew(lease, event.now)
        return []

    def _adopt(self, event: Held) -> list[Command]:
        """Let a worker go on with what it holds: a lease, or an attempt of an earlier epoch.

        An attempt of this epoch without a lease has lost it, for good.
        """
        attempt, worker = event.attempt, event.worker
        lease = self.leases.get(attempt)
        if lease is not None:
            self.leases.move(attempt, worker)
            self.leases.renew(lease, event.now)
            return [Keep(worker, attempt, lease.expires)]
        if not self._may_adopt(attempt):
            return self._refuse(attempt)
        self.queue.remove(attempt.task)
        task = self.open.setdefault(attempt.task, OpenTask())
        lease = self._lease(attempt, task, worker, event.now)
        return [Keep(worker, attempt, lease.expires), Note(AttemptStarted(attempt, worker))]

    def _may_adopt(self, attempt: Attempt) -> bool:
        is_earlier = attempt.number < self.limits.attempt_first
        if not is_earlier or self.runs_alone or attempt.task in self.committed:
            return False
        task = self.open.get(attempt.task, OpenTask())
        return 0 <= attempt.task < self.tasks and not task.live and not task.alone

    def _finish(self, event: Finished) -> list[Command]:
        assert event.receipt.attempt == event.attempt, f"receipt of another attempt: {event}"
        lease = self.leases.get(event.attempt)
        if lease is None:
            return self._refuse(event.attempt)
        if lease.state != "running":
            return []  # said before
        self.leases.settle(event.attempt, event.now)
        return [Verify(event.receipt)]

    def _decide(self, receipt: Receipt) -> list[Command]:
        attempt = receipt.attempt
        lease = self.leases.get(attempt)
        if lease is None:
            return self._refuse(attempt)
        if lease.state != "verifying":
            return []  # not asked for, or said before
        if self.open[attempt.task].decided:
            self.drop(attempt)  # its rival was verified first
            return [Revoke(attempt, lease.worker), Note(AttemptRevoked(attempt))]
        lease.state = "verified"
        self.open[attempt.task].decided = True
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
        task = self.open.pop(winner.task, OpenTask())
        self.spent[winner.task] = task.attempts
        for attempt in task.live:
            lease = self.leases.drop(attempt)
            if attempt == winner:
                assert lease.state == "verified", f"`{winner}` was committed but never verified"
                self.backups.learn(lease.finished - lease.started)
            else:
                commands += [Revoke(attempt, lease.worker), Note(AttemptRevoked(attempt))]
        return commands

    def _reopen(self, receipt: Receipt) -> list[Command]:
        """Open a committed task again, if it is this attempt that was committed."""
        index = receipt.attempt.task
        if self.committed.get(index) == receipt:
            del self.committed[index]
            self.open[index] = OpenTask(attempts=self.spent.pop(index))
            self.queue.reopen(index)
        return []
