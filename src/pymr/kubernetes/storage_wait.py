"""Waits until the storage of a namespace takes requests, or says why it never will."""

from __future__ import annotations

import time
from typing import Final

from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.preflight import Say
from pymr.kubernetes.storage_trouble import OBJECTS, POD, Trouble, is_ready, trouble_of
from pymr.text_form import show_text

READY_S: Final = 300.0  # an image to pull, a volume to make
TELL_S: Final = 30.0  # between two words about why it is not ready yet
LOOK_S: Final = 1.0


def wait_ready(kube: Kube, ready_s: float, say: Say) -> None:
    """Return when the storage takes requests.

    Raises:
        ClusterError: not within `ready_s`, or it is in a state that does not go by itself.
    """
    began = time.monotonic()
    told_at, trouble = began, None
    events: dict[str, Event] = {}
    with News(
        kube,
        Wanted(StatefulSet, fields={"metadata.name": labels.STORAGE_NAME}),
        Wanted(Pod, fields={"metadata.name": POD}),
        Wanted(Event),
    ) as news:
        stateful_set: StatefulSet | None = None
        pod: Pod | None = None
        while (now := time.monotonic()) < began + ready_s:
            item = news.next(LOOK_S)
            if item is None:
                if trouble is not None and now >= told_at + TELL_S:
                    told_at = now
                    say(f"storage: waits: {show_text(trouble.text)}")
                continue
            one = None if item.what == "DELETED" else item.object
            match item.object:
                case StatefulSet():
                    stateful_set = one
                case Pod():
                    pod = one
                case Event() if item.object.involvedObject.name in OBJECTS:
                    _note(events, item.object)
            if is_ready(pod) and _is_current(stateful_set):
                return
            trouble = trouble_of(pod, _since(pod, stateful_set, events))
            if trouble is not None and trouble.is_final:
                raise _not_ready(kube, trouble)
    raise _not_ready(kube, trouble, ready_s)


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


def _note(events: dict[str, Event], event: Event) -> None:
    """Keep the newest events last."""
    assert event.metadata.name is not None, "the cluster's objects have names"
    events.pop(event.metadata.name, None)
    events[event.metadata.name] = event


def _since(
    pod: Pod | None, stateful_set: StatefulSet | None, events: dict[str, Event]
) -> list[Event]:
    """Return the events that are not older than what they are about: names come again."""
    newest = pod or stateful_set
    made = newest.metadata.creationTimestamp if newest is not None and newest.metadata else None
    listed = list(events.values())
    if made is None:
        return []
    return [e for e in listed if (e.lastTimestamp or e.eventTime or made) >= made]


def _not_ready(kube: Kube, trouble: Trouble | None, waited_s: float | None = None) -> ClusterError:
    said = show_text(trouble.text) if trouble is not None else "the cluster says nothing of it"
    waited = f" after {waited_s:.0f} s" if waited_s is not None else ""
    about = trouble.about if trouble is not None else f"statefulset/{labels.STORAGE_NAME}"
    return ClusterError(
        f"the storage of namespace `{kube.namespace}` is not ready{waited}: {said}",
        hint=kube.told.kubectl(f"describe {about}"),
    )
