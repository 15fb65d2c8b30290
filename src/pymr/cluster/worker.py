"""A worker: slots for attempts on one machine, at the service of a master.

    master ──Grant──► slot: a task process ──object──► store
       ▲                     │
       └──Completion, Renew──┘

It decides nothing. What it cannot report does not count, so it goes on with what it holds when
its master is gone, and tells the next one. It runs no code of the user in its own process, which
owns a channel: task processes do, and each of them loads the code from the run's store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, get_args

import msgspec

from pymr import errors, failpoint
from pymr.cluster.link import Answered, Arrival, Link, Opened
from pymr.cluster.message import (
    TOLD_BYTES_MAX,
    Ask,
    Completion,
    Done,
    Drain,
    Failure,
    FailureKind,
    Grant,
    Held,
    Hello,
    Leaving,
    Noted,
    Progress,
    RegisterReply,
    Renew,
    Revoke,
    Work,
    WorkerNote,
)
from pymr.core import events
from pymr.core.spec import Attempt, AttemptSpec, MapWork, Receipt, ReduceWork, Stored
from pymr.errors import PymrError, ResourceError, StoreUnavailableError
from pymr.names import cancelled_key, new_nonce, told_key
from pymr.runner.slots import SlotReport, Slots
from pymr.store.base import ObjectStore, is_there
from pymr.task.manifest import read_manifest
from pymr.task.stored_object import get_stored, put_stored

ORPHAN_LOOK_S: Final = 10.0  # without a master, between looks whether the run is done
RENEW_S: Final = 2.0  # seven of them fit into a lease
TICK_S: Final = 0.5
DRAIN_S: Final = 60.0  # for what runs when the worker is told to go: a pod has as long
ALONE_S: Final = 20.0  # the same without any master: a pod takes 10 s to take the place of another
FAREWELL_S: Final = 5.0  # for the master to take note of what is given back
UNREADY_MAX: Final = 3  # task processes that end before they have loaded the code
# What an attempt fails of that is not its own fault, by the name of its error.
NOT_ITS_FAULT: Final = frozenset({StoreUnavailableError.__name__, ResourceError.__name__})


_decode_work = msgspec.json.Decoder(MapWork | ReduceWork).decode


class _Held(msgspec.Struct):
    """An attempt that was granted to this worker, and is not answered."""

    key: str
    epoch: int
    sources: str | None = None  # SHA-256 of the list that a reduce attempt reads
    progress: Progress | None = None
    is_reported: bool = False


class Worker:
    """The work of one worker, from its registration to the end of the run."""

    def __init__(
        self,
        link: Link,
        joined: RegisterReply,
        store: ObjectStore,
        tmp: str,
        say: Callable[[str], object] = str,
    ) -> None:
        """`say` is told here, too, what the master is warned of; and that this worker goes."""
        self.slots: Slots | None = None  # set before `run`
        self._say = say
        self._link = link
        self._joined = joined
        self._store = store
        self._tmp = tmp
        self._held: dict[Attempt, _Held] = {}
        self._grants_seen = 0
        self._seq = 0
        self._asked: tuple[int, int] | None = None
        self._beat_due = 0.0
        self._unready = 0
        self._leaving: str | None = None
        self._leaves_by = 0.0
        self._has_said = False  # that it goes
        self._done: Done | None = None
        self._look_due = 0.0
        self._met = time.monotonic()  # when there was a master last

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
            self._look_whether_done(now)
        return self._done

    def leave(self, reason: str) -> None:
        """Take nothing more, and go when what runs is done; the second time at once."""
        now = time.monotonic()
        if self._leaving is None:
            self._leaving, self._leaves_by = reason, now + DRAIN_S
            self._link.send(Leaving(reason))
        else:
            self._leaves_by = now

    def _look_whether_done(self, now: float) -> None:
        """Without a master, look into the store now and then: there may never be another one.

        The last one may have been done, or the run was cancelled since.
        """
        if self._link.is_open:
            self._met, self._look_due = now, now + ORPHAN_LOOK_S
        elif now >= self._look_due:
            self._look_due = now + ORPHAN_LOOK_S
            with suppress(PymrError):
                if read_manifest(self._store).run == self._joined.run:
                    self._done = Done()
            with suppress(PymrError):
                if is_there(self._store, cancelled_key(self._joined.run)):
                    self._done = Done(errors.to_dict(errors.cancelled_error("`pymr cancel`")))

    # -- what the master says ------------------------------------------------------------------

    def _take(self, message: Arrival) -> None:
        assert self.slots is not None, "run has begun"
        match message:
            case Opened(epoch, joined):
                self._greet(epoch, joined)
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
            case Answered(attempt):
                self._held.pop(attempt, None)

    def _greet(self, epoch: int, joined: RegisterReply) -> None:
        """Begin a stream: say who this is, and what it holds.

        Raises:
            ClusterError: the run goes on with other code; a worker loads its code once.
        """
        if joined.code != self._joined.code:
            raise errors.ClusterError(
                f"run `{joined.run}` goes on with other code than this worker has loaded",
                hint="start the worker again",
            )
        self._joined = joined
        self._grants_seen, self._asked, self._beat_due = 0, None, 0.0
        held = tuple(Held(a, held.key, held.sources) for a, held in self._held.items())
        self._link.send(Hello(joined.run, epoch, joined.worker, held))
        if self._leaving is not None:
            self._link.send(Leaving(self._leaving))

    def _start(self, grant: Grant) -> None:
        assert self.slots is not None, "run has begun"
        failpoint.hit("worker.granted")
        attempt = grant.attempt
        self._held[attempt] = _Held(grant.key, grant.epoch, _sources_of(grant.work))
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
        if not isinstance(grant.work, Stored):
            return grant.work
        work: MapWork | ReduceWork = _decode_work(get_stored(self._store, grant.work))
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
            self._beat_due = now + RENEW_S
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
                self._unready = 0
                self._complete(attempt, receipt)
            case events.MemoryExceeded(attempt, error):
                self._fail(attempt, error, FailureKind.MEMORY)
            case events.Failed(attempt, error) if error["type"] in NOT_ITS_FAULT:
                told = f"worker `{self._joined.worker}`: {error['message']}"
                self._fail(attempt, {**error, "message": told}, FailureKind.RETURNED)
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
        elif isinstance(event, get_args(WorkerNote)):
            if isinstance(event, events.Warned):
                self._say(event.message)
            self._link.send(Noted(event))

    def _fail(self, attempt: Attempt, error: dict[str, Any], kind: FailureKind) -> None:
        self._complete(attempt, _failure(error, kind))

    def _return(self, attempt: Attempt, why: str) -> None:
        text = f"worker `{self._joined.worker}` gives `{attempt}` back: it {why}"
        lost = errors.TaskLostError(text, reason=why)
        self._fail(attempt, errors.to_dict(lost), FailureKind.RETURNED)

    def _complete(self, attempt: Attempt, outcome: Receipt | Failure) -> None:
        held = self._held.get(attempt)
        if held is None or held.is_reported:
            return  # Revoked; nobody wants to know.
        failpoint.hit("worker.reports")
        held.is_reported = True
        self._seq += 1
        self._link.complete(Completion(self._seq, held.epoch, attempt, self._short(outcome)))

    def _short(self, outcome: Receipt | Failure) -> Receipt | Stored | Failure:
        """Return an outcome that fits into a message: a receipt of very many splits may not."""
        if isinstance(outcome, Failure):
            return outcome  # Its error is cut on the way, if need be.
        body = msgspec.json.encode(outcome)
        if len(body) <= TOLD_BYTES_MAX:
            return outcome
        try:
            return put_stored(self._store, body, partial(told_key, self._joined.run))
        except PymrError as error:
            kind = FailureKind.RETURNED
            return Failure(
                error=errors.to_dict(error), retryable=True, signature=kind.value, kind=kind
            )

    def _has_left(self) -> bool:
        """Say whether this worker may go; what still runs at the end of its time goes back."""
        assert self.slots is not None, "run has begun"
        if self._leaving is None:
            return False
        if self._held and not self._has_said:
            self._has_said = True
            self._say(
                f"{self._leaving}: what runs here has {DRAIN_S:g} s, and is given back at once"
                " if it is told again"
            )
        late_s = time.monotonic() - min(self._leaves_by, self._met + ALONE_S)
        if late_s >= 0.0:
            for attempt in self.slots.running:
                self._return(attempt, self._leaving)
                self.slots.revoke(attempt)
        return not self._held or late_s >= FAREWELL_S  # Maybe there is no master to answer.


def _failure(error: dict[str, Any], kind: FailureKind) -> Failure:
    return Failure(error=error, retryable=True, signature=kind.value, kind=kind)


def _sources_of(work: Work) -> str | None:
    """Return the digest of the list that a reduce attempt reads."""
    if isinstance(work, ReduceWork) and isinstance(work.sources, Stored):
        return work.sources.sha256
    return None
