"""The local runner: task processes on this machine, driven by the core's commands.

It performs commands and reports events, and holds no rule: who may run what, what is tried
again and what counts are decided by `core.job.Job`. Decisions are made durable together, each
after a second at the latest: any prefix of a journal is a state the run was in, so a power cut
costs the work of seconds. `Publish` writes the manifest, which is itself the durable record of
the last commits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pymr import errors, failpoint, names
from pymr.core import events
from pymr.core.budget import TaskMemory
from pymr.core.events import Command
from pymr.core.job import Job, JobEvent
from pymr.core.replay import Replay
from pymr.core.spec import (
    Attempt,
    AttemptSpec,
    MapWork,
    Receipt,
    ReduceWork,
)
from pymr.errors import CorruptDataError, PymrError
from pymr.observe.feed import Feed
from pymr.runner.hang import HangWatch
from pymr.runner.plan import Plan
from pymr.runner.pool import TICK_S, Pool
from pymr.runner.slots import SlotReport, Slots
from pymr.store.base import ObjectStore
from pymr.store.place import Journal
from pymr.task.commit import verify_attempt, verify_kept

CONNECT_S = 5.0  # wait for workers at the start; then go on with those that came
JOURNAL_SYNC_S = 1.0  # a decision is durable by then: one fsync for all that came meanwhile


class LocalRunner:
    """Runs one job to its end with a pool of task processes."""

    def __init__(  # noqa: PLR0913 - keyword-only: the parts that a run is made of
        self,
        job: Job,
        *,
        plan: Plan,
        pool: Pool,
        store: ObjectStore,
        journal: Journal,
        feed: Feed,
        publish: Callable[[], None],
        tmp: str,
        memory: TaskMemory,
        hangs: HangWatch,
        on_tick: Callable[[float], None],
    ) -> None:
        self._job = job
        self._plan = plan
        self._pool = pool
        self._store = store
        self._journal = journal
        self._feed = feed
        self._publish = publish
        self._tmp = tmp
        self._slots = Slots(
            self,
            pool,
            wanted=plan.workers,
            spec=plan.spec,
            root=plan.output,
            access=plan.access,
            memory=memory,
            hangs=hangs,
        )
        self._on_tick = on_tick
        self._ahead_since: float | None = None  # of the first decision that is not durable yet

    def take_on(self, earlier: Replay, again: Collection[Receipt] = ()) -> None:
        """Hand the core what earlier processes have committed, as far as it is still there.

        `again` is what a replay does once more.

        Raises:
            PymrError: what the core aborted with.
        """
        for decision in earlier.invalidated.values():
            self._handle(decision)
        for receipt in again:
            reason = "its bad records are tried again"
            decision = events.TaskInvalidated(receipt, reason, is_replay=True)
            self._perform_all([events.Journal(decision)])
        done_again = {receipt.attempt for receipt in again}
        for receipt in earlier.committed.values():
            if receipt.attempt not in done_again:
                self._take(receipt)

    def _take(self, receipt: Receipt) -> None:
        failpoint.hit("resume.keep")
        try:
            footer = verify_kept(self._store, receipt)
        except CorruptDataError as error:
            lost = events.TaskInvalidated(receipt, error.message)
            self._perform_all([events.Journal(lost)])
        else:
            self._handle(events.Recovered(receipt, footer.partitions, footer.splits))

    def run(self) -> None:
        """Return when the job is published.

        Raises:
            PymrError: what the core aborted with.
        """
        if self._job.done:
            return
        try:
            self._connect()
            while not self._job.done:
                self._ask_for_leases()
                self._slots.wait(TICK_S)
                self._renew_and_tick()
        finally:
            logs = self._pool.logs
            if logs is not None and logs.printed_bytes:
                self._feed.append(events.PrintsKept(logs.printed_bytes, logs.left_out_bytes))
            peak_bytes = self._pool.memory_peak_bytes
            if peak_bytes is not None:
                limit_bytes = self._plan.memory_bytes
                self._feed.append(events.MemoryMeasured(peak_bytes, limit_bytes))

    def _connect(self) -> None:
        """Start the workers and wait until they have loaded the code."""
        wanted = self._slots.wanted
        self._slots.open()
        deadline = time.monotonic() + CONNECT_S
        while self._slots.loaded < wanted and time.monotonic() < deadline:
            self._slots.wait(TICK_S)
            self._renew_and_tick()
        self._feed.append(events.WorkersConnected(self._slots.loaded, wanted))

    def _ask_for_leases(self) -> None:
        for slot in self._slots.idle:
            if not self._job.done:
                self._handle(events.LeaseAsked(slot, time.monotonic()))

    def _renew_and_tick(self) -> None:
        now = time.monotonic()
        for attempt in self._slots.running:  # Alive as a process is alive as a worker, here.
            self._handle(events.Renewed(attempt, now))
        self._slots.look(now)
        self._handle(events.Ticked(now))
        if self._ahead_since is not None and now - self._ahead_since >= JOURNAL_SYNC_S:
            self._journal.sync()
            self._ahead_since = None
        self._on_tick(now)

    # -- what the slots report ----------------------------------------------------------------

    def report(self, event: SlotReport) -> None:
        """Hand what an attempt has come to to the core."""
        self._handle(event)

    def lose(
        self, slot: str, attempt: Attempt | None, error: dict[str, Any], *, was_ready: bool
    ) -> None:
        """Tell the core that a task process is gone."""
        self._handle(events.WorkerLost(slot, error, time.monotonic(), was_ready=was_ready))
        if self._job.done:
            self._slots.wanted = 0

    def note(self, event: events.Event) -> None:
        """Put an event into the feed."""
        self._feed.append(event)

    # -- commands -----------------------------------------------------------------------------

    def _handle(self, event: JobEvent) -> None:
        """Hand `event` to the core and perform what it commands."""
        self._perform_all(self._job.handle(event))

    def _perform_all(self, commands: Sequence[Command]) -> None:
        """Perform commands, and those that follow from them, to the last."""
        queue = deque(commands)
        while queue:
            queue.extend(self._perform(queue.popleft()))

    def _perform(self, command: Command) -> list[Command]:
        """Perform one command and return the commands that follow from it."""
        match command:
            case events.Note(event):
                self._feed.append(event)
            case events.Grant():
                self._grant(command)
            case events.Revoke(attempt):
                self._slots.revoke(attempt)
            case events.Verify(receipt):
                return self._job.handle(self._verify(receipt))
            case events.Journal(decision):
                self._journal.append(events.encode(decision))
                failpoint.hit("commit.decide")
                if self._ahead_since is None:
                    self._ahead_since = time.monotonic()
                self._feed.append(decision)
                return self._job.handle(decision)
            case events.Publish():
                self._publish()
                return self._job.handle(events.Published())
            case events.Abort(error):
                raise errors.from_dict(error)
        return []

    def _grant(self, grant: events.Grant) -> None:
        attempt = grant.attempt
        nonce, run = names.new_nonce(), self._plan.spec.run
        work: MapWork | ReduceWork
        if attempt.phase == "map":
            splits = self._plan.tasks[attempt.task].splits
            inputs = {s.input: self._plan.inputs[s.input] for s in splits}
            bad_key = names.bad_key(run, attempt.task, attempt.number, nonce)
            work = MapWork(splits, inputs, bad_key if grant.is_scan else None)
        else:
            work = ReduceWork(attempt.task, self._job.map_sources())
        key = names.attempt_key(run, attempt.phase, attempt.task, attempt.number, nonce)
        tmp = f"{self._tmp}/{attempt}-{attempt.number}-{nonce}"
        failpoint.hit("lease.grant")
        self._slots.run(grant.worker, AttemptSpec(attempt, key, tmp, work), alone=grant.alone)

    def _verify(self, receipt: Receipt) -> JobEvent:
        failpoint.hit("commit.verify")
        now = time.monotonic()
        try:
            footer = verify_attempt(self._store, receipt)
        except PymrError as error:
            signature = f"verify {type(error).__name__}"
            return events.Failed(
                receipt.attempt, errors.to_dict(error), error.retryable, signature, now
            )
        return events.Verified(receipt, footer.partitions, footer.splits, now)
