"""Group commit: decisions are put into the journal together, and count when they are durable.

    add ──► waiting ──one slot of the journal──► durable, in the order they were added

While a slot is on its way others gather for the next. Nothing is decided on the ground of a
decision that is not durable, so a master that is gone has told nobody what its successor will
not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Final

from pymr import failpoint
from pymr.core.events import Decision, encode
from pymr.errors import StoreError
from pymr.store.place import Journal

DEPOSED_LOOK_S: Final = 2.0  # how often a master that decides nothing looks whether it still is
LINGER_S: Final = 0.02  # for others to gather; a put takes about as long
GROUP_MAX: Final = 64


class Decisions:
    """The decisions of a master, on their way into `journal`, which no other thread may use."""

    def __init__(
        self, journal: Journal, threads: Executor, took: Callable[[float], object] | None = None
    ) -> None:
        """`threads` do the writing, one at a time; `took` is told how long each group takes."""
        self._took = took
        self._journal = journal
        self._threads = threads
        self._waiting: list[Decision] = []
        self._has_come = asyncio.Event()
        self._are_written = asyncio.Event()
        self._are_written.set()

    def add(self, decision: Decision) -> None:
        """Have a decision written."""
        self._waiting.append(decision)
        self._are_written.clear()
        self._has_come.set()

    async def run(self, is_durable: Callable[[Decision], None]) -> None:
        """Write what comes, until cancelled; `is_durable` is told of each, in the event loop.

        Raises:
            DeposedError: another master has taken the run on. A master that decides nothing learns
                of that, too.
            StoreError, ResourceError: the journal cannot be written.
        """
        while True:
            while not await self._comes():
                with suppress(StoreError):  # Who cannot look goes on.
                    await self._in_thread(self._journal.look)
            if len(self._waiting) < GROUP_MAX:
                await asyncio.sleep(LINGER_S)
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            if not self._waiting:
                self._has_come.clear()
            await self._in_thread(partial(self._write, group))
            for decision in group:
                failpoint.hit("commit.decide")
                is_durable(decision)
            if not self._waiting:
                self._are_written.set()

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        await self._are_written.wait()

    async def _comes(self) -> bool:
        """Say whether a decision has come, within a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEPOSED_LOOK_S):
                return await self._has_come.wait()
        return False

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _write(self, group: list[Decision]) -> None:
        for decision in group:
            self._journal.append(encode(decision))
        began = time.monotonic()
        self._journal.sync()
        if self._took is not None:
            self._took(time.monotonic() - began)
