"""Why a pod does not run: from what the cluster says of it to words, and the next command.

Pure: objects as the API server has them go in, a `Trouble` or nothing comes out. What a registry, a
scheduler or a policy says is for people, and is repeated as it is.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal, NamedTuple

from lightkube.models.core_v1 import (
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from pymr.core.events import Entry, RunFinished
from pymr.kubernetes.memory_deaths import OOM_KILLED
from pymr.kubernetes.objects.run import TOLD_TO_END
from pymr.kubernetes.refusal import Told
from pymr.observe.feed import read_entries
from pymr.text_form import show_text

Kind = Literal[
    "image", "quota", "policy", "room", "volume", "secret", "start", "memory", "evicted", "crash"
]
WORDS_CHARS_MAX: Final = 600  # characters of what others say
LAST_WORDS_CHARS_MAX: Final = 400  # of what a container has said at its end
AT_ONCE: Final = 0.0
SOON_S: Final = 20.0  # a registry that is restarted, a Secret that is about to be made
QUOTA_S: Final = 30.0  # other pods may be about to end
# "room" lasts as long as `--schedule-timeout` says: a cluster may be about to grow.
NEVER: Final = math.inf


class Trouble(NamedTuple):
    """What is in the way. After `patience_s` it will not go by itself."""

    kind: Kind
    text: str
    hint: str
    patience_s: float


# What the kubelet calls a container that waits, and how long that may mend itself.
_IMAGE: Final = {
    "ErrImagePull": SOON_S,
    "ImagePullBackOff": SOON_S,
    "RegistryUnavailable": SOON_S,
    "ErrImageNeverPull": AT_ONCE,
    "InvalidImageName": AT_ONCE,
    "ImageInspectError": SOON_S,
}
_SECRET: Final = {"CreateContainerConfigError": SOON_S}
_START: Final = {
    "CreateContainerError": SOON_S,
    "RunContainerError": SOON_S,
    "ContainerCannotRun": AT_ONCE,
    "StartError": AT_ONCE,
}
_QUOTA_NAME: Final = re.compile(r"exceeded quota: ([^,\s]+)")
# A default limit of CPU below what is asked for is told as a broken pod.
_LIMIT_RANGE: Final = ("per Container is", "per Pod is", "less than or equal to cpu limit")
_PREFIX: Final = re.compile(r'^Error creating: (?:pods "[^"]*" is forbidden: )?')


def pod_trouble(pod: Pod, told: Told) -> Trouble | None:
    """Return what is in the way of a pod, or what has ended it."""
    name = _name(pod)
    status = pod.status
    if status is None:
        return None
    if status.reason == "Evicted":
        text = f"the node has evicted it: {_words(status.message)}"
        return Trouble("evicted", text, _events_of(name, told), NEVER)
    for container in status.containerStatuses or []:
        if (found := _container_trouble(container, name, told)) is not None:
            return found
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return _unscheduled(_words(condition.message), told)
    return None


def _events_of(name: str, told: Told) -> str:
    """Return the command that shows what was told of a pod: it works when the pod is gone, too."""
    return told.kubectl(f"get events --field-selector involvedObject.name={name}")


def _container_trouble(container: ContainerStatus, name: str, told: Told) -> Trouble | None:
    state, last = container.state, container.lastState
    ended = state.terminated if state is not None else None
    if state is not None and state.waiting is not None:
        found = _waiting_trouble(container.image, state.waiting, _events_of(name, told))
        if found is not None:
            return found
        ended = last.terminated if last is not None else None
    if ended is None or ended.exitCode in (0, *TOLD_TO_END):
        return None
    return _end_trouble(container.image, ended, name, told)


def _waiting_trouble(image: str, waiting: ContainerStateWaiting, hint: str) -> Trouble | None:
    reason, words = waiting.reason or "", _words(waiting.message)
    if reason in _IMAGE:
        text = f"image `{image}` cannot be had (`{reason}`): {words}"
        return Trouble("image", text, hint, _IMAGE[reason])
    if reason in _SECRET:
        text = f"its configuration is not there: {words}"
        return Trouble("secret", text, hint, _SECRET[reason])
    if reason in _START:
        return _not_started(image, words, hint, _START[reason])
    return None


def _end_trouble(image: str, ended: ContainerStateTerminated, name: str, told: Told) -> Trouble:
    if ended.reason in _START:
        words = _words(ended.message)
        return _not_started(image, words, _events_of(name, told), _START[ended.reason])
    if ended.reason == OOM_KILLED:
        text = f"it used more memory than it has, and was killed (`{OOM_KILLED}`)"
        return Trouble("memory", text, "--memory 4G   gives each worker more", NEVER)
    return Trouble("crash", end_text(ended), told.kubectl(f"logs {name}"), NEVER)


def end_text(ended: ContainerStateTerminated) -> str:
    """Return how a container has ended, in words: its own, or what it has printed last."""
    entry, said = last_entry(ended), (ended.message or "")[-LAST_WORDS_CHARS_MAX:]
    if entry is not None and isinstance(entry.event, RunFinished) and entry.event.error:
        said = str(entry.event.error.get("message"))[:LAST_WORDS_CHARS_MAX]
    return f"it ended with exit code {ended.exitCode}" + (f": {_words(said)}" if said else "")


def last_entry(ended: ContainerStateTerminated) -> Entry | None:
    """Return the end of a run or a worker that its program has left for the cluster to know.

    None: it left none. What it printed last stands there then.
    """
    told = (ended.message or "").encode(errors="replace")
    entry = next(read_entries([told]), None)
    return entry if entry is not None and isinstance(entry.event, RunFinished) else None


def _not_started(image: str, words: str, hint: str, patience_s: float) -> Trouble:
    if "exec format error" in words:
        text = f"image `{image}` is made for another kind of machine than the node: {words}"
        return Trouble("start", text, "--platform   of the builder, as the nodes have it", AT_ONCE)
    return Trouble("start", f"its container cannot start: {words}", hint, patience_s)


def _unscheduled(words: str, told: Told) -> Trouble:
    if "persistentvolumeclaim" in words or "unbound" in words:
        return Trouble(
            "volume", f"its volume is not there: {words}", told.kubectl("get pvc"), NEVER
        )
    hint = f"{told.kubectl('describe nodes', namespaced=False)}   or less --memory"
    return Trouble("room", f"no node has room for it: {words}", hint, NEVER)


def event_trouble(event: Event, told: Told) -> Trouble | None:
    """Return what an event says to be in the way: of a Job's pods, a volume, a claim."""
    words = _PREFIX.sub("", _words(event.message))
    match event.reason:
        case "FailedCreate":
            return _not_created(words, told)
        case "FailedMount" | "FailedAttachVolume":
            hint = told.kubectl("get events --sort-by=.lastTimestamp")
            return Trouble("volume", f"a volume cannot be mounted: {words}", hint, NEVER)
        case "FailedBinding" | "ProvisioningFailed":
            name = event.involvedObject.name
            hint = told.kubectl(f"describe pvc {name}")
            return Trouble("volume", f"claim `{name}` gets no volume: {words}", hint, SOON_S)
        case _:
            return None


def while_running(trouble: Trouble) -> Trouble | None:
    """Return what a trouble is to a pod that runs: a Secret that is gone, for instance."""
    if trouble.kind != "volume":
        return None
    return trouble._replace(text=f"it goes on with the files that it has: {trouble.text}")


def _not_created(words: str, told: Told) -> Trouble:
    if (quota := _QUOTA_NAME.search(words)) is not None:
        hint = told.kubectl(f"describe quota {quota[1]}")
        text = f"the namespace's quota `{quota[1]}` does not allow it: {words}"
        return Trouble("quota", text, hint, QUOTA_S)
    if "violates PodSecurity" in words or "admission webhook" in words:
        hint = f"kubectl --context {told.context} describe namespace {told.namespace}"
        return Trouble(
            "policy", f"a policy of the cluster does not allow it: {words}", hint, SOON_S
        )
    if any(part in words for part in _LIMIT_RANGE):
        hint = told.kubectl("describe limitrange")
        return Trouble("quota", f"a limit range does not allow it: {words}", hint, AT_ONCE)
    return Trouble("policy", f"it cannot be made: {words}", told.kubectl("get events"), QUOTA_S)


def is_running(pod: Pod) -> bool:
    """Say whether the program of a pod runs."""
    states = [each.state for each in _statuses(pod)]
    return bool(states) and all(state is not None and state.running is not None for state in states)


def is_later(event: Event, pod: Pod) -> bool:
    """Say whether an event is of a time when the program of a pod ran already."""
    at = event.lastTimestamp or event.eventTime
    began = [state.running.startedAt for each in _statuses(pod) if (state := each.state).running]
    return at is not None and all(each is not None and each < at for each in began)


def has_ended(pod: Pod) -> bool:
    """Say whether a pod has come to its end, one or the other."""
    return pod.status is not None and pod.status.phase in ("Succeeded", "Failed")


def exit_of(pod: Pod, container: str) -> ContainerStateTerminated | None:
    """Return how a container of a pod has ended; None: it has not. Others may be beside it."""
    states = [each.state for each in _statuses(pod) if each.name == container]
    return next((state.terminated for state in states if state is not None), None)


def end_of(job: Job | None) -> str | None:
    """Return how a Job has ended: `Complete` or `Failed`; None: it has not."""
    status = job.status if job is not None else None
    for condition in (status.conditions if status is not None else None) or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True":
            return condition.type
    return None


def _statuses(pod: Pod) -> list[Any]:
    return list(pod.status.containerStatuses or []) if pod.status is not None else []


def _name(pod: Pod) -> str:
    assert pod.metadata is not None, "the cluster's objects have metadata"
    return str(pod.metadata.name)


def _words(text: str | None) -> str:
    one_line = " ".join((text or "").split())
    return show_text(one_line)[:WORDS_CHARS_MAX] or "the cluster says nothing more"
