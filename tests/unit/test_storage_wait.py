"""Whether storage is ready, and why not: from what the cluster has of it, and says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube.models.apps_v1 import StatefulSetStatus
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
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Event, Pod

from k8s_samples import storage_objects
from pymr.kubernetes.news import Item
from pymr.kubernetes.refusal import Told
from pymr.kubernetes.storage_wait import CRASHES_S, StorageSight
from pymr.kubernetes.trouble import QUOTA_S, SOON_S

MADE = datetime(2026, 1, 1, tzinfo=UTC)
TOLD = Told("kind-lab", "analytics", "https://127.0.0.1:6443")
QUOTA = "create Pod minio-0 in StatefulSet minio failed error: exceeded quota: small"


def event(name: str, reason: str, message: str, **changes: Any) -> Event:
    """Return a warning about an object, a second after it was made."""
    told = {"type": "Warning", "lastTimestamp": MADE + timedelta(seconds=1), **changes}
    return Event(
        involvedObject=ObjectReference(name=name),
        metadata=ObjectMeta(name=f"{name}.{reason}"),
        reason=reason,
        message=message,
        **told,
    )


def pod(*conditions: PodCondition, **container: Any) -> Pod:
    """Return the storage's pod; `container`: the state of its container."""
    told = {"image": "m", "imageID": "", "name": "minio", "ready": False, "restartCount": 0}
    statuses = [ContainerStatus(**told, **container)] if container else []
    return Pod(
        metadata=ObjectMeta(name="minio-0", creationTimestamp=MADE),
        status=PodStatus(conditions=list(conditions), containerStatuses=statuses),
    )


READY = pod(PodCondition(type="Ready", status="True"))


def stateful_set(**changes: Any) -> StatefulSet:
    """Return the storage's workload, whose only pod is ready."""
    status = {
        "replicas": 1,
        "observedGeneration": 2,
        "readyReplicas": 1,
        "currentRevision": "a",
        "updateRevision": "a",
    }
    return StatefulSet(
        spec=storage_objects().stateful_set().spec,
        metadata=ObjectMeta(name="minio", generation=2, creationTimestamp=MADE),
        status=StatefulSetStatus(**{**status, **changes}),
    )


def seen(*objects: Any) -> StorageSight:
    """Return what is seen after these were told, at time 0."""
    sight = StorageSight(TOLD)
    for each in objects:
        sight.take(Item("ADDED", each), 0.0)
    return sight


def test_storage_is_ready_when_pod_and_workload_say_so() -> None:
    """In whatever order they are told."""
    assert seen(stateful_set(), READY).is_ready
    assert seen(READY, stateful_set()).is_ready
    assert seen(READY).is_ready is seen(stateful_set()).is_ready is False


@pytest.mark.parametrize(
    "change",
    [{"observedGeneration": 1}, {"updateRevision": "b"}, {"readyReplicas": 0}],
    ids=["not-seen", "not-replaced", "not-ready"],
)
def test_a_pod_that_is_about_to_be_replaced_is_not_waited_by(change: dict[str, Any]) -> None:
    """An upgrade has just been asked for."""
    assert not seen(READY, stateful_set(**change)).is_ready


def test_a_pod_that_goes_is_not_ready() -> None:
    """Though it still says so."""
    going = pod(PodCondition(type="Ready", status="True"))
    assert going.metadata is not None
    going.metadata.deletionTimestamp = MADE

    assert not seen(stateful_set(), going).is_ready


def test_a_pod_that_is_deleted_is_forgotten() -> None:
    """Another one will come."""
    sight = seen(stateful_set(), READY)

    sight.take(Item("DELETED", READY), 1.0)

    assert not sight.is_ready


def test_f112_a_quota_in_the_way_is_told_in_its_own_words_within_a_minute() -> None:
    """No pod is made at all."""
    sight = seen(stateful_set(readyReplicas=0), event("minio", "FailedCreate", QUOTA))

    assert sight.trouble is not None
    assert "exceeded quota: small" in sight.trouble.text
    assert (sight.is_hopeless(QUOTA_S - 1), sight.is_hopeless(QUOTA_S)) == (False, True)
    assert QUOTA_S < 60


def test_what_was_in_the_way_is_forgotten_when_the_pod_is_there() -> None:
    """Events are kept for an hour."""
    assert seen(stateful_set(), event("minio", "FailedCreate", QUOTA), pod()).trouble is None


def test_what_was_said_of_an_earlier_one_of_that_name_is_left_out() -> None:
    """Before `down`, for instance."""
    old = event("minio", "FailedCreate", QUOTA, lastTimestamp=MADE - timedelta(seconds=1))

    assert seen(stateful_set(readyReplicas=0), old).trouble is None


def test_f116_a_volume_that_cannot_be_made_is_told() -> None:
    """Whatever its provisioner says."""
    said = 'storageclass.storage.k8s.io "fast" not found'
    sight = seen(pod(), event("minio-pvc", "ProvisioningFailed", said))

    assert sight.trouble is not None
    assert sight.trouble.text == f"claim `minio-pvc` gets no volume: {said}"
    assert sight.is_hopeless(SOON_S)


def test_a_crash_is_not_waited_for_long() -> None:
    """Its last words are told; the time counts from the first."""
    ended = ContainerStateTerminated(exitCode=1, message="FATAL Unable to\n  use /data\n")
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
    sight = StorageSight(TOLD)
    for now in (0.0, CRASHES_S - 1):
        crashed = pod(state=waiting, lastState=ContainerState(terminated=ended))
        sight.take(Item("MODIFIED", crashed), now)

    assert sight.trouble is not None
    assert sight.trouble.text == "it ended with exit code 1: FATAL Unable to use /data"
    assert (sight.is_hopeless(CRASHES_S - 1), sight.is_hopeless(CRASHES_S)) == (False, True)


def test_a_pod_without_a_node_is_waited_for() -> None:
    """One may come; meanwhile the words of the scheduler are told."""
    said = "0/1 nodes are available: 1 Insufficient memory."
    sight = seen(pod(PodCondition(type="PodScheduled", status="False", message=said)))

    assert sight.trouble is not None
    assert said in sight.trouble.text
    assert not sight.is_hopeless(1e9)


def test_the_last_warning_about_the_pod_is_told_if_nothing_else_is_known() -> None:
    """A volume that is not attached, for instance. What is about others is not."""
    sight = seen(
        pod(),
        event("minio-0", "FailedMount", "first"),
        event("minio-0", "FailedAttachVolume", "Multi-Attach error"),
        event("other-0", "FailedMount", "not ours"),
        event("minio-0", "FailedMount", "all is well", type="Normal"),
    )

    assert sight.trouble is not None
    assert sight.trouble.text.endswith("Multi-Attach error")


def test_nothing_in_the_way_is_nothing_to_tell() -> None:
    """And not hopeless."""
    sight = seen(stateful_set(), pod())

    assert sight.trouble is None
    assert not sight.is_hopeless(1e9)
