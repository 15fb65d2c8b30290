"""Why a pod does not run, from what the cluster says of it."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import WorkerFileError
from pymr.kubernetes.refusal import Told
from pymr.kubernetes.trouble import Trouble, event_trouble, has_ended, is_running, pod_trouble
from pymr.observe.feed import last_word

TOLD = Told("kind-x", "data", "https://127.0.0.1:6443")


def pod(state: dict[str, Any] | None = None, **status: Any) -> Pod:
    """Return a pod whose container is in a state."""
    if state is not None:
        container = {"name": "worker", "image": "pymr-worker:ab", "imageID": ""}
        status["containerStatuses"] = [
            {**container, "ready": False, "restartCount": 0, "state": state}
        ]
    return Pod.from_dict({"metadata": {"name": "w-0"}, "status": status})


def event(reason: str, message: str, name: str = "workers") -> Event:
    """Return an event."""
    return Event.from_dict(
        {"metadata": {}, "reason": reason, "message": message, "involvedObject": {"name": name}}
    )


def troubled(found: Trouble | None) -> Trouble:
    """Assert that there is a trouble."""
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "patience_s"),
    [("ErrImagePull", 20.0), ("ImagePullBackOff", 20.0), ("ErrImageNeverPull", 0.0)],
)
def test_an_image_that_is_not_there_is_named_with_what_the_registry_says(
    reason: str, patience_s: float
) -> None:
    """What is only pulled may come; what is never pulled does not."""
    waiting = {"reason": reason, "message": 'failed to pull "pymr-worker:ab": not found'}

    found = troubled(pod_trouble(pod({"waiting": waiting}), TOLD))

    assert found.kind == "image"
    assert f"`pymr-worker:ab` cannot be had (`{reason}`): failed to pull" in found.text
    assert found.hint == (  # Good when the pod has been removed, too.
        "kubectl --context kind-x -n data get events --field-selector involvedObject.name=w-0"
    )
    assert found.patience_s == patience_s


def test_a_scheduler_without_room_is_told_in_its_words() -> None:
    """It says which resource is short, and on how many nodes."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }

    found = troubled(pod_trouble(pod(conditions=[condition]), TOLD))

    assert found.kind == "room"
    assert found.text == (
        "no node has room for it: 0/1 nodes are available: 1 Insufficient memory."
    )
    assert found.hint == "kubectl --context kind-x describe nodes   or less --memory"


def test_a_limit_range_below_what_is_asked_for_is_named() -> None:
    """The API server calls the pod invalid, and does not say why it has a limit."""
    words = (
        'Error creating: Pod "w" is invalid: spec.containers[0].resources.requests: Invalid value:'
        ' "500m": must be less than or equal to cpu limit of 100m'
    )

    found = troubled(event_trouble(event("FailedCreate", words), TOLD))

    assert found.kind == "quota"
    assert found.hint == "kubectl --context kind-x -n data describe limitrange"
    assert found.patience_s == 0.0, "no time mends it"


def test_a_volume_that_is_pending_is_no_want_of_room() -> None:
    """The scheduler says both in one condition."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    }

    found = troubled(pod_trouble(pod(conditions=[condition]), TOLD))

    assert found.kind == "volume"


def test_a_pod_that_was_killed_for_memory_says_how_to_give_it_more() -> None:
    """By the kernel, at its limit."""
    state = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}

    found = troubled(pod_trouble(pod(state, phase="Failed"), TOLD))

    assert (found.kind, found.hint) == ("memory", "--memory 4G   gives each worker more")


def test_an_image_of_another_kind_of_machine_is_told_at_once() -> None:
    """No time mends it."""
    state = {
        "terminated": {
            "reason": "StartError",
            "exitCode": 128,
            "message": "exec /usr/bin/pymr: exec format error",
        }
    }

    found = troubled(pod_trouble(pod(state), TOLD))

    assert "is made for another kind of machine than the node" in found.text
    assert found.patience_s == 0.0


def test_a_crash_is_told_with_its_last_words() -> None:
    """As the program has left them for the cluster, of a limited length."""
    said = last_word(WorkerFileError("no such\nfile" + "x" * 5000), 0.0).decode()
    assert len(said) < 4096
    state = {"terminated": {"reason": "Error", "exitCode": 2, "message": said}}

    found = troubled(pod_trouble(pod(state), TOLD))

    assert found.text.startswith("it ended with exit code 2: no such filexxx")
    assert found.hint == "kubectl --context kind-x -n data logs w-0"


@pytest.mark.parametrize("last", ["end", '{"kind":"RunFinished"}', '{"v":1,"seq":1,"time":0'])
def test_a_program_that_left_no_words_is_told_with_what_it_printed(last: str) -> None:
    """Its end, which is what a kubelet has then: Python's own error, for instance."""
    state = {"terminated": {"reason": "Error", "exitCode": 2, "message": "y" * 500 + last}}

    text = troubled(pod_trouble(pod(state), TOLD)).text

    assert text.endswith(f"y{last}")
    assert len(text) < 450


@pytest.mark.parametrize(
    "fine",
    [
        pod(),
        pod({"running": {}}),
        pod({"waiting": {"reason": "ContainerCreating"}}),
        pod({"terminated": {"reason": "Completed", "exitCode": 0}}),
        pod({"terminated": {"reason": "Error", "exitCode": 143}}),
        Pod.from_dict({"metadata": {"name": "w-0"}}),
    ],
)
def test_a_pod_that_is_well_or_about_to_be_is_no_trouble(fine: Pod) -> None:
    """Nothing is said of it."""
    assert pod_trouble(fine, TOLD) is None


def test_a_node_that_evicts_says_why() -> None:
    """Its disk, for instance."""
    found = troubled(pod_trouble(pod(reason="Evicted", message="low on disk"), TOLD))

    assert found.text == "the node has evicted it: low on disk"


def test_a_quota_is_named_with_used_and_limit() -> None:
    """As the API server tells the Job's controller."""
    words = (
        'Error creating: pods "w-1-x" is forbidden: exceeded quota: small, requested: memory=1Gi,'
        " used: memory=0, limited: memory=512Mi"
    )

    found = troubled(event_trouble(event("FailedCreate", words), TOLD))

    assert found.kind == "quota"
    assert found.text == (
        "the namespace's quota `small` does not allow it: exceeded quota: small, requested:"
        " memory=1Gi, used: memory=0, limited: memory=512Mi"
    )
    assert found.hint == "kubectl --context kind-x -n data describe quota small"
    assert found.patience_s <= 60.0


def test_a_policy_is_told_in_its_own_words() -> None:
    """The admission's text, verbatim."""
    words = 'pods "w" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'

    found = troubled(event_trouble(event("FailedCreate", f"Error creating: {words}"), TOLD))

    assert found.kind == "policy"
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot' in found.text


def test_a_claim_without_a_class_is_told() -> None:
    """Nobody makes a volume for it."""
    words = "no persistent volumes available for this claim and no storage class is set"

    found = troubled(event_trouble(event("FailedBinding", words, "minio-pvc"), TOLD))

    assert found.text == f"claim `minio-pvc` gets no volume: {words}"


def test_other_events_are_no_trouble() -> None:
    """Most tell that things go well."""
    assert event_trouble(event("Pulled", "image is there"), TOLD) is None


def test_what_others_say_is_one_line_that_can_be_printed() -> None:
    """A registry may answer with a page, and with bytes for a terminal."""
    waiting = {"reason": "ErrImagePull", "message": "a\n  b\x1b[31m" + "x" * 5000}

    text = troubled(pod_trouble(pod({"waiting": waiting}), TOLD)).text

    assert text.isprintable()
    assert len(text) < 800


def test_a_pod_runs_when_all_its_containers_do() -> None:
    """And has ended by its phase."""
    assert is_running(pod({"running": {}}))
    assert not is_running(pod())
    assert not is_running(pod({"waiting": {"reason": "ContainerCreating"}}))
    assert has_ended(pod(phase="Failed"))
    assert not has_ended(pod(phase="Running"))
