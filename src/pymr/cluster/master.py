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

from pymr import errors, failpoint
from pymr.cluster.decisions import Decisions
from pymr.cluster.failure import failure_event
from pymr.cluster.fate import Fates
from pymr.cluster.grants import Grants
from pymr.cluster.message import (
    Ask,
    CompletionReply,
    Failure,
    FromWorker,
    Held,
    Leaving,
    Noted,
    Renew,
    Revoke,
    Verdict,
)
from pymr.cluster.roster import Member, Roster
from pymr.cluster.stream import Outbox
from pymr.cluster.verification import Found, Verifications
from pymr.core import events
from pymr.core.job import Job, JobEvent
from pymr.core.lease import is_deaf
from pymr.core.spec import (
    Attempt,
    InputFile,
    MapTask,
    Receipt,
)
from pymr.errors import (
    ClusterError,
    CorruptDataError,
    LostPartError,
    ObjectMissingError,
    ProtocolError,
    PymrError,
)
from pymr.observe.feed import Feed
from pymr.store.base import ObjectStore
from pymr.task.commit import verify_attempt

Done = TypeVar("Done")

FORGET_S: Final = 30.0  # of silence without a stream: two leases
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
        store: ObjectStore,
        decisions: Decisions,
        feed: Feed,
        threads: Executor,
        publish: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`publish` blocks; `clock` gives monotonic seconds."""
        self.job = job
        self.roster = Roster()
        self.refusals: list[ClusterError] = []  # why workers that came have left before any work
        self._is_open = False  # nothing is granted before
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._decisions = decisions
        self._feed = feed
        self._threads = threads
        self._publish = publish
        self._publication: asyncio.Future[None] | None = None  # under way
        self._clock = clock
        self._ticked: float | None = None
        self._fates = Fates(job)
        self._verifications = Verifications(
            partial(verify_attempt, store), self._verified, threads, self._spawn
        )
        self._grants = Grants(
            job,
            self.roster,
            inputs=inputs,
            tasks=tasks,
            epoch=epoch,
            store=store,
            in_thread=self._in_thread,
            spawn=self._spawn,
            give_back=self._give_back,
        )
        self._background: set[asyncio.Task[None]] = set()

    # -- workers come, speak and go ------------------------------------------------------------

    def register(self, host: str, slots: int) -> Member:
        """Take a worker in."""
        member = self.roster.add(host, slots)
        member.heard = now = self._clock()
        self._handle(events.WorkerJoined(member.name, host, now))
        return member

    def hello(self, member: Member, held: Sequence[Held], outbox: Outbox) -> None:
        """Begin a stream of a worker, which still works on what it names, and on nothing else."""
        if member.outbox is None:
            self.note(events.WorkerCame(member.name, member.host, member.slots))
        member.open(outbox)
        member.heard = now = self._clock()
        known = {each.attempt for each in held}
        for attempt in self._held_by(member):
            if attempt not in known and attempt not in self._grants.unsent:
                lost = errors.TaskLostError(f"`{attempt}`: {LEFT_TEXT}", reason="grant lost")
                told = errors.to_dict(lost)
                self._handle(events.Returned(attempt, told, now, blames_host=False))
        for each in held:
            self._handle(events.Held(each.attempt, member.name, now, each.sources))

    def take(self, member: Member, message: FromWorker) -> None:
        """Take what a worker says over its stream, after its hello."""
        member.heard = now = self._clock()
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
                    self._warn(f"worker `{member.name}`: {error['message']}")
            case Noted(events.Warned(text)):
                self._warn(f"worker `{member.name}`: {text}")
            case Noted(event):
                self.note(event)
            case Leaving(reason, error):
                member.is_leaving = True
                if not member.has_asked:
                    fields = {} if error is None else error["fields"]
                    self.refusals.append(ClusterError(f"`{member.host}`: {reason}", **fields))
                self._warn(f"worker `{member.name}` leaves: {reason}")

    def part(self, member: Member, outbox: Outbox) -> None:
        """End a worker's stream. What it holds is for its leases to say, unless it has left."""
        if member.outbox is not outbox:
            return  # It has come back by another one.
        member.close()
        self.note(events.WorkerWent(member.name))
        if member.is_leaving and not self._held_by(member):
            self._handle(events.WorkerLeft(member.name, self._clock()))
            self.roster.remove(member)

    async def complete(self, attempt: Attempt, outcome: Receipt | Failure) -> CompletionReply:
        """Take what an attempt has come to, and return what becomes of it.

        Raises:
            ProtocolError: it is what another attempt has come to.
        """
        failpoint.hit("completion.received")
        now = self._clock()
        if isinstance(outcome, Failure):
            self._handle(failure_event(attempt, outcome, now))
            return CompletionReply(Verdict.NOTED)
        if outcome.attempt != attempt:
            raise ProtocolError(f"the receipt of `{attempt}` is that of `{outcome.attempt}`")
        known = self.job.verdict(attempt)
        if known != "open":
            return CompletionReply(Verdict.ALREADY if known == "committed" else Verdict.STALE)
        fate = self._fates.of(attempt)
        self._handle(events.Finished(attempt, outcome, now))
        return await fate

    # -- the loop ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let the core know the time, and ask once more for all that wait; twice a second."""
        now = self._clock()
        stood_s = 0.0 if self._ticked is None else now - self._ticked
        if is_deaf(stood_s, self.job.map.limits.lease_s):
            self._warn(f"this master stood still for {stood_s:.1f} s: no lease has ended by that")
        self._ticked = now
        for attempt in list(self._grants.unsent):  # Nobody else can say that they are wanted.
            self._handle(events.Renewed(attempt, now))
        self._handle(events.Ticked(now))
        self._forget(now)
        self._offer(to_all=True)

    def open(self) -> None:
        """Let the work begin."""
        self._is_open = True
        self._offer(to_all=True)

    def note(self, event: events.Event) -> None:
        """Put an event into the feed."""
        self._feed.append(event)

    def _warn(self, text: str) -> None:
        self.note(events.Warned(text, at_once=True))

    def take_in(self, event: JobEvent | events.Journal) -> None:
        """Hand the core what is known before the first worker comes."""
        if isinstance(event, events.Journal):
            self._perform_all([event])
        else:
            self._handle(event)

    async def flush(self) -> None:
        """Return when all decisions so far are durable.

        Raises:
            PymrError: what has ended the run, so that they never will be.
        """
        written = asyncio.ensure_future(self._decisions.flush())
        try:
            await asyncio.wait((written, self.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            written.cancel()
        if self.ended.done():
            await self.ended

    def durable(self, decision: events.Decision) -> None:
        """Hand a decision back to the core: it stands in the journal."""
        assert isinstance(decision, events.TaskCommitted | events.TaskInvalidated), decision
        self._feed.append(decision)
        if isinstance(decision, events.TaskInvalidated):
            self._grants.forget_sources()
        self._handle(decision)
        self._fates.settle(decision.receipt.attempt)

    def fail(self, error: BaseException) -> None:
        """End the run with an error."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def _forget(self, now: float) -> None:
        """Forget workers that are gone without a word; one that does come back registers anew.

        What the core counts of hosts is about those that are there.
        """
        gone = [
            each
            for each in self.roster
            if each.outbox is None and now - each.heard >= FORGET_S and not self._held_by(each)
        ]
        for member in gone:
            self._handle(events.WorkerLeft(member.name, now))
            self.roster.remove(member)

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
            self._perform_all(self.job.handle(events.LeaseAsked(member.name, self._clock())))
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
                self._verifications.add(receipt)
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
        self._grants.send(grant, member)

    def _give_back(self, attempt: Attempt) -> None:
        """Let the task of an attempt wait again that cannot be begun; it is no fault of anybody."""
        lost = errors.to_dict(errors.TaskLostError(f"`{attempt}`: its sources have changed"))
        now = self._clock()
        self._handle(events.Failed(attempt, lost, True, "its sources", now, counts=False))

    # -- what blocks ---------------------------------------------------------------------------

    def _verified(self, receipt: Receipt, found: Found) -> None:
        attempt, now = receipt.attempt, self._clock()
        if isinstance(found, CorruptDataError | ObjectMissingError):
            told = errors.to_dict(found)
            signature = f"verify {type(found).__name__}"
            self._handle(events.Failed(attempt, told, found.retryable, signature, now))
            self._fates.refuse(attempt, told)
        elif isinstance(found, PymrError):
            self.fail(found)  # It is the store's, not the attempt's.
        else:
            self._handle(events.Verified(receipt, found.partitions, found.splits, now))

    async def _commit(self) -> None:
        await self.flush()
        self._publication = asyncio.ensure_future(self._in_thread(self._publish))
        try:
            await asyncio.shield(self._publication)
        except CorruptDataError as error:  # What was verified before is not there any more.
            raise LostPartError(error.message, hint=error.hint, **error.fields) from error
        self._handle(events.Published())
        if not self.ended.done():
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
        """Cancel what runs beside; a publication that has begun comes to its end."""
        for task in list(self._background):
            task.cancel()
        waiting: list[Awaitable[Any]] = list(self._background)
        if self._publication is not None:
            waiting.append(self._publication)
        await asyncio.gather(*waiting, return_exceptions=True)
