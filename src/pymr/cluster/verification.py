"""Looks whether the objects of finished attempts are as their receipts say: many at a time.

    receipt ──► waiting ──a few of them──► a thread looks ──► told, in the event loop

To have a thread do something costs the loop more than most else that an attempt costs it, so what
comes together is looked at together. Some threads are always left, for decisions to be written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

from pymr import failpoint
from pymr.core.spec import MapFooter, Receipt
from pymr.errors import PymrError

VERIFIERS_MAX: Final = 24  # threads that look; a master has some more (`crew.THREADS_MAX`)
TOGETHER_MIN: Final = 4  # receipts for one thread, if so many wait; more if all threads look

Found = MapFooter | PymrError
Look = Callable[[Receipt], MapFooter]


class Verifications:
    """What is to be looked at. Belongs to one event loop."""

    def __init__(
        self,
        look: Look,
        tell: Callable[[Receipt, Found], None],
        threads: Executor,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`look` blocks, and raises a PymrError; `tell` gets each receipt with what was found."""
        self._look = look
        self._tell = tell
        self._threads = threads
        self._spawn = spawn
        self._waiting: deque[Receipt] = deque()
        self._looks = 0  # under way
        self._is_due = False  # `_begin` will be called

    def add(self, receipt: Receipt) -> None:
        """Have a receipt looked at."""
        self._waiting.append(receipt)
        if not self._is_due and self._looks < VERIFIERS_MAX:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Give what waits to the threads that are free."""
        self._is_due = False
        while self._waiting and self._looks < VERIFIERS_MAX:
            share = -(-len(self._waiting) // (VERIFIERS_MAX - self._looks))
            count = min(len(self._waiting), max(TOGETHER_MIN, share))
            self._looks += 1
            self._spawn(self._verify([self._waiting.popleft() for _ in range(count)]))

    async def _verify(self, receipts: list[Receipt]) -> None:
        try:
            look = partial(_look_at, self._look, receipts)
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        finally:
            self._looks -= 1
        for receipt, each in zip(receipts, found, strict=True):
            self._tell(receipt, each)
        self._begin()


def _look_at(look: Look, receipts: list[Receipt]) -> list[Found]:
    found: list[Found] = []
    for receipt in receipts:
        failpoint.hit("commit.verify")
        try:
            found.append(look(receipt))
        except PymrError as error:
            found.append(error)
    return found
