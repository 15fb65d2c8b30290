"""Calls to the master, repeated until they are answered: by a worker or an operator.

Every call has a deadline. One that may have got lost is made again, after a pause with full jitter
(0.2 s, growing by a quarter up to 2 s), at the next address if this one does not answer. All calls
may be repeated. What the master says itself is not asked for twice, unless it says that it may be
otherwise later.

Thread-safe.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.admission import bearer
from pymr.cluster.join import JoinFile
from pymr.cluster.status import error_of
from pymr.cluster.transport import CLIENT_OPTIONS, client_credentials, grpc
from pymr.errors import PymrError, UnknownWorkerError, UnreachableError

CALL_S: Final = 20.0  # for one try at a call
_LAST_CALL_S: Final = 0.5  # for the last one
REDIAL_S: Final = 0.2  # at most, before the second try
# Workers and their master are started at once, and a master takes a second or two: with pauses that
# double, the last of a few workers came as late again.
REDIAL_GROWTH: Final = 1.25
REDIAL_MAX_S: Final = 2.0
_TOLD_AT: Final = 2  # tries in a row without an answer: connections end now and then

_T = TypeVar("_T")


class Client:
    """One side that calls, with what its join file says. Nothing is dialled before a call."""

    def __init__(
        self, join: JoinFile, *, wait_s: float, say: Callable[[str], object] = str
    ) -> None:
        """`wait_s`: how long a master may be out of reach before a call gives up.

        `say` is told once, by any thread, that none answers, and once that one does again.
        """
        self.join = join
        self.wait_s = wait_s
        self.metadata = bearer(join.token)
        self.closing = threading.Event()
        self._credentials = client_credentials(join.authority.encode(), join.identity)
        self._lock = threading.Lock()
        self._turn = 0  # of the addresses
        self._channel: grpc.Channel | None = None
        self._problems: dict[str, PymrError] = {}  # the last of each address
        self._say = say
        self._missed = 0  # tries since the last answer

    def __repr__(self) -> str:
        return f"Client({self.join!r})"

    def register(self, request: m.RegisterRequest) -> m.RegisterReply:
        """Become a worker of the run.

        Raises:
            UnreachableError: no master answered in `wait_s`.
            RefusedError, ProtocolError: it does not want this one.
        """
        return self._call("Register", request, m.RegisterReply)

    def status(self, request: m.StatusRequest) -> m.StatusReply:
        """Ask how far the run is. Raises as `register`."""
        return self._call("Status", request, m.StatusReply)

    def cancel(self, request: m.CancelRequest) -> m.CancelReply:
        """Stop the run. Raises as `register`."""
        return self._call("Cancel", request, m.CancelReply)

    def close(self) -> None:
        """End all calls, of other threads too: they raise UnreachableError. May be called twice."""
        self.closing.set()
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _call(self, name: str, request: wire.Message, reply_type: type[_T]) -> _T:
        body = wire.encode(request)
        deadline = time.monotonic() + self.wait_s
        for pause in pauses():
            address, channel = self.dial()
            timeout_s = max(_LAST_CALL_S, min(CALL_S, deadline - time.monotonic()))
            call = channel.unary_unary(f"/{wire.SERVICE}/{name}")
            try:
                reply = wire.decode(reply_type, call(body, timeout_s, self.metadata))
            except grpc.RpcError as error:
                problem = error_of(error, address)
                is_cut = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and timeout_s < CALL_S
            else:
                self.reached(address)
                return reply
            if isinstance(problem, UnreachableError):
                self.give_up(channel, address, problem, is_cut=is_cut)
            if not problem.retryable or isinstance(problem, UnknownWorkerError):
                raise problem
            if time.monotonic() + pause > deadline or self.closing.wait(pause):
                raise self.unreachable(problem)
        raise AssertionError  # Pauses have no end.

    def dial(self) -> tuple[str, grpc.Channel]:
        """Return the address that is used now, and its channel.

        Raises:
            UnreachableError: this client is closed.
        """
        with self._lock:
            if self.closing.is_set():
                raise UnreachableError("the connection to the master was closed from here")
            address = self.join.addresses[self._turn % len(self.join.addresses)]
            if self._channel is None:
                self._channel = grpc.secure_channel(
                    address, self._credentials, options=CLIENT_OPTIONS
                )
            return address, self._channel

    def give_up(
        self, channel: grpc.Channel, address: str, problem: PymrError, *, is_cut: bool = False
    ) -> None:
        """Dial the next address from now on, if nobody has come to that before.

        `is_cut`: there was no time left to learn what the problem is; an earlier one says more.
        """
        with self._lock:
            if not is_cut or address not in self._problems:
                self._problems[address] = problem
            self._missed += 1
            if self._missed == _TOLD_AT:
                self._say(f"{problem.message}; trying for {self.wait_s:g} s")
            is_new = self._channel is channel
            if is_new:
                self._channel = None
                self._turn += 1
        if is_new:
            channel.close()

    def reached(self, address: str) -> None:
        """Take note that the master at an address has answered."""
        with self._lock:
            if self._missed >= _TOLD_AT:
                self._say(f"the master at `{address}` answers again")
            self._missed = 0

    def unreachable(self, problem: PymrError) -> PymrError:
        """Return the error of one who has waited long enough."""
        if not isinstance(problem, UnreachableError):
            return problem
        with self._lock:
            tried = {address: each.message for address, each in self._problems.items()}
        reasons = "; ".join(tried.values()) or problem.message
        return UnreachableError(
            f"no master of run `{self.join.run}` answered within {self.wait_s:g} s: {reasons}",
            hint="see whether `pymr start` or `pymr master` runs there, and its port is open",
            tried=tried,
        )


def pauses() -> Iterator[float]:
    """Yield pauses in seconds, for ever: full jitter, so that many do not come back at once."""
    limit = REDIAL_S
    while True:
        yield random.uniform(0.0, limit)  # noqa: S311 - no secret
        limit = min(REDIAL_GROWTH * limit, REDIAL_MAX_S)
