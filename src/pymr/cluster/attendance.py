"""Which workers are there: waited for at the start, and missed when all are gone.

There is who has loaded the code: a worker that cannot is no reason to begin.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pymr.cluster.master import Master
from pymr.core import events
from pymr.errors import ClusterError, IncompleteError

ATTENDANCE_LOOK_S: Final = 0.1
REMIND_S: Final = 30.0  # between lines that say that nobody is there
_NOBODY: Final = "0 workers are connected, waiting for the first"
LATE_S: Final = 30.0  # for the others, when one worker is there; then the work begins


class Attendance:
    """Opens the run when workers are there; ends it when none is for too long."""

    def __init__(
        self,
        master: Master,
        wanted: int,
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._master = master
        self._wanted = wanted
        self._wait_s = wait_s
        self._clock = clock

    async def watch(self) -> None:
        """Never return.

        Raises:
            ClusterError: all that came cannot run the job.
            IncompleteError: nobody came for `wait_s`, or all are gone for so long.
        """
        count = await self._first()
        self._master.note(events.WorkersConnected(count, self._wanted))
        self._master.open()
        gone_since: float | None = None
        reminded = 0.0
        while True:
            await asyncio.sleep(ATTENDANCE_LOOK_S)
            now = self._clock()
            if self._master.roster.ready:
                gone_since = None
                continue
            gone_since = gone_since if gone_since is not None else now
            reminded = self._remind(now, max(reminded, gone_since))
            self._refuse_long_wait(now - gone_since)

    async def _first(self) -> int:
        """Return how many workers there are, when that is enough to begin."""
        began = reminded = self._clock()
        first: float | None = None
        while True:
            count, now = len(self._master.roster.ready), self._clock()
            if count:
                first = first if first is not None else now
            if count >= self._wanted or (first is not None and count and now - first >= LATE_S):
                return count
            if not count:
                self._refuse_refusals()
                self._refuse_long_wait(now - began)
                reminded = self._remind(now, reminded)
            await asyncio.sleep(ATTENDANCE_LOOK_S)

    def _remind(self, now: float, last: float) -> float:
        """Say now and then that nobody is there; return when that was said last."""
        if now - last < REMIND_S:
            return last
        self._master.note(events.Warned(_NOBODY, at_once=True))
        return now

    def _refuse_refusals(self) -> None:
        refusals = self._master.refusals
        if len(refusals) >= self._wanted:
            last = refusals[-1]
            raise ClusterError(
                f"no worker can run the job: {last.message}",
                **{**last.fields, "first": "mend that"},
            )

    def _refuse_long_wait(self, waited_s: float) -> None:
        if waited_s >= self._wait_s:
            refusals = self._master.refusals
            why = f"; the last one said: {refusals[-1].message}" if refusals else ""
            raise IncompleteError(
                f"no worker was connected for {self._wait_s:g} s, which is --worker-wait{why}",
                first="start workers",
            )
