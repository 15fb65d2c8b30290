"""Follows a run in pods to its end: its history in the store, and its pods in the cluster.

    history ──► view          what the master writes, a second late
    watch   ──► news          why a pod does not start; then the run may come to nothing

The run does not need whoever follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from pymr.core.events import Entry, RunFinished
from pymr.errors import (
    ClusterError,
    IncompleteError,
    PymrError,
    StoreUnavailableError,
    TimeoutReachedError,
)
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.pod_logs import last_words
from pymr.kubernetes.watch import Watch
from pymr.observe.feed import read_entries
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.runner.plan import Plan
from pymr.store.access import Access
from pymr.store.place import Place, open_place

LOOK_S: Final = 0.2  # between looks into the history
PATIENCE_S: Final = 5.0  # with a store, before there is another look at the pods
FORGET_S: Final = 60.0  # without an outage, and the next one is a new one
LATE_S: Final = 30.0  # for a master to end by itself when its time is up

Say = Callable[[str], None]


class Seen(Observer):
    """Passes entries on that are new: what this process has written comes back, and is not."""

    def __init__(self, observer: Observer, last: int = 0) -> None:
        """`last` is the number of the last entry that is not new."""
        self._observer = observer
        self._last = last

    def planned(self, plan: Plan, place: Place) -> None:
        """Pass the plan on."""
        self._observer.planned(plan, place)

    def entry(self, entry: Entry) -> None:
        """Pass an entry on."""
        self.take(entry)

    def tick(self, now: float) -> None:
        """Pass on that time has passed."""
        self._observer.tick(now)

    def take(self, entry: Entry) -> bool:
        """Pass an entry on if it is new; return whether it is."""
        if entry.seq <= self._last:
            return False
        self._last = entry.seq
        self._observer.entry(entry)
        return True


class Waiting:
    """Waits between looks into the history of a run, as `follow_history` asks for."""

    def __init__(
        self,
        watch: Watch,
        tick: Callable[[float], None],
        say: Say,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """`timeout_s` is how long the run may take from now on."""
        self._watch = watch
        self._tick = tick
        self._say = say
        self._timeout_s = timeout_s
        self._began = time.monotonic()
        self._is_over = False

    def __call__(self) -> bool:
        """Wait, and return whether more may come after the next look.

        Raises:
            ClusterError: the run comes to nothing, as its pods do not start.
            TimeoutReachedError: its time was over some time ago, and the master has not said so.
        """
        for line in self._watch.look(LOOK_S):
            self._say(line)
        now = time.monotonic()
        self._tick(now)
        if (error := self._watch.failure()) is not None:
            raise error
        late_s = now - self._began - LATE_S
        if self._timeout_s is not None and late_s >= self._timeout_s:
            raise TimeoutReachedError(f"the run was not done after {self._timeout_s:.0f} s")
        was_over, self._is_over = self._is_over, self._watch.sight.master_end() is not None
        return not was_over  # One look more, after the master has ended.


def entries(found: FoundRun, access: Access, wait: Callable[[], bool]) -> Iterator[Entry]:
    """Yield what happened in a run and what happens, each once, until its end.

    A store that is out of reach is waited for as long as `access` says; meanwhile `wait` looks on.

    Raises:
        StoreError: it is out of reach for longer, or refuses.
        PymrError: as `wait`.
    """
    quick = msgspec.structs.replace(access, storage_wait_s=PATIENCE_S)
    place = open_place(found.output, quick)
    last = 0
    lost: list[float] = []  # when the store did not answer, of late
    while True:
        try:
            for entry in read_entries(place.follow_history(found.run, wait)):
                if entry.seq > last:
                    last = entry.seq
                    yield entry
        except StoreUnavailableError:
            now = time.monotonic()
            lost = [*lost, now] if lost and now - lost[-1] < FORGET_S else [now]
            if now - lost[0] >= access.storage_wait_s:
                raise
        else:
            return


def follow_run(
    kube: Kube, found: FoundRun, watch: Watch, seen: Seen, told: Iterator[Entry]
) -> RunFinished:
    """Show what happens until the run has ended, and return how.

    `told` is what `entries` yields.

    Raises:
        ClusterError: it comes to nothing.
        IncompleteError: it is not at work, or was deleted.
        StoreError: nobody sees how it goes; it may go on.
    """
    for entry in told:
        is_end = seen.take(entry) and isinstance(entry.event, RunFinished)
        if is_end and isinstance(entry.event, RunFinished) and not is_moved(entry.event):
            return entry.event
    raise end_without_words(kube, found, watch)


def end_without_words(kube: Kube, found: FoundRun, watch: Watch) -> PymrError:
    """Return what it means that a run has no end in its history."""
    if watch.sight.master_end() is None:
        return IncompleteError(f"run {found.name} is not at work", hint=f"pymr resume {found.name}")
    said = last_words(kube, found.run) or "it said nothing"
    return ClusterError(
        f"the master of {found.name} ended without a result: {said}",
        hint=f"pymr logs {found.name}   or   pymr resume {found.name}",
    )


def is_moved(finished: RunFinished) -> bool:
    """Say whether it was SIGTERM that ended a life of the run: another pod goes on with it."""
    fields = (finished.error or {}).get("fields", {})
    return fields.get("signal") == "SIGTERM" and not fields.get("is_cancelled")
