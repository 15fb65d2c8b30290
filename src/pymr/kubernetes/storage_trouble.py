"""Why the storage of a namespace is not ready, in words. Pure: objects in, a reason out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from lightkube.resources.core_v1 import Event, Pod

from pymr.kubernetes.objects.labels import STORAGE_CLAIM, STORAGE_NAME

POD: Final = f"{STORAGE_NAME}-0"
OBJECTS: Final = (STORAGE_NAME, POD, STORAGE_CLAIM)
# Reasons of a container that waits, and of events, that do not go by themselves.
_FINAL_WAITS: Final = frozenset(
    {
        *("ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"),
        *("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError"),
    }
)
_FINAL_EVENTS: Final = frozenset({"FailedCreate", "ProvisioningFailed"})


class Trouble(NamedTuple):
    """A reason; `is_final`: it is not worth waiting any longer."""

    text: str
    is_final: bool
    about: str  # the object that knows more: `pod/minio-0`


def trouble_of(pod: Pod | None, events: Iterable[Event]) -> Trouble | None:
    """Return why the pod is not ready; None: nothing is known. Events are in their order."""
    warnings = {
        (event.involvedObject.name, event.reason): event
        for event in events
        if event.type == "Warning" and event.involvedObject.name in OBJECTS
    }
    for (name, reason), event in reversed(warnings.items()):
        is_about_pod = name == POD
        if reason in _FINAL_EVENTS and (pod is None or name != STORAGE_NAME) and not is_about_pod:
            kind = (event.involvedObject.kind or "").lower()
            return Trouble(_words(event.message), True, f"{kind}/{name}")
    if pod is None or pod.status is None:
        return None
    about = f"pod/{POD}"
    for status in pod.status.containerStatuses or ():
        waiting = status.state.waiting if status.state is not None else None
        if waiting is not None and waiting.reason in _FINAL_WAITS:
            return Trouble(
                f"{waiting.reason}: {_last_words(status) or waiting.message}", True, about
            )
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return Trouble(_words(condition.message), False, about)
    told = [event for (name, _), event in warnings.items() if name == POD]
    return Trouble(_words(told[-1].message), False, about) if told else None


def is_ready(pod: Pod | None) -> bool:
    """Say whether the storage's pod takes requests."""
    if pod is None or pod.status is None or pod.metadata is None:
        return False
    if pod.metadata.deletionTimestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def _last_words(status: Any) -> str | None:
    """Return what a container said before it ended the last time."""
    ended = status.lastState.terminated if status.lastState is not None else None
    if ended is None:
        return None
    said = _words(ended.message)
    return f"exit code {ended.exitCode}{f': {said}' if said else ''}"


def _words(text: str | None) -> str:
    return " ".join((text or "").split())
