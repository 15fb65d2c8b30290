"""Requests that are sent again: when, how many at once, and for how long.

Of requests that fail, those are repeated that may succeed. Between tries a random time up to a
bound passes, and the bound doubles each time (full jitter: AWS Architecture Blog, 2015). A store
that asks for fewer requests gets half as many at once, and more again as they succeed (additive
increase, multiplicative decrease: as TCP does).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from pymr.errors import PymrError, StoreUnavailableError
from pymr.store.object_errors import Again, Place, explained
from pymr.store.outage import AWAY_TOLD_S, OUTAGES, REFUSES, SILENT

REQUESTS_MAX: Final = 32  # of one store in one process at once
NEVER_HINT: Final = "start the store, or say where it is: --endpoint URL, AWS_ENDPOINT_URL"
AWAY_HINT: Final = "--storage-wait TIME   waits longer; pymr resume RUN goes on"
DENIED_TRIES_MAX: Final = 3
BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 5.0  # so a store that is back is noticed within that

_Result = TypeVar("_Result")


class RequestCounts(msgspec.Struct):
    """What requests of one store in this process went through."""

    retried: int = 0  # requests sent again
    slowed: int = 0  # … since the store asked for fewer
    waited_s: float = 0.0  # between tries, summed over threads
    away_since: float | None = None  # monotonic seconds of the first failure since an answer


class Gate:
    """How many requests go at once; fewer after the store asked for that."""

    def __init__(self, requests_max: int = REQUESTS_MAX) -> None:
        self._most = requests_max
        self._limit = float(requests_max)
        self._running = 0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """The number of requests that may go at once now."""
        return max(1, int(self._limit))

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Wait for room, and hold it."""
        with self._changed:
            while self._running >= self.limit:
                self._changed.wait()
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def halve(self) -> None:
        """Let half as many through, at least one."""
        with self._changed:
            self._limit = max(1.0, self._limit / 2)

    def widen(self) -> None:
        """Let one more through after as many successes as go at once now."""
        if self._limit < self._most:
            with self._changed:
                self._limit = min(float(self._most), self._limit + 1 / self._limit)
                self._changed.notify()


class Requests:
    """Sends the requests of one store. Threads may share it."""

    def __init__(self, place: Place, storage_wait_s: float, *, may_renew: bool = False) -> None:
        self.place = place
        self._storage_wait_s = storage_wait_s
        self._may_renew = may_renew  # keys are read anew, so a denial may end
        self._was_answered = False
        self._lock = threading.Lock()
        self._told_at: float | None = None  # that it is away, last
        self.gate = Gate()
        self.counts = RequestCounts()

    def send(self, key: str, request: Callable[[], _Result]) -> _Result:
        """Return what `request` returns, sent again while that can help.

        Raises:
            ObjectMissingError, ObjectExistsError, ObjectChangedError: as the store says.
            StoreError: the store refuses.
            StoreUnavailableError: it was out of reach for `storage_wait_s`.
            ResourceError: it is full.
        """
        began = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                with self.gate.passed():
                    result = request()
            except Exception as error:
                found, again = self.told(error, key)
                waited_s = time.monotonic() - began
                if not self._goes_on(again, tries, waited_s):
                    raise self._final(found, waited_s) from error
                self._pause(again, tries, self._storage_wait_s - waited_s)
            else:
                self._take_answer()
                self.gate.widen()
                return result

    def told(self, error: Exception, key: str) -> tuple[PymrError, Again]:
        """Return what to raise for an error of a request, and whether to send it again."""
        if isinstance(error, PymrError):  # the request itself has looked at it
            return error, Again.SOON if error.retryable else Again.NEVER
        return explained(error, self.place, key)

    def _goes_on(self, again: Again, tries: int, waited_s: float) -> bool:
        if again is Again.NEVER:
            return False
        if again is Again.DENIED or (
            again is Again.KEYS and not (self._may_renew and self._was_answered)
        ):
            return tries < DENIED_TRIES_MAX
        return waited_s < self._storage_wait_s

    def _take_answer(self) -> None:
        self._was_answered, self.counts.away_since = True, None
        if self._told_at is not None:
            with self._lock:
                was_told, self._told_at = self._told_at is not None, None
            if was_told:
                OUTAGES.tell(f"{self.place} at {self.place.endpoint}", None)

    def _pause(self, again: Again, tries: int, left_s: float) -> None:
        bound = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(tries - 1, 30), max(left_s, 0.0))
        pause = random.uniform(0, bound)  # noqa: S311 - to spread requests, not to guard
        with self._lock:
            self.counts.retried += 1
            self.counts.slowed += again is Again.SLOWER
            self.counts.waited_s += pause
            if again in (Again.SOON, Again.KEYS) and self.counts.away_since is None:
                self.counts.away_since = time.monotonic()
        if again is Again.SLOWER:
            self.gate.halve()
        self._tell_outage(REFUSES if again is Again.KEYS else SILENT)
        time.sleep(pause)

    def _tell_outage(self, how: str) -> None:
        now = time.monotonic()
        with self._lock:
            since = self.counts.away_since
            last = since if self._told_at is None else self._told_at
            if since is None or last is None or now - last < AWAY_TOLD_S:
                return
            self._told_at = now
        store = f"{self.place} at {self.place.endpoint}"
        OUTAGES.tell(store, time.time() - (now - since), how)

    def _final(self, error: PymrError, waited_s: float) -> PymrError:
        if isinstance(error, StoreUnavailableError) and waited_s >= self._storage_wait_s:
            error.hint = error.hint or (AWAY_HINT if self._was_answered else NEVER_HINT)
            error.message += f", tried for {waited_s:.0f} s"
            error.args = (error.message,)
        return error
