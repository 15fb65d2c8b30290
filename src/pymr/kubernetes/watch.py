"""Watches the pods, Jobs and events of one run, and says what they come to.

A cluster that does not answer, or tells this user nothing, is no end of a run: it works without
us, and only we do not see it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, Self

from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import ClusterError, PymrError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.sight import Sight

TAKEN_AT_ONCE_MAX: Final = 1_000  # news, before there is a look at what they come to


class Watch:
    """What is seen of a run, until it is closed. For one thread."""

    def __init__(self, kube: Kube, run: str, *, schedule_timeout_s: float) -> None:
        of_run = labels.run_selector(run)
        self.sight = Sight(run, kube.told, schedule_timeout_s=schedule_timeout_s)
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
        return [*said, *self.sight.news(time.monotonic())]

    def failure(self) -> PymrError | None:
        """Return why the run comes to nothing; None: it may yet."""
        return self.sight.failure(time.monotonic())

    def _take(self, what: str, thing: object) -> None:
        now = time.monotonic()
        match thing:
            case Pod():
                self.sight.take_pod(what, thing, now)
            case Job():
                self.sight.take_job(what, thing, now)
            case Event():
                self.sight.take_event(thing, now)
