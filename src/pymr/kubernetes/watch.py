"""Watches the pods, Jobs and events of one run, and says what they come to.

A cluster that does not answer, or tells this user nothing, is no end of a run: it works without
us, and only we do not see it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, Self

from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Namespace, Pod

from pymr.errors import ClusterError, PymrError, UnreachableError
from pymr.kubernetes.kube import NOT_FOUND, Kube
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.sight import SAY_AFTER_S, SAY_AGAIN_S, Sight, deleted

AWAY_S: Final = 5.0  # that the API server may be away before it is said
NAMESPACE_LOOK_S: Final = 5.0  # between looks at a namespace, while no master runs that did
TAKEN_AT_ONCE_MAX: Final = 1_000  # news, before there is a look at what they come to


class Absence:
    """What is said while the API server is away: it is not missed, but by who looks. Pure."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said: float | None = None

    def news(self, away: UnreachableError | None, now: float) -> list[str]:
        """Return what there is to say: now and then that it is away, and that it is back."""
        if away is None:
            was_said, self._since, self._said = self._said, None, None
            return [] if was_said is None else ["the cluster answers again"]
        if self._since is None:
            self._since = now
        since, wait_s = (self._since, AWAY_S) if self._said is None else (self._said, SAY_AGAIN_S)
        if now - since < wait_s:
            return []
        self._said = now
        return [f"{away.message}; the run goes on, and is seen again when the cluster is"]


class Watch:
    """What is seen of a run, until it is closed. For one thread."""

    def __init__(
        self, kube: Kube, run: str, *, schedule_timeout_s: float, say_after_s: float = SAY_AFTER_S
    ) -> None:
        of_run = labels.run_selector(run)
        self.sight = Sight(
            run, kube.told, schedule_timeout_s=schedule_timeout_s, say_after_s=say_after_s
        )
        self._kube = kube
        self._ask_due = 0.0
        self._absence = Absence()
        self._news = News(kube, Wanted(Pod, of_run), Wanted(Job, of_run), Wanted(Event))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._news.close()

    def look(self, wait_s: float) -> list[str]:
        """Take note of what has happened, for `wait_s`, and return what there is to say."""
        until = time.monotonic() + wait_s
        said = []
        for _ in range(TAKEN_AT_ONCE_MAX):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            try:
                item = self._news.next(left_s)
            except ClusterError as error:  # One kind is not shown to this user; others are.
                said.append(f"{error.message}; the run goes on")
                continue
            if item is not None:
                self._take(item.what, item.object)
        with suppress(ValueError):
            time.sleep(until - time.monotonic())
        now = time.monotonic()
        return [*said, *self._absence.news(self._news.away, now), *self.sight.news(now)]

    def failure(self) -> PymrError | None:
        """Return why the run comes to nothing; None: it may yet."""
        now = time.monotonic()
        error = self.sight.failure(now)
        if error is None and self.sight.is_without_master and now >= self._ask_due:
            self._ask_due = now + NAMESPACE_LOOK_S
            if _is_ending(self._kube):
                return deleted(self._kube.told)
        return error

    def _take(self, what: str, thing: object) -> None:
        now = time.monotonic()
        match thing:
            case Pod():
                self.sight.take_pod(what, thing, now)
            case Job():
                self.sight.take_job(what, thing, now)
            case Event():
                self.sight.take_event(thing, now)


def _is_ending(kube: Kube) -> bool:
    """Say whether a namespace is about to be deleted. No event tells: none can be made there.

    It may take long, and its Jobs go last. Whoever may not look does not know.
    """
    try:
        with kube.asking(f"get namespace `{kube.namespace}`"):
            found = kube.client.get(Namespace, kube.namespace)
    except ClusterError as error:
        return error.fields.get("code") == NOT_FOUND
    return found.status is not None and found.status.phase == "Terminating"
