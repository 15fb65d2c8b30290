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
from pymr.config import Settings
from pymr.core import events
from pymr.core.events import Command
from pymr.core.job import JobEvent
from pymr.core.limit import PhaseLimits
from pymr.core.replay import Replay
from pymr.core.spec import (
    Attempt,
    AttemptSpec,
    MapWork,
    Receipt,
    ReduceWork,
)
from pymr.errors import PymrError
from pymr.observe.feed import Feed
from pymr.runner.hang import HangWatch
from pymr.runner.kept import kept
from pymr.runner.life import Duty
from pymr.runner.memory import task_memory_of
from pymr.runner.plan import Plan, temporary_folder
from pymr.runner.pool import TICK_S, Pool
from pymr.runner.prints import Logs
from pymr.runner.sample import Sampler
from pymr.runner.slots import SlotReport, Slots
from pymr.runner.stored import spill_folder
from pymr.store.place import Place
from pymr.task.commit import verify_attempt, verify_kept

CONNECT_S = 5.0  # wait for workers at the start; then go on with those that came
JOURNAL_SYNC_S = 1.0  # a decision is durable by then: one fsync for all that came meanwhile


class LocalCrew:
    """The task processes of this machine."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self.limits = PhaseLimits()

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most memory that all processes and this one used at once."""
        return self._pool.memory_peak_bytes

    def begin(self, plan: Plan, place: Place, epoch: int) -> None:
        """Keep what is printed from now on."""
        folder = temporary_folder(self._settings)
        self._pool.keep_prints(Logs(place, plan.spec.run, epoch, folder))

    def settle(
        self, plan: Plan, feed: Feed, tick: Callable[[float], None], deadline: float | None
    ) -> Plan:
        """Return the plan with the boundaries of its parts: task processes map a sample."""

        def warn(message: str) -> None:
            feed.append(events.Warned(message))

        hangs = HangWatch(self._settings.task_timeout_s)
        sampler = Sampler(plan, self._pool, deadline=deadline, hangs=hangs, on_tick=tick, warn=warn)
        return sampler.settle()

    def work(self, duty: Duty) -> None:
        """Do what is left of a run."""
        runner = LocalRunner(duty, self._pool)
        if duty.earlier is not None:
            runner.take_on(duty.earlier, duty.again)
        runner.run()

    def close(self) -> None:
        """End all processes."""
        self._pool.close()


class LocalRunner:
    """Runs one job to its end with a pool of task processes."""

    def __init__(self, duty: Duty, pool: Pool) -> None:
        plan, settings = duty.plan, duty.settings
        self._job = duty.job
        self._plan = plan
        self._pool = pool
        self._store = duty.place.objects
        self._journal = duty.journal
        self._feed = duty.feed
        self._publish = duty.publish
        self._tmp = spill_folder(duty.place, plan.spec.run, settings)
        self._slots = Slots(
            self,
            pool,
            wanted=plan.workers,
            spec=plan.spec,
            root=plan.output,
            access=plan.access,
            memory=task_memory_of(settings, plan.workers),
            hangs=HangWatch(settings.task_timeout_s),
        )
        self._on_tick = duty.tick
        self._look = duty.look
        self._ahead_since: float | None = None  # of the first decision that is not durable yet

    def take_on(self, earlier: Replay, again: Collection[Receipt] = ()) -> None:
        """Hand the core what earlier processes have committed, as far as it is still there.

        Raises:
            PymrError: what the core aborted with.
        """
        for told in kept(self._store, earlier, again, verify_kept):
            if isinstance(told, events.Journal):
                self._perform_all([told])
            else:
                self._handle(told)

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
        self._look()

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
