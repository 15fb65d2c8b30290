"""Why storage is not ready, in words: from what the cluster has of its pod, and says of it."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.models.core_v1 import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ObjectReference,
    PodCondition,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod

from pymr.kubernetes.storage_trouble import Trouble, is_ready, trouble_of


def event(name: str, reason: str, message: str, kind: str = "Pod", sort: str = "Warning") -> Event:
    """Return an event about an object."""
    return Event(
        involvedObject=ObjectReference(kind=kind, name=name),
        metadata=ObjectMeta(name=f"{name}.1"),
        reason=reason,
        message=message,
        type=sort,
    )


def pod(*conditions: PodCondition, **container: Any) -> Pod:
    """Return the storage's pod; `container`: the state of its container."""
    told = {"image": "m", "imageID": "", "name": "minio", "ready": False, "restartCount": 0}
    statuses = [ContainerStatus(**told, **container)] if container else []
    return Pod(
        metadata=ObjectMeta(name="minio-0"),
        status=PodStatus(conditions=list(conditions), containerStatuses=statuses),
    )


def waiting(reason: str, message: str) -> ContainerState:
    """Return the state of a container that does not start."""
    return ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))


def test_f112_a_quota_in_the_way_is_told_in_its_own_words() -> None:
    """No pod is made at all; it is not waited for."""
    said = 'create Pod minio-0 in StatefulSet minio failed error: pods "minio-0" is forbidden:'
    said += " exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0"

    found = trouble_of(None, [event("minio", "FailedCreate", said, "StatefulSet")])

    assert found == Trouble(said, True, "statefulset/minio")


def test_a_quota_that_was_in_the_way_is_forgotten_when_the_pod_is_there() -> None:
    """Events are kept for an hour."""
    old = event("minio", "FailedCreate", "exceeded quota", "StatefulSet")

    assert trouble_of(pod(), [old]) is None


def test_f116_a_volume_that_cannot_be_made_is_told() -> None:
    """Whatever its provisioner says."""
    said = 'storageclass.storage.k8s.io "fast" not found'
    about = event("minio-pvc", "ProvisioningFailed", said, "PersistentVolumeClaim")

    found = trouble_of(pod(), [about])

    assert found == Trouble(said, True, "persistentvolumeclaim/minio-pvc")


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_is_not_there_is_not_waited_for(reason: str) -> None:
    """The words are those of the container runtime."""
    found = trouble_of(pod(state=waiting(reason, 'Back-off pulling "m"')), [])

    assert found == Trouble(f'{reason}: Back-off pulling "m"', True, "pod/minio-0")


def test_a_first_failed_pull_is_waited_for() -> None:
    """A registry may be busy."""
    assert trouble_of(pod(state=waiting("ErrImagePull", "timeout")), []) is None


def test_a_crash_is_told_with_the_last_words() -> None:
    """On one line."""
    ended = ContainerStateTerminated(exitCode=1, message="FATAL Unable to\n  use the drive /data\n")
    crashed = pod(
        state=waiting("CrashLoopBackOff", "back-off 10s"),
        lastState=ContainerState(terminated=ended),
    )

    found = trouble_of(crashed, [])

    assert found is not None
    assert found.text == "CrashLoopBackOff: exit code 1: FATAL Unable to use the drive /data"
    assert found.is_final


def test_a_pod_without_a_node_is_waited_for_with_what_the_scheduler_says() -> None:
    """A node may come."""
    said = "0/1 nodes are available: 1 Insufficient memory."
    condition = PodCondition(type="PodScheduled", status="False", message=said)

    assert trouble_of(pod(condition), []) == Trouble(said, False, "pod/minio-0")


def test_the_last_warning_about_the_pod_is_told_if_nothing_else_is_known() -> None:
    """A volume that is not attached, for instance. What is about others is not."""
    events = [
        event("minio-0", "FailedMount", "first"),
        event("minio-0", "FailedAttachVolume", "Multi-Attach error"),
        event("other-0", "FailedMount", "not ours"),
        event("minio-0", "Scheduled", "all is well", sort="Normal"),
    ]

    assert trouble_of(pod(), events) == Trouble("Multi-Attach error", False, "pod/minio-0")


@pytest.mark.parametrize(
    ("status", "deleted", "ready"),
    [("True", None, True), ("False", None, False), ("True", "now", False)],
)
def test_a_pod_is_ready_when_it_says_so_and_stays(
    status: str, deleted: Any, *, ready: bool
) -> None:
    """One that is about to go is not."""
    one = pod(PodCondition(type="Ready", status=status))
    assert one.metadata is not None
    one.metadata.deletionTimestamp = deleted

    assert is_ready(one) is ready
    assert is_ready(None) is False
