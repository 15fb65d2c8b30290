"""A sign that somebody works on a run whose output is in a store: for views, never to decide by.

One small object, replaced every few seconds by a thread of whoever works there, and removed at its
end. How old it is, is told by its writer's clock: reading the store's would cost a write. With
clocks that differ by more than SIGN_OLD_S a view is wrong; what decides is claim and journal.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

import msgspec

from pymr.errors import ObjectMissingError, PymrError
from pymr.names import alive_key
from pymr.store.base import ObjectStore

SIGN_S: Final = 5.0  # between two signs
SIGN_OLD_S: Final = 30.0  # several may be late: a store may be slow for a while


class LifeSign(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a process that works on a run shows now and then."""

    epoch: int
    pid: int
    host: str
    time: float  # Unix seconds
    address: str | None = None  # where it can be asked

    def is_fresh(self, now: float) -> bool:
        """Say whether its writer lives, as far as can be told at `now` (Unix seconds)."""
        return now - self.time < SIGN_OLD_S

    def is_over(self) -> bool:
        """Say whether its writer was a process of this machine that has ended."""
        if self.host != os.uname().nodename:
            return False
        try:
            os.kill(self.pid, 0)
        except OSError as error:
            return error.errno == errno.ESRCH
        return False


class LifeSigns:
    """Shows that this process works on a run, in a `with` block. Best effort."""

    def __init__(
        self, objects: ObjectStore, run: str, sign: LifeSign, clock: Callable[[], float] = time.time
    ) -> None:
        self._objects = objects
        self._key = alive_key(run)
        self._sign = sign
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="life signs", daemon=True)

    def __enter__(self) -> Callable[[str], None]:
        """Begin, and return what is told from where on this process can be asked."""
        self._thread.start()
        return self._tell_address

    def _tell_address(self, address: str) -> None:
        self._sign = msgspec.structs.replace(self._sign, address=address)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(SIGN_S)

    def _go_on(self) -> None:
        is_ended = False
        while not is_ended:
            sign = msgspec.structs.replace(self._sign, time=self._clock())
            with suppress(PymrError):
                self._objects.replace(self._key, msgspec.json.encode(sign))
            is_ended = self._ended.wait(SIGN_S)
        with suppress(PymrError):
            last = read_sign(self._objects, self._key)
            if last is not None and last.epoch == self._sign.epoch:  # Not that of who goes on.
                self._objects.delete(self._key)


def read_sign(objects: ObjectStore, key: str) -> LifeSign | None:
    """Return the last sign of life under `key`, if there is one.

    Raises:
        StoreError: the store does not say.
    """
    try:
        return msgspec.json.decode(objects.get(key), type=LifeSign)
    except (ObjectMissingError, msgspec.MsgspecError):
        return None
