"""Stores that do not answer: told to whoever listens in this process, while requests wait.

    requests, sent again ──tell──► OUTAGES ──► the listener of this process ──► Said ──► a line

Requests are made deep in many places, and by threads; who has a feed listens at the top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SILENT: Final = "does not answer"
REFUSES: Final = "refuses the keys, which are read anew,"
AWAY_TOLD_S: Final = 5.0  # a store that has not answered for so long is told of, and as often

# The store, since when it does not serve us, in Unix seconds (None: it does again), and how.
Listener = Callable[[str, float | None, str], object]


class Outages:
    """The outages that this process sees. Any thread may tell; nobody need listen."""

    def __init__(self) -> None:
        self._listener: Listener | None = None

    def listen(self, listener: Listener | None) -> None:
        """Have `listener` told from now on, by any thread; None: nobody."""
        self._listener = listener

    def tell(self, store: str, since: float | None, how: str = SILENT) -> None:
        """Tell that a store is out of reach, or that it is not any more. May be repeated."""
        if (listener := self._listener) is not None:
            listener(store, since, how)


OUTAGES: Final = Outages()


class Said:
    """What was said of outages: a line for each, and one when it is over, however often told."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def line(self, store: str, since: float | None, now: float, how: str = SILENT) -> str | None:
        """Return what is to be said; `now` in Unix seconds. None: nothing that is not known."""
        if since is None:
            began = self._since.pop(store, None)
            return None if began is None else f"{store} answers again, after {now - began:.0f} s"
        if store in self._since:
            return None
        self._since[store] = since
        clock = time.strftime("%H:%M:%S", time.gmtime(since))
        return f"{store} {how} since {clock} UTC: what needs it waits (--storage-wait)"
