"""The local runner: task processes on this machine, driven by the core's commands.

It performs commands and reports events, and holds no rule: who may run what, what is tried
again and what counts are decided by `core.job.Job`. Decisions are made durable together, each
after a second at the latest: any prefix of a journal is a state the run was in, so a power cut
costs the work of seconds. `Publish` writes the manifest, which is itself the durable record of
the last commits.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pymr import errors, failpoint, names
from pymr.config.machine import oom_kills
from pymr.core import events
from pymr.core.budget import READ_WRITE_BYTES, TaskMemory
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
from pymr.errors import CorruptDataError, PymrError, TaskMemoryError
from pymr.observe.feed import Feed
from pymr.runner import hang
from pymr.runner.hang import HangWatch
from pymr.runner.memory import too_much
from pymr.runner.plan import Plan
from pymr.runner.pool import TICK_S, Pool
from pymr.runner.process import TaskProcess
from pymr.store.base import ObjectStore
from pymr.store.place import Journal
from pymr.task import channel
from pymr.task.commit import verify_attempt, verify_kept
from pymr.text_form import show_path

CONNECT_S = 5.0  # wait for workers at the start; then go on with those that came
SPLITS_SHOWN = 3
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
        self._memory = memory
        self._oom_kills = oom_kills()  # that were none of this run, or are dealt with
        self._hangs = hangs
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
                for process, messages in self._pool.wait(TICK_S):
                    self._receive(process, messages)
                for process, attempt in self._pool.too_large:
                    self._exceed(process, attempt)
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
        while len(self._pool.processes) < self._plan.workers:
            self._pool.start()
        for process in self._pool.processes.values():
            if process.is_loaded:  # The others are told when they listen.
                self._begin(process)
        deadline = time.monotonic() + CONNECT_S
        while self._loaded() < self._plan.workers and time.monotonic() < deadline:
            for process, messages in self._pool.wait(TICK_S):
                self._receive(process, messages)
            self._renew_and_tick()
        connected = self._loaded()
        self._feed.append(events.WorkersConnected(connected, self._plan.workers))

    def _begin(self, process: TaskProcess) -> None:
        process.begin(self._plan.spec, self._plan.output, is_watched=self._hangs.is_on)

    def _loaded(self) -> int:
        return sum(process.is_loaded for process in self._pool.processes.values())

    def _ask_for_leases(self) -> None:
        for process in list(self._pool.processes.values()):
            if process.is_idle and not self._job.done:
                self._handle(events.LeaseAsked(process.name, time.monotonic()))

    def _renew_and_tick(self) -> None:
        now = time.monotonic()
        for process in self._pool.processes.values():
            if process.attempt is not None:  # Alive as a process is alive as a worker, here.
                self._handle(events.Renewed(process.attempt, now))
        self._hangs.look(now)
        self._pool.end_stuck(now)
        self._handle(events.Ticked(now))
        if self._ahead_since is not None and now - self._ahead_since >= JOURNAL_SYNC_S:
            self._journal.sync()
            self._ahead_since = None
        self._on_tick(now)

    # -- reports ------------------------------------------------------------------------------

    def _receive(self, process: TaskProcess, messages: list[channel.FromProcess] | None) -> None:
        if process.name not in self._pool.processes:
            return  # Removed while this batch was handled.
        if messages is None:
            self._lose(process)
            return
        for message in messages:
            self._report(process, message)

    def _exceed(
        self, process: TaskProcess, attempt: Attempt, how: str = "", **fields: object
    ) -> None:
        """Report that what a process runs takes too much memory; the core has it ended."""
        error = too_much(attempt, process.used_bytes, process.memory_bytes_max, how)
        told = errors.to_dict(error)
        told["fields"] |= fields
        self._handle(events.MemoryExceeded(attempt, told, time.monotonic()))

    def _lose(self, process: TaskProcess) -> None:
        attempt = process.attempt
        lost = self._pool.remove(process)
        error = errors.to_dict(lost)
        now = time.monotonic()
        if attempt is not None:
            error["fields"]["work"] = self._work_of(attempt)
            was_killed = lost.fields["returncode"] == -signal.SIGKILL
            if was_killed and oom_kills() > self._oom_kills:  # The kernel counts before it kills.
                self._oom_kills += 1
                how = " was ended by the system, which had no memory left; it"
                self._exceed(process, attempt, how)
            else:
                self._has_hung(process, attempt, error)
        self._handle(events.WorkerLost(process.name, error, now, was_ready=process.is_loaded))
        if not self._job.done:
            self._pool.start()

    def _work_of(self, attempt: Attempt) -> str:
        """Return what an attempt reads, for people: nobody knows how far it came."""
        if attempt.phase == "reduce":
            return f"partition {attempt.task} of all map outputs"
        splits = self._plan.tasks[attempt.task].splits
        paths = [show_path(self._plan.inputs[split.input].path) for split in splits]
        shown = [
            f"{path} [{split.start}:{split.end}]"
            for path, split in zip(paths[:SPLITS_SHOWN], splits, strict=False)
        ]
        more = len(splits) - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more else "")

    def _report(self, process: TaskProcess, message: channel.FromProcess) -> None:
        now = time.monotonic()
        match message:
            case channel.Loaded():
                process.is_loaded = True
                self._begin(process)
            case channel.LoadFailed(error):
                raise errors.from_dict(error)
            case channel.Progressed(attempt, bytes_in, records_in):
                self._hangs.progressed(process, now)
                self._feed.append(events.AttemptProgressed(attempt, bytes_in, records_in))
            case channel.Finished(receipt, left):
                self._end_attempt(process, receipt.attempt, left)
                if not self._has_hung(process, receipt.attempt, None):
                    self._handle(events.Finished(receipt.attempt, receipt, now))
            case channel.Failed(attempt, error) if error["type"] == TaskMemoryError.__name__:
                self._exceed(process, attempt, f": {error['message']}; it", **error["fields"])
            case channel.Failed(attempt, error, retryable, signature, left):
                self._end_attempt(process, attempt, left)
                if not self._has_hung(process, attempt, error):
                    self._handle(events.Failed(attempt, error, retryable, signature, now))

    def _end_attempt(self, process: TaskProcess, attempt: Attempt, left: channel.Left) -> None:
        """Take note of what an attempt has left; a process that leaks is not used again."""
        process.end_attempt()
        if left.strays:
            self._feed.append(events.StraysEnded(attempt, left.strays))
        grown_bytes = process.grown_bytes(left.private_bytes)
        if grown_bytes > READ_WRITE_BYTES + self._plan.spec.limits.spill_bytes_max:
            self._feed.append(events.ProcessReplaced(process.name, grown_bytes))
            process.kill()

    def _has_hung(
        self, process: TaskProcess, attempt: Attempt, reported: dict[str, Any] | None
    ) -> bool:
        """Report an attempt that was interrupted as hung, and end its process."""
        if not self._hangs.ended(process):
            return False
        debug = f"pymr debug {self._plan.spec.name} {attempt} --trace"
        error = self._hangs.error(str(attempt), reported, debug)
        now = time.monotonic()
        self._handle(events.Failed(attempt, error, False, hang.SIGNATURE, now))
        return True

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
                self._revoke(attempt)
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
        memory = self._memory
        memory_bytes_max = memory.alone_bytes if grant.alone else memory.beside_bytes
        process = self._pool.processes[grant.worker]
        self._hangs.progressed(process, time.monotonic())
        process.run(AttemptSpec(attempt, key, tmp, work), memory_bytes_max)

    def _revoke(self, attempt: Attempt) -> None:
        """End the process that runs `attempt`, if one still does; another takes its place."""
        for process in list(self._pool.processes.values()):
            if process.attempt == attempt:
                process.kill()

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
