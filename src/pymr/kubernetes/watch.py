"""Watches the pods, Jobs and events of a run, each from a thread of its own.

The API server tells what changes; nothing is asked twice. A watch that is refused or breaks is
begun anew for as long as the run lasts: it works without us (F117), and only we do not see it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.sight import Sight

WATCH_S: Final = 60  # the API server ends a watch after that, and it is begun anew
AGAIN_S: Final = 2.0  # between two tries, when it does not answer
GONE_S: Final = 30.0  # without an answer, before it is said


class Watch:
    """What is seen of a run, from `__enter__` to `__exit__`. Threads may ask it."""

    def __init__(self, kube: Kube, run: str, *, schedule_timeout_s: float) -> None:
        self._kube = kube
        self._lock = threading.Lock()
        self._sight = Sight(run, kube.told, schedule_timeout_s=schedule_timeout_s)
        self._is_over = threading.Event()
        self._lost: dict[str, tuple[float, ClusterError]] = {}  # since when, by kind
        of_run = labels.run_selector(run)
        self._begin("pods", Pod, of_run, self._sight.take_pod)
        self._begin("jobs", Job, of_run, self._sight.take_job)
        self._begin("events", Event, None, lambda _, event, now: self._sight.take_event(event, now))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def news(self) -> list[str]:
        """Return what there is to say now."""
        now = time.monotonic()
        with self._lock:
            gone = [
                f"{error.message}; the run goes on, and is not seen"
                for since, error in self._lost.values()
                if now - since >= GONE_S
            ]
            return [*self._sight.news(now), *dict.fromkeys(gone)]

    def failure(self) -> ClusterError | None:
        """Return why the run comes to nothing; None: it may yet."""
        with self._lock:
            return self._sight.failure(time.monotonic())

    def master_end(self) -> str | None:
        """Return how the master's Job has ended: `Complete` or `Failed`; None: it has not."""
        with self._lock:
            return self._sight.master_end()

    def standing(self) -> tuple[bool, int]:
        """Return whether a master has run, and how many workers run."""
        with self._lock:
            return self._sight.has_master_run, self._sight.workers_running

    def _begin(
        self,
        name: str,
        kind: type[Any],
        of_run: dict[str, str] | None,
        take: Callable[[str, Any, float], None],
    ) -> None:
        def read() -> None:
            while not self._is_over.is_set():
                try:
                    for change, thing in self._kube.watch(kind, of_run, timeout_s=WATCH_S):
                        if self._is_over.is_set():
                            return
                        with self._lock:
                            self._lost.pop(name, None)
                            take(change, thing, time.monotonic())
                except ClusterError as error:
                    with self._lock:
                        self._lost.setdefault(name, (time.monotonic(), error))
                with suppress(RuntimeError):
                    self._is_over.wait(AGAIN_S)

        threading.Thread(target=read, name=f"pymr-watch-{name}", daemon=True).start()
