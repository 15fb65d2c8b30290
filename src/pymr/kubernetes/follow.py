"""Follows a run in pods to its end: its history in the store, and its pods in the cluster.

    history ──► view          what the master writes, a second late
    watch   ──► news          why a pod does not start; then the run may come to nothing

The run does not need whoever follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pymr.core.events import Entry, RunFinished
from pymr.errors import ClusterError, IncompleteError, TimeoutReachedError, from_dict
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.pod_logs import last_words
from pymr.kubernetes.watch import Watch
from pymr.observe.feed import read_entries
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.task.manifest import Manifest, read_manifest

LOOK_S: Final = 0.2  # between looks into the history
LATE_S: Final = 30.0  # for a master to end by itself when its time is up

Say = Callable[[str], None]


class Seen(Observer):
    """Passes entries on that were not seen yet: what this process has written comes back."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._last = 0

    def entry(self, entry: Entry) -> None:
        """Pass an entry on, once."""
        if entry.seq > self._last:
            self._last = entry.seq
            self._observer.entry(entry)

    def planned(self, plan: object, place: object) -> None:
        """Pass the plan on."""
        self._observer.planned(plan, place)  # type: ignore[arg-type]

    def tick(self, now: float) -> None:
        """Pass on that time has passed."""
        self._observer.tick(now)


def follow_run(
    kube: Kube, found: FoundRun, watch: Watch, seen: Seen, say: Say, *, timeout_s: float | None
) -> Manifest:
    """Show what happens until the run is done, and return the manifest of its output.

    Raises:
        PymrError: what the run ended with.
        ClusterError: it comes to nothing, as its pods do not start.
        TimeoutReachedError: `timeout_s` was reached and the master has not said so.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s + LATE_S
    has_ended = False

    def wait() -> bool:
        nonlocal has_ended
        if has_ended:
            return False
        for line in watch.look(LOOK_S):
            say(line)
        seen.tick(time.monotonic())
        if (error := watch.failure()) is not None:
            raise error
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutReachedError(
                f"run {found.name} was not done after {timeout_s:.0f} s",
                hint=f"pymr resume {found.name}",
            )
        has_ended = watch.sight.master_end() is not None  # Then there is one more look.
        return True

    last = None
    for entry in read_entries(found.place.follow_history(found.run, wait)):
        seen.entry(entry)
        last = entry.event
        if isinstance(last, RunFinished) and last.error is None:
            return read_manifest(found.place.objects)
        if isinstance(last, RunFinished) and last.error is not None and not _is_moved(last):
            raise from_dict(last.error)
    if watch.sight.master_end() is None:
        raise IncompleteError(f"run {found.name} has gone on without being followed")
    said = last_words(kube, found.run) or "it said nothing"
    raise ClusterError(
        f"the master of {found.name} ended without a result: {said}",
        hint=f"pymr logs {found.name}   or   pymr resume {found.name}",
    )


def _is_moved(finished: RunFinished) -> bool:
    """Say whether it was SIGTERM that ended a life of the run: another pod goes on with it."""
    error = finished.error or {}
    fields = error.get("fields", {})
    return fields.get("signal") == "SIGTERM" and not fields.get("is_cancelled")
