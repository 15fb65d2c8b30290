"""Waits until the storage of a namespace takes requests, or says why it does not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import Item, News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.preflight import Say
from pymr.kubernetes.refusal import Told
from pymr.kubernetes.trouble import Trouble, event_trouble, pod_trouble
from pymr.text_form import show_text

POD: Final = f"{labels.STORAGE_NAME}-0"
STORAGE_READY_S: Final = 300.0  # an image to pull, a volume to make
CRASHES_S: Final = 30.0  # a storage that ends again and again is not waited for longer
STORAGE_TELL_S: Final = 30.0  # between two words about why it is not ready yet
STORAGE_LOOK_S: Final = 1.0
_OBJECTS: Final = (labels.STORAGE_NAME, POD, labels.STORAGE_CLAIM)


class StorageSight:
    """What is seen of the storage of a namespace. Pure: objects and the time go in."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._pod: Pod | None = None
        self._stateful_set: StatefulSet | None = None
        self._events: dict[str, Event] = {}
        self._trouble: tuple[Trouble, float] | None = None

    def take(self, item: Item, now: float) -> None:
        """Take note of what has happened."""
        one = None if item.what == "DELETED" else item.object
        match item.object:
            case StatefulSet():
                self._stateful_set = one
            case Pod():
                self._pod = one
            case Event(involvedObject=about, metadata=own) if about.name in _OBJECTS:
                self._events.pop(own.name or "", None)  # The newest are last.
                self._events[own.name or ""] = item.object
        found = storage_trouble(self._pod, self._since(), self._told)
        if found is None:
            self._trouble = None
        elif self._trouble is None or self._trouble[0].kind != found.kind:
            self._trouble = found, now
        else:
            self._trouble = found, self._trouble[1]

    @property
    def is_ready(self) -> bool:
        """Whether the pod takes requests, and is the one that is wanted now."""
        return is_ready(self._pod) and _is_current(self._stateful_set)

    @property
    def trouble(self) -> Trouble | None:
        """What is in the way."""
        return self._trouble[0] if self._trouble is not None else None

    def is_hopeless(self, now: float) -> bool:
        """Say whether what is in the way has been there for so long that it will not go."""
        if self._trouble is None:
            return False
        trouble, since = self._trouble
        is_crashing = trouble.kind in ("crash", "memory")
        return now - since >= (CRASHES_S if is_crashing else trouble.patience_s)

    def _since(self) -> list[Event]:
        """Return the events that are not older than what they are about: names come again."""
        newest = self._pod or self._stateful_set
        made = newest.metadata.creationTimestamp if newest is not None and newest.metadata else None
        if made is None:
            return []
        known = self._events.values()
        return [e for e in known if (e.lastTimestamp or e.eventTime or made) >= made]


def wait_ready(kube: Kube, ready_s: float, say: Say) -> None:
    """Return when the storage takes requests.

    Raises:
        ClusterError: not within `ready_s`, or what is in the way does not go by itself.
    """
    sight = StorageSight(kube.told)
    began = told_at = time.monotonic()
    with News(
        kube,
        Wanted(StatefulSet, fields={"metadata.name": labels.STORAGE_NAME}),
        Wanted(Pod, fields={"metadata.name": POD}),
        Wanted(Event),
    ) as news:
        while not sight.is_ready:
            item, now = news.next(STORAGE_LOOK_S), time.monotonic()
            if item is not None:
                sight.take(item, now)
            if now >= began + ready_s or sight.is_hopeless(now):
                raise _not_ready(kube, sight.trouble, now - began)
            if sight.trouble is not None and now >= told_at + STORAGE_TELL_S:
                told_at = now
                say(f"storage: waits: {show_text(sight.trouble.text)}")


def storage_trouble(pod: Pod | None, events: Iterable[Event], told: Told) -> Trouble | None:
    """Return why the storage is not ready; None: nothing is known. The newest events are last."""
    about_pod = []
    for event in reversed([each for each in events if each.type == "Warning"]):
        found, name = event_trouble(event, told), event.involvedObject.name
        if found is not None and name == POD:
            about_pod.append(found)
        elif found is not None and (pod is None or name != labels.STORAGE_NAME):
            return found  # Of the workload's no longer, once the pod is made.
    seen = pod_trouble(pod, told) if pod is not None else None
    return seen or next(iter(about_pod), None)


def is_ready(pod: Pod | None) -> bool:
    """Say whether the storage's pod takes requests."""
    if pod is None or pod.status is None or pod.metadata is None:
        return False
    if pod.metadata.deletionTimestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def _is_current(stateful_set: StatefulSet | None) -> bool:
    """Say whether the pod is the one that is wanted now, not one that is about to be replaced."""
    if stateful_set is None or stateful_set.status is None or stateful_set.metadata is None:
        return False
    status = stateful_set.status
    return (
        (status.observedGeneration or 0) >= (stateful_set.metadata.generation or 0)
        and status.currentRevision == status.updateRevision
        and status.readyReplicas == 1
    )


def _not_ready(kube: Kube, trouble: Trouble | None, waited_s: float) -> ClusterError:
    said = trouble.text if trouble is not None else "the cluster says nothing of it"
    describe = kube.told.kubectl(f"describe statefulset/{labels.STORAGE_NAME}")
    return ClusterError(
        f"the storage of namespace `{kube.namespace}` is not ready after {waited_s:.0f} s:"
        f" {show_text(said)}",
        hint=trouble.hint if trouble is not None else describe,
    )
