"""The master: the edge of the core for workers of other machines, in one event loop.

    a worker's stream ──Event──► core.Job.handle ──[Command]──► streams, threads
                                       ▲                              │
                                       └── verified, durable ◄────────┘

It performs commands and reports events, as the local runner does, and holds no rule. All of its
methods run in one event loop; what blocks (the store) runs in threads and comes back as an event.
It never runs code of the user. Time is its own monotonic clock; no clock of a worker counts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeVar

from pymr import errors, failpoint, names
from pymr.cluster.decisions import Decisions
from pymr.cluster.fate import Fates
from pymr.cluster.message import (
    Ask,
    CompletionReply,
    Failure,
    FailureKind,
    FromWorker,
    Grant,
    Held,
    Leaving,
    Noted,
    Renew,
    Revoke,
    Verdict,
    Work,
)
from pymr.cluster.roster import Member, Roster
from pymr.cluster.stream import Outbox
from pymr.core import events
from pymr.core.job import Job, JobEvent
from pymr.core.spec import (
    Attempt,
    InputFile,
    MapTask,
    MapWork,
    Receipt,
    ReduceWork,
    Stored,
)
from pymr.errors import PymrError
from pymr.observe.feed import Feed
from pymr.store.base import ObjectStore
from pymr.task.commit import verify_attempt

Done = TypeVar("Done")

LEFT_TEXT: Final = "it was granted, and the worker does not know of it"


class Master:
    """Hands attempts out and commits what comes of them."""

    def __init__(  # noqa: PLR0913 - keyword-only: the parts that a run is made of
        self,
        job: Job,
        *,
        inputs: Sequence[InputFile],
        tasks: Sequence[MapTask],
        epoch: int,
        lease_s: float,
        store: ObjectStore,
        decisions: Decisions,
        feed: Feed,
        threads: Executor,
        put_sources: Callable[[], Stored],
        publish: Callable[[], None],
    ) -> None:
        """`put_sources` stores what `job.map_sources()` says; it and `publish` block."""
        self.job = job
        self.roster = Roster()
        self.refusals: list[str] = []  # why workers that came have left before any work
        self._is_open = False  # nothing is granted before
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inputs = inputs
        self._tasks = tasks
        self._epoch = epoch
        self._lease_s = lease_s
        self._store = store
        self._decisions = decisions
        self._feed = feed
        self._threads = threads
        self._put_sources = put_sources
        self._publish = publish
        self._fates = Fates(job)
        self._sources: Stored | None = None  # of the map outputs as they are now
        self._waiting: list[tuple[Member, events.Grant, str]] = []  # for the sources
        self._background: set[asyncio.Task[None]] = set()

    # -- workers come, speak and go ------------------------------------------------------------

    def register(self, host: str, slots: int) -> Member:
        """Take a worker in."""
        member = self.roster.add(host, slots)
        member.heard = time.monotonic()
        self._handle(events.WorkerJoined(member.name, host, time.monotonic()))
        return member

    def hello(self, member: Member, held: Sequence[Held], outbox: Outbox) -> None:
        """Begin a stream of a worker, which still works on what it names, and on nothing else."""
        member.open(outbox)
        member.heard = now = time.monotonic()
        known = {each.attempt for each in held}
        for attempt in self._held_by(member):
            if attempt not in known:
                lost = errors.TaskLostError(f"`{attempt}`: {LEFT_TEXT}", reason="grant lost")
                self._handle(events.Returned(attempt, errors.to_dict(lost), now))
        for each in held:
            self._handle(events.Held(each.attempt, member.name, now, each.sources))

    def take(self, member: Member, message: FromWorker) -> None:
        """Take what a worker says over its stream, after its hello."""
        member.heard = now = time.monotonic()
        match message:
            case Ask():
                member.ask(message)
                member.has_asked = True
                self.roster.feed(member)
                self._offer()
            case Renew(attempts, error):
                for progress in attempts:
                    self._handle(events.Renewed(progress.attempt, now))
                    self.note(
                        events.AttemptProgressed(
                            progress.attempt, progress.bytes_in, progress.records_in
                        )
                    )
                if error is not None:
                    self.note(events.Warned(f"worker `{member.name}`: {error['message']}"))
            case Noted(event):
                self.note(event)
            case Leaving(reason):
                member.is_leaving = True
                if not member.has_asked:
                    self.refusals.append(f"`{member.host}`: {reason}")
                self.note(events.Warned(f"worker `{member.name}` leaves: {reason}"))

    def part(self, member: Member, outbox: Outbox) -> None:
        """End a worker's stream. What it holds is for its leases to say, unless it has left."""
        if member.outbox is not outbox:
            return  # It has come back by another one.
        member.close()
        if member.is_leaving and not self._held_by(member):
            self._lose_sight(member)

    def _lose_sight(self, member: Member) -> None:
        """Forget a worker that is gone: who counts the hosts that are there counts on it."""
        self.roster.remove(member)
        self._handle(events.WorkerLeft(member.name, time.monotonic()))

    async def complete(self, attempt: Attempt, outcome: Receipt | Failure) -> CompletionReply:
        """Take what an attempt has come to, and return what becomes of it."""
        failpoint.hit("completion.received")
        now = time.monotonic()
        if isinstance(outcome, Failure):
            self._handle(_failed(attempt, outcome, now))
            return CompletionReply(Verdict.NOTED)
        known = self.job.verdict(attempt)
        if known != "open":
            return CompletionReply(Verdict.ALREADY if known == "committed" else Verdict.STALE)
        fate = self._fates.of(attempt)
        self._handle(events.Finished(attempt, outcome, now))
        return await asyncio.shield(fate)

    # -- the loop ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let the core know the time, and ask once more for all that wait; twice a second."""
        now = time.monotonic()
        self._handle(events.Ticked(now))
        for member in list(self.roster):
            is_gone = member.outbox is None and now - member.heard > self._lease_s
            if is_gone and not self._held_by(member):
                self._lose_sight(member)
        self._offer(to_all=True)

    def open(self) -> None:
        """Let the work begin."""
        self._is_open = True
        self._offer(to_all=True)

    def note(self, event: events.Event) -> None:
        """Put an event into the feed."""
        self._feed.append(event)

    def take_in(self, event: JobEvent | events.Journal) -> None:
        """Hand the core what is known before the first worker comes."""
        if isinstance(event, events.Journal):
            self._perform_all([event])
        else:
            self._handle(event)

    def durable(self, decision: events.Decision) -> None:
        """Hand a decision back to the core: it stands in the journal."""
        assert isinstance(decision, events.TaskCommitted | events.TaskInvalidated), decision
        self._feed.append(decision)
        if isinstance(decision, events.TaskInvalidated):
            self._sources = None
        self._handle(decision)
        self._fates.settle(decision.receipt.attempt)

    def fail(self, error: BaseException) -> None:
        """End the run with an error."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def _held_by(self, member: Member) -> list[Attempt]:
        phases = self.job.map, self.job.reduce
        return [each for phase in phases for each in phase.leases.held_by(member.name)]

    def _handle(self, event: JobEvent) -> None:
        if self.ended.done():
            return
        self._perform_all(self.job.handle(event))
        if not isinstance(event, events.LeaseAsked | events.Renewed):
            self._offer()

    def _offer(self, *, to_all: bool = False) -> None:
        """Ask for leases for workers with free slots, until the core has none to give.

        `to_all`: it may have one for another than the first of the line.
        """
        turned_away: list[Member] = []
        while self._is_open and (member := self.roster.next()) is not None:
            free = member.free
            self._perform_all(self.job.handle(events.LeaseAsked(member.name, time.monotonic())))
            if member.free == free:
                turned_away.append(member)
                if not to_all:
                    break
            else:
                self.roster.feed(member)
        for member in turned_away:
            self.roster.feed(member)

    def _perform_all(self, commands: Sequence[events.Command]) -> None:
        queue = deque(commands)
        while queue:
            self._perform(queue.popleft())

    def _perform(self, command: events.Command) -> None:
        match command:
            case events.Note(event):
                self._feed.append(event)
            case events.Grant():
                self._grant(command)
            case events.Revoke(attempt, worker):
                member = self.roster.get(worker) if worker is not None else None
                for each in [member] if member is not None else self.roster:
                    each.tell(Revoke(attempt))
                self._fates.settle(attempt)
            case events.Verify(receipt):
                self._spawn(self._verify(receipt))
            case events.Journal(decision):
                self._decisions.add(decision)
            case events.Publish():
                self._spawn(self._commit())
            case events.Abort(error):
                self.fail(errors.from_dict(error))

    # -- grants --------------------------------------------------------------------------------

    def _grant(self, grant: events.Grant) -> None:
        member = self.roster.get(grant.worker)
        assert member is not None, f"granted to a stranger: {grant}"
        failpoint.hit("lease.grant")
        attempt, run, nonce = grant.attempt, self.job.spec.run, names.new_nonce()
        key = names.attempt_key(run, attempt.phase, attempt.task, attempt.number, nonce)
        if attempt.phase == "map":
            self._send(member, grant, key, self._map_work(grant, nonce))
        elif self._sources is not None:
            self._send(member, grant, key, ReduceWork(attempt.task, self._sources))
        else:
            member.reserve()
            self._waiting.append((member, grant, key))
            if len(self._waiting) == 1:
                self._spawn(self._store_sources())

    def _send(self, member: Member, grant: events.Grant, key: str, work: Work) -> None:
        member.tell(
            Grant(epoch=self._epoch, attempt=grant.attempt, key=key, work=work, alone=grant.alone)
        )
        failpoint.hit("grant.sent")

    def _map_work(self, grant: events.Grant, nonce: str) -> MapWork:
        attempt = grant.attempt
        splits = self._tasks[attempt.task].splits
        inputs = {split.input: self._inputs[split.input] for split in splits}
        bad_key = names.bad_key(self.job.spec.run, attempt.task, attempt.number, nonce)
        return MapWork(splits, inputs, bad_key if grant.is_scan else None)

    async def _store_sources(self) -> None:
        """Store the list of map outputs, once, and send the grants that wait for it."""
        while self._waiting and self._sources is None:
            before = self.job.map_sources()
            stored = await self._in_thread(self._put_sources)
            if self.job.map.done and self.job.map_sources() is before:
                self._sources = stored
            elif not self.job.map.done:
                break  # A map output was lost; what waited is told below.
        waiting, self._waiting = self._waiting, []
        for member, grant, key in waiting:
            member.unreserve()
            if self._sources is None:
                error = errors.to_dict(errors.TaskLostError("its sources have changed"))
                self._handle(events.Returned(grant.attempt, error, time.monotonic()))
            else:
                work = ReduceWork(grant.attempt.task, self._sources)
                self._send(member, grant, key, work)

    # -- what blocks ---------------------------------------------------------------------------

    async def _verify(self, receipt: Receipt) -> None:
        failpoint.hit("commit.verify")
        attempt = receipt.attempt
        try:
            footer = await self._in_thread(partial(verify_attempt, self._store, receipt))
        except PymrError as error:
            told = errors.to_dict(error)
            signature = f"verify {type(error).__name__}"
            now = time.monotonic()
            self._handle(events.Failed(attempt, told, error.retryable, signature, now))
            self._fates.refuse(attempt, told)
        else:
            now = time.monotonic()
            self._handle(events.Verified(receipt, footer.partitions, footer.splits, now))

    async def _commit(self) -> None:
        await self._decisions.flush()
        await self._in_thread(self._publish)
        self._handle(events.Published())
        self.ended.set_result(None)

    async def _in_thread(self, work: Callable[[], Done]) -> Done:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin work whose failure is the run's."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside, such as the journal's writer, until the run ends."""
        self._spawn(work)

    async def stop(self) -> None:
        """Cancel what runs beside."""
        for task in list(self._background):
            task.cancel()
        waiting: list[Awaitable[Any]] = list(self._background)
        await asyncio.gather(*waiting, return_exceptions=True)


def _failed(attempt: Attempt, failure: Failure, now: float) -> JobEvent:
    """Return the event of the core that a failure is."""
    match failure.kind:
        case FailureKind.CRASHED:
            return events.Crashed(attempt, failure.error, now)
        case FailureKind.MEMORY:
            return events.MemoryExceeded(attempt, failure.error, now)
        case FailureKind.RETURNED:
            return events.Returned(attempt, failure.error, now)
        case FailureKind.FAILED:
            return events.Failed(
                attempt,
                failure.error,
                failure.retryable,
                failure.signature,
                now,
            )
