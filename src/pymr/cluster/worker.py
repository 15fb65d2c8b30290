"""A worker: slots for attempts on one machine, at the service of a master.

    master ──Grant──► slot: a task process ──object──► store
       ▲                     │
       └──Completion, Renew──┘

It decides nothing. What it cannot report does not count, so it goes on with what it holds when
its master is gone, and tells the next one. It runs no code of the user in its own process, which
owns a channel: task processes do, and each of them loads the code from the run's store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from pymr import errors
from pymr.cluster.message import (
    Ask,
    Completion,
    CompletionReply,
    Done,
    Drain,
    Failure,
    FailureKind,
    ForWorker,
    FromWorker,
    Grant,
    Held,
    Hello,
    Leaving,
    Noted,
    PartitionWork,
    Progress,
    RegisterReply,
    Renew,
    Revoke,
    Stored,
    Verdict,
    WorkerNote,
)
from pymr.core import events
from pymr.core.spec import Attempt, AttemptSpec, MapWork, Receipt, ReduceWork
from pymr.errors import PymrError, ResourceError, StoreUnavailableError
from pymr.names import new_nonce
from pymr.runner.slots import SlotReport, Slots
from pymr.store.base import ObjectStore

HEARTBEAT_S: Final = 2.0  # seven of them fit into a lease
TICK_S: Final = 0.5
DRAIN_S: Final = 60.0  # for what runs when the worker is told to go: a pod has as long
UNREADY_MAX: Final = 3  # task processes that end before they have loaded the code
# What an attempt fails of that is not its own fault, by the name of its error.
NOT_ITS_FAULT: Final = frozenset({StoreUnavailableError.__name__, ResourceError.__name__})


class Opened(msgspec.Struct, frozen=True):
    """A stream to the master has begun: a hello is due."""

    epoch: int


class Answered(msgspec.Struct, frozen=True):
    """The master has answered to a completion."""

    attempt: Attempt
    reply: CompletionReply


Received = ForWorker | Opened | Answered


class Link(Protocol):
    """The way to a master. It reconnects by itself; what is sent meanwhile is lost."""

    def fileno(self) -> int:
        """Return a descriptor that can be read from when there is something to receive."""

    def receive(self) -> Sequence[Received]:
        """Return what has come.

        Raises:
            PymrError: the master cannot be reached any more, or refuses this worker.
        """

    def send(self, *messages: FromWorker) -> None:
        """Send messages over the stream, in their order."""

    def complete(self, completion: Completion) -> None:
        """Report an attempt, again and again until it is answered."""


class _Held(msgspec.Struct):
    """An attempt that was granted to this worker, and is not answered."""

    key: str
    epoch: int
    sources: str | None = None  # SHA-256 of the list that a reduce attempt reads
    progress: Progress | None = None
    is_reported: bool = False


class Worker:
    """The work of one worker, from its registration to the end of the run."""

    def __init__(self, link: Link, joined: RegisterReply, store: ObjectStore, tmp: str) -> None:
        self.slots: Slots | None = None  # set before `run`
        self._link = link
        self._joined = joined
        self._store = store
        self._tmp = tmp
        self._epoch = joined.epoch
        self._held: dict[Attempt, _Held] = {}
        self._grants_seen = 0
        self._seq = 0
        self._asked: tuple[int, int] | None = None
        self._beat_due = 0.0
        self._unready = 0
        self._leaving: str | None = None
        self._leaves_by = 0.0
        self._done: Done | None = None

    def run(self, slots: Slots) -> Done | None:
        """Work until the run is over, and return how it ended; None: this worker has left.

        Raises:
            PymrError: the master is gone, or this machine cannot run the job.
        """
        self.slots = slots
        slots.open()
        while self._done is None and not self._has_left():
            slots.wait(TICK_S)
            for message in self._link.receive():
                self._take(message)
            now = time.monotonic()
            slots.look(now)
            self._speak(now)
        return self._done

    def leave(self, reason: str) -> None:
        """Take nothing more, and go when what runs is done; the second time at once."""
        now = time.monotonic()
        if self._leaving is None:
            self._leaving, self._leaves_by = reason, now + DRAIN_S
            self._link.send(Leaving(reason))
        else:
            self._leaves_by = now

    # -- what the master says ------------------------------------------------------------------

    def _take(self, message: Received) -> None:
        assert self.slots is not None, "run has begun"
        match message:
            case Opened(epoch):
                self._epoch = epoch
                self._grants_seen, self._asked, self._beat_due = 0, None, 0.0
                held = tuple(
                    Held(attempt, held.key, held.sources or "")
                    for attempt, held in self._held.items()
                )
                joined = self._joined
                self._link.send(Hello(joined.run, epoch, joined.worker, held))
                if self._leaving is not None:
                    self._link.send(Leaving(self._leaving))
            case Grant():
                self._grants_seen += 1
                self._start(message)
            case Revoke(attempt):
                if self._held.pop(attempt, None) is not None:
                    self.slots.revoke(attempt)
            case Drain(reason):
                self.leave(reason)
            case Done():
                self._done = message
            case Answered(attempt, reply):
                if reply.verdict is not Verdict.RETRY:
                    self._held.pop(attempt, None)

    def _start(self, grant: Grant) -> None:
        assert self.slots is not None, "run has begun"
        attempt = grant.attempt
        sources = grant.work.sources.sha256 if isinstance(grant.work, PartitionWork) else None
        self._held[attempt] = _Held(grant.key, grant.epoch, sources)
        idle = self.slots.idle
        if not idle or self._leaving is not None:
            self._return(attempt, "has no free slot" if self._leaving is None else self._leaving)
            return
        try:
            work = self._work_of(grant)
        except PymrError as error:
            self._fail(attempt, errors.to_dict(error), FailureKind.RETURNED)
            return
        tmp = f"{self._tmp}/{attempt}-{attempt.number}-{new_nonce()}"
        self.slots.run(idle[0], AttemptSpec(attempt, grant.key, tmp, work), alone=grant.alone)

    def _work_of(self, grant: Grant) -> MapWork | ReduceWork:
        match grant.work:
            case Stored():
                return read_stored_json(self._store, grant.work, MapWork | ReduceWork)
            case PartitionWork(partition, sources):
                return ReduceWork(partition, (), sources)
            case work:
                return work

    # -- what this worker says -----------------------------------------------------------------

    def _speak(self, now: float) -> None:
        """Say what is due: how many slots are free, and that this worker lives."""
        assert self.slots is not None, "run has begun"
        free = 0 if self._leaving is not None else len(self.slots.idle)
        if self._asked != (free, self._grants_seen):
            self._asked = (free, self._grants_seen)
            self._link.send(Ask(free, self._grants_seen))
        if now >= self._beat_due:
            self._beat_due = now + HEARTBEAT_S
            self._link.send(
                Renew(
                    tuple(
                        held.progress or Progress(attempt) for attempt, held in self._held.items()
                    )
                )
            )

    def report(self, event: SlotReport) -> None:
        """Tell the master what an attempt has come to."""
        match event:
            case events.Finished(attempt, receipt):
                self._complete(attempt, receipt)
            case events.MemoryExceeded(attempt, error):
                self._fail(attempt, error, FailureKind.MEMORY)
            case events.Failed(attempt, error) if error["type"] in NOT_ITS_FAULT:
                self._fail(attempt, error, FailureKind.RETURNED)
            case events.Failed(attempt, error, retryable, signature):
                self._complete(
                    attempt, Failure(error=error, retryable=retryable, signature=signature)
                )

    def lose(
        self, slot: str, attempt: Attempt | None, error: dict[str, Any], *, was_ready: bool
    ) -> None:
        """Tell the master that the process of an attempt is gone.

        Raises:
            PymrError: processes end before they have loaded the code, again and again.
        """
        if attempt is not None and attempt in self._held:
            self._fail(attempt, error, FailureKind.CRASHED)
        if not was_ready:
            self._unready += 1
            if self._unready >= UNREADY_MAX:
                raise errors.from_dict(error)

    def note(self, event: events.Event) -> None:
        """Pass on what is for the feed; how far an attempt is goes with the next heartbeat."""
        if isinstance(event, events.AttemptProgressed):
            held = self._held.get(event.attempt)
            if held is not None:
                held.progress = Progress(event.attempt, event.bytes_in, event.records_in)
        elif isinstance(event, WorkerNote):
            self._link.send(Noted(event))

    def _fail(self, attempt: Attempt, error: dict[str, Any], kind: FailureKind) -> None:
        self._complete(
            attempt, Failure(error=error, retryable=True, signature=kind.value, kind=kind)
        )

    def _return(self, attempt: Attempt, why: str) -> None:
        text = f"worker `{self._joined.worker}` gives `{attempt}` back: it {why}"
        lost = errors.TaskLostError(text, reason=why)
        self._fail(attempt, errors.to_dict(lost), FailureKind.RETURNED)

    def _complete(self, attempt: Attempt, outcome: Receipt | Failure) -> None:
        held = self._held.get(attempt)
        if held is None or held.is_reported:
            return  # Revoked; nobody wants to know.
        held.is_reported = True
        self._seq += 1
        joined = self._joined
        self._link.complete(
            Completion(
                run=joined.run,
                epoch=held.epoch,
                worker=joined.worker,
                attempt=attempt,
                seq=self._seq,
                outcome=outcome,
            )
        )

    def _has_left(self) -> bool:
        """Say whether this worker may go; what still runs at the end of its time goes back."""
        assert self.slots is not None, "run has begun"
        if self._leaving is None:
            return False
        if time.monotonic() >= self._leaves_by:
            for attempt in self.slots.running:
                self._return(attempt, self._leaving)
                self.slots.revoke(attempt)
        return not self._held


def read_stored_json(store: ObjectStore, stored: Stored, kind: Any) -> Any:
    """Return what a stored object holds, whose SHA-256 is checked.

    Raises:
        ObjectMissingError, CorruptDataError: it is not what was stored.
        StoreError: the store refuses or does not answer.
    """
    import hashlib

    body = store.get(stored.key)
    digest = hashlib.sha256(body).hexdigest()
    if digest != stored.sha256:
        raise errors.CorruptDataError(
            f"object `{stored.key}` is corrupt: its SHA-256 is `{digest}`, expected"
            f" `{stored.sha256}`",
            key=stored.key,
        )
    return msgspec.json.decode(body, type=kind)


def slots_wished(asked: int | None, cores: int) -> int:
    """Return how many attempts run at once: as many as there are cores, unless asked for."""
    return asked or max(1, cores)


def private_folder(parent: str | None) -> str:
    """Return a fresh folder for spills and code that only this user can read."""
    import tempfile

    return tempfile.mkdtemp(prefix="pymr-worker-", dir=parent or os.environ.get("TMPDIR"))
