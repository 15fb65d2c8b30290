"""Puts what was printed into a store, in a thread of its own: nobody waits for prints.

A store that does not answer costs logs, and nothing else. What does not fit in the queue is left
out; what is in it at the end of a run is waited for, but not long.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

from pymr.errors import PymrError
from pymr.store.base import ObjectStore

LOG_UPLOADS_MAX = 32  # logs that wait, at most 2 MiB each
LOG_UPLOADS_WAIT_S = 10.0  # for those that are not there yet when the run has ended


class LogUploads:
    """The logs of one process's work on a run that are on their way into `objects`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(LOG_UPLOADS_MAX)
        self._thread: threading.Thread | None = None

    def put(self, key: str, body: bytes) -> bool:
        """Take a log; return whether there was room for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._upload, name="log-uploads", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((key, body))
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Wait until all are there, or LOG_UPLOADS_WAIT_S. May be called twice."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=LOG_UPLOADS_WAIT_S)
            self._thread.join(LOG_UPLOADS_WAIT_S)
            self._thread = None

    def _upload(self) -> None:
        while (log := self._waiting.get()) is not None:
            with suppress(PymrError):  # They are for people, and never data.
                self._objects.replace(*log)
