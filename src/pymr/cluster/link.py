"""A worker's link to its master: one stream, kept open.

For a loop over file descriptors: `fileno` is readable when something has arrived, `receive` returns
it, `send` and `complete` never wait. All else happens in threads of the link.

    dialling ──let in──► Opened ─► the worker says Hello, and what is ─► items …
        ▲                                                                 │
        └───────────── pause, next address ◄──── the stream ends ─────────┘
                           │
                           └─ after `wait_s`, or refused: `receive` raises

What was sent on a stream that ended may not have arrived, and is not sent again: after Opened the
worker says what is, not what was added. Items sent when no stream is open are dropped. Completions
alone are kept, and sent on each stream after its Hello, until there is a verdict.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.client import Client, pauses
from pymr.cluster.status import error_of
from pymr.cluster.transport import CONNECTION_AGE_S, STREAM_IDLE_S, STREAM_SILENCE_S, grpc
from pymr.core.spec import Attempt
from pymr.errors import InternalError, PymrError, UnknownWorkerError, UnreachableError

AGAIN_S: Final = 1.0  # until a completion that could not be decided is sent again
_STEADY_S: Final = 10.0  # a stream that was open for so long was a good one: the pauses start anew


class Opened(msgspec.Struct, frozen=True):
    """A stream is open. What is sent from now on goes there; it must begin with a Hello.

    `joined` is what the master of that `epoch` has said to this worker, with the id it now has.
    """

    epoch: int
    joined: m.RegisterReply


class Answered(msgspec.Struct, frozen=True):
    """The verdict on a completion; never RETRY."""

    attempt: Attempt
    reply: m.CompletionReply


Arrival = m.Grant | m.Revoke | m.Drain | m.Done | Opened | Answered


class _Again(msgspec.Struct, frozen=True):
    """It is time to send what could not be decided again."""


class _Lost(msgspec.Struct, frozen=True):
    """Nothing comes any more."""

    error: PymrError


class Link:
    """The stream of one registered worker. One thread uses it."""

    def __init__(self, client: Client, request: m.RegisterRequest, joined: m.RegisterReply) -> None:
        """Start dialling. The client is closed with the link.

        `joined` came for `request`, which is made again where a master does not know this worker.
        """
        self._client = client
        self._request = request
        self._joined = joined
        self._arrived: deque[m.ForWorker | Opened | _Again | _Lost] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._outgoing: _Outgoing | None = None  # of the stream that the worker knows of
        self._streams: deque[_Outgoing] = deque()  # of each Opened on its way to the worker
        self._unanswered: dict[int, m.Completion] = {}
        self._undecided: set[int] = set()  # completions to send again
        self._lost: PymrError | None = None
        self._closing = threading.Event()
        self._call: Any = None
        self._heard = 0.0  # when something came last
        self._threads = [
            threading.Thread(target=self._run, name="pymr-link", daemon=True),
            threading.Thread(target=self._watch, name="pymr-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        """Return a file descriptor that is readable when something has arrived."""
        return self._bell

    def receive(self) -> list[Arrival]:
        """Return what has arrived since the last time, in its order; does not wait.

        Raises:
            UnreachableError: no master answered within `wait_s` of the client.
            RefusedError, ProtocolError: there is one, and it does not want this worker.
            InternalError: the link itself is broken.
        """
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        arrivals: list[Arrival] = []
        while self._arrived:
            arrivals += self._settled(self._arrived.popleft())
        if self._lost is not None:
            if not arrivals:
                raise self._lost
            os.eventfd_write(self._bell, 1)
        return arrivals

    @property
    def is_open(self) -> bool:
        """Whether there is a stream, as far as is known."""
        return self._outgoing is not None and not self._outgoing.has_ended

    def send(self, *items: m.FromWorker) -> None:
        """Send the items, in order, on the stream that was opened last.

        Raises:
            InternalError: one is larger than a message.
        """
        if self._outgoing is not None:
            if any(isinstance(each, m.Hello) for each in items):
                items += tuple(self._unanswered.values())
            self._outgoing.put(*items)

    def complete(self, completion: m.Completion) -> None:
        """Report an attempt until there is a verdict, which arrives as Completed.

        Raises:
            InternalError: it is larger than a message.
        """
        self.send(completion)
        self._unanswered[completion.seq] = completion

    def _settled(self, arrival: m.ForWorker | Opened | _Again | _Lost) -> Iterator[Arrival]:
        """Yield what the worker is to know of one arrival."""
        match arrival:
            case m.CompletionReply(verdict=m.Verdict.RETRY):
                self._undecided.add(arrival.seq)
            case m.CompletionReply():
                completion = self._unanswered.pop(arrival.seq, None)
                if completion is not None:  # else it was said twice
                    yield Answered(completion.attempt, arrival)
            case _Again():
                undecided, self._undecided = self._undecided, set()
                self.send(*(self._unanswered[seq] for seq in undecided & set(self._unanswered)))
            case _Lost(error):
                self._lost = error
            case Opened():
                self._outgoing = self._streams.popleft()
                yield arrival
            case _:
                yield arrival

    def close(self) -> None:
        """End the stream; nothing arrives any more. Once."""
        self._closing.set()
        self._client.close()  # and with it all calls
        for thread in self._threads:
            thread.join()
        os.close(self._bell)

    def _arrive(self, *arrivals: m.ForWorker | Opened | _Again | _Lost) -> None:
        self._arrived.extend(arrivals)
        if arrivals:
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        """Keep a stream open until the link is closed, or there is no hope."""
        try:
            self._keep_open()
        except PymrError as error:
            self._arrive(_Lost(error))
        except Exception as error:  # noqa: BLE001 - without this thread a worker would wait for ever
            if not self._closing.is_set():  # Else it is the channel, closed under a call.
                self._arrive(_Lost(InternalError(f"the link to the master broke: {error!r}")))

    def _keep_open(self) -> None:
        since = time.monotonic()  # when a stream was open last
        waits = pauses()
        while not self._closing.is_set():
            opened = time.monotonic()
            problem, was_open = self._stream()
            now = time.monotonic()
            since = now if was_open else since
            if was_open and now - opened > _STEADY_S:
                waits = pauses()
            pause = next(waits)
            if not isinstance(problem, UnreachableError | UnknownWorkerError):
                raise problem
            if now + pause - since > self._client.wait_s:
                raise self._client.unreachable(problem)
            if self._closing.wait(pause):
                return
            if isinstance(problem, UnknownWorkerError):
                self._joined = self._client.register(self._request)

    def _stream(self) -> tuple[PymrError, bool]:
        """Serve one stream; return how it ended, and whether it was ever open."""
        was_open = False
        outgoing = _Outgoing()
        try:
            address, channel = self._client.dial()
        except UnreachableError as error:
            return error, False
        try:
            call = channel.stream_stream(f"/{wire.SERVICE}/Lease")(
                outgoing, timeout=CONNECTION_AGE_S, metadata=self._client.metadata
            )
            self._heard, self._call = time.monotonic(), call
            for body in call:
                self._heard = time.monotonic()
                if not was_open:
                    was_open = True
                    self._client.reached(address)
                    self._streams.append(outgoing)
                    self._arrive(Opened(self._joined.epoch, self._joined))
                self._arrive(*wire.decode_for_worker(body))
            return UnreachableError("the master has ended the stream"), was_open
        except grpc.RpcError as error:
            problem = error_of(error, address)
            if isinstance(problem, UnreachableError):
                self._client.give_up(channel, address, problem)
            return problem, was_open
        except PymrError as error:  # It is no message.
            call.cancel()
            return error, was_open
        finally:
            self._call = None
            outgoing.end()

    def _watch(self) -> None:
        """End a stream on which nothing comes; remind of what is to be sent again."""
        while not self._closing.wait(AGAIN_S):
            if self._undecided:
                self._arrive(_Again())
            call = self._call
            if call is not None and time.monotonic() - self._heard > STREAM_SILENCE_S - AGAIN_S:
                call.cancel()


class _Outgoing(Iterator[bytes]):
    """The messages of one stream, for a thread of gRPC; an empty one is a sign of life."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._messages: Iterator[bytes] = iter(())
        self._changed = threading.Condition()
        self.has_ended = False

    def put(self, *items: m.FromWorker) -> None:
        pieces = [wire.encode_item(item) for item in items]
        with self._changed:
            if not self.has_ended:
                self._pieces.extend(pieces)
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self.has_ended = True
            self._changed.notify()

    def __next__(self) -> bytes:
        message = next(self._messages, None)
        if message is not None:
            return message
        with self._changed:
            if not self._pieces and not self.has_ended:
                self._changed.wait(STREAM_IDLE_S)
            if not self._pieces:
                if self.has_ended:
                    raise StopIteration
                return b""
            pieces, self._pieces = self._pieces, deque()
        self._messages = wire.pack(pieces)
        return next(self._messages)
