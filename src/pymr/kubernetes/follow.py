"""Follows a run in pods to its end: its history in the store, and its pods in the cluster.

    history ──► view          what the master writes, a second late
    watch   ──► news          why a pod does not start; then the run may come to nothing
            ──► its end       of a master that could not put it into the store

The run does not need whoever follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from pymr.cluster.ending import is_end, is_moved
from pymr.core.events import AttemptLost, Entry, RunFinished
from pymr.errors import (
    ClusterError,
    IncompleteError,
    StoreUnavailableError,
    TimeoutReachedError,
)
from pymr.kubernetes.trouble import end_text, last_entry
from pymr.kubernetes.watch import Watch
from pymr.observe.feed import read_entries
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.runner.plan import Plan
from pymr.store.access import Access
from pymr.store.place import Place, open_place

HISTORY_LOOK_S: Final = 0.2  # between looks into the history
PATIENCE_S: Final = 5.0  # with a store, before there is another look at the pods
OUTAGE_FORGET_S: Final = 60.0  # without an outage, and the next one is a new one
MASTER_LATE_S: Final = 30.0  # for a master to end by itself when its time is up

Say = Callable[[str], None]


class Seen(Observer):
    """Passes entries on that are new: what this process has written comes back, and is not."""

    def __init__(self, observer: Observer, last: int = 0) -> None:
        """`last` is the number of the last entry that is not new."""
        self._observer = observer
        self.last = last

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
        if entry.seq <= self.last:
            return False
        self.last = entry.seq
        if not is_moved(entry):
            self._observer.entry(entry)  # The end of a life is none of the run.
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
        self._has_ended = False  # by the last entry

    def take(self, entry: Entry) -> None:
        """Take note of what the master says, as far as it belongs to what the cluster does."""
        self._has_ended = is_end(entry)
        if isinstance(entry.event, AttemptLost):
            lost = entry.event
            self._watch.sight.deaths.take_lost(lost.attempt, lost.worker, entry.time)

    def last_entry(self) -> Entry | None:
        """Return the end of the run as its master has told the cluster; None: it has not."""
        sight = self._watch.sight
        ended = sight.last_master()
        if ended is None or sight.master_end() is None:
            return None
        entry = last_entry(ended)
        return None if entry is None or not is_end(entry) else entry

    def __call__(self) -> bool:
        """Wait, and return whether more may come after the next look.

        Raises:
            ResourceError: a task ends one pod after the other, as it takes too much memory.
            ClusterError: the run comes to nothing, as its pods do not start.
            IncompleteError: it was deleted, and its history says no end.
            TimeoutReachedError: its time was over some time ago, and the master has not said so.
        """
        for line in self._watch.look(HISTORY_LOOK_S):
            self._say(line)
        now = time.monotonic()
        self._tick(now)
        error = self._watch.failure()
        is_deleted = isinstance(error, IncompleteError)  # Maybe as it was over.
        if error is not None and not is_deleted:
            raise error
        late_s = now - self._began - MASTER_LATE_S
        if self._timeout_s is not None and late_s >= self._timeout_s:
            raise TimeoutReachedError(f"the run was not done after {self._timeout_s:.0f} s")
        is_over = is_deleted or self._watch.sight.master_end() is not None
        was_over, self._is_over = self._is_over, is_over
        if error is not None and was_over and not self._has_ended:
            raise error
        return not was_over  # One look more, after the master has ended.


def entries(found: FoundRun, access: Access, wait: Waiting, *, after: int = 0) -> Iterator[Entry]:
    """Yield what happened in a run after an entry, and what happens, each once, until its end.

    An end that its master could not put into the store, which may be full, comes from the cluster.
    A store that is out of reach is waited for as long as `access` says; meanwhile `wait` looks on.

    Raises:
        StoreError: it is out of reach for longer, or refuses.
        PymrError: as `wait`.
    """
    quick = msgspec.structs.replace(access, storage_wait_s=PATIENCE_S)
    place = open_place(found.output, quick)
    last, has_ended = after, False
    lost: list[float] = []  # when the store did not answer, of late
    while True:
        try:
            for entry in read_entries(place.follow_history(found.run, wait)):
                if entry.seq > last:
                    last, has_ended = entry.seq, is_end(entry)
                    wait.take(entry)
                    yield entry
        except StoreUnavailableError:
            now = time.monotonic()
            lost = [*lost, now] if lost and now - lost[-1] < OUTAGE_FORGET_S else [now]
            if now - lost[0] >= access.storage_wait_s:
                raise
        else:
            break
    if not has_ended and (end := wait.last_entry()) is not None:
        yield msgspec.structs.replace(end, seq=last + 1)


def follow_run(found: FoundRun, watch: Watch, seen: Seen, told: Iterator[Entry]) -> RunFinished:
    """Show what happens until the run has ended, and return how.

    `told` is what `entries` yields.

    Raises:
        ClusterError: it comes to nothing.
        IncompleteError: it is not at work, or was deleted.
        StoreError: nobody sees how it goes; it may go on.
    """
    for entry in told:
        if seen.take(entry) and isinstance(entry.event, RunFinished) and is_end(entry):
            return entry.event
    if watch.sight.master_end() is None:
        raise IncompleteError(f"run {found.name} is not at work", hint=f"pymr resume {found.name}")
    ended = watch.sight.last_master()
    raise ClusterError(
        f"the master of {found.name} ended without a result:"
        f" {'it is gone' if ended is None else end_text(ended)}",
        hint=f"pymr logs {found.name}   or   pymr resume {found.name}",
    )
