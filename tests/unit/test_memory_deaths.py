"""Which task it is that ends pods for want of memory."""

from __future__ import annotations

from typing import Any

from lightkube.resources.core_v1 import Pod

from pymr.core.spec import Attempt
from pymr.errors import TaskMemoryError
from pymr.kubernetes.memory_deaths import MemoryDeaths
from pymr.kubernetes.objects import labels

RUN = "0192f0c0-0000-7000-8000-000000000001"
HOST = "pymr-run-workers-0"
ENDED = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def pod(
    name: str, at: str = "2026-09-21T14:13:20Z", *, container: str = "worker", **end: Any
) -> Pod:
    """Return a pod whose container has ended."""
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at, **end}
    status = {
        "name": container,
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    limits = {"resources": {"limits": {"memory": "512Mi"}}}
    return Pod.from_dict(
        {
            "metadata": {"name": name, "labels": labels.run_labels(RUN, "wc", "worker")},
            "spec": {"hostname": HOST, "containers": [{"name": container, **limits}]},
            "status": {"containerStatuses": [status]},
        }
    )


def deaths(*pods: Pod, lost: tuple[tuple[int, str, float], ...]) -> TaskMemoryError | None:
    """Return what comes of pods, and of map tasks that were lost with their workers."""
    seen = MemoryDeaths()
    for each in pods:
        seen.take_pod(each)
        seen.take_pod(each)  # A watch tells some twice.
    for number, (task, worker, at) in enumerate(lost, 1):
        seen.take_lost(Attempt("map", task, number), worker, at)
    return seen.failure()


TWO = (pod("a"), pod("b", "2026-09-21T14:14:20Z"))


def test_f13_a_task_with_which_two_pods_ended_is_the_reason() -> None:
    """They are named, and so is how to give more."""
    error = deaths(*TWO, lost=((3, f"{HOST}-x", ENDED + 15), (3, f"{HOST}-y", ENDED + 75)))

    assert error is not None
    assert error.exit_code == 6
    assert error.message == (
        "map-0003 was lost with 2 pods that used more memory than the 512M that each has, and were"
        " killed (`OOMKilled`): `a`, `b`"
    )
    assert error.hint == "pymr resume wc --memory 1G   gives each worker more"


def test_f13_one_pod_may_have_been_ended_by_any_of_its_tasks() -> None:
    """However many of them it ran, and however late that is told."""
    both = ((3, f"{HOST}-x", ENDED + 15), (4, f"{HOST}-x", ENDED + 15))

    assert deaths(pod("a"), lost=both) is None
    assert deaths(*TWO, lost=(*both, (5, f"{HOST}-y", ENDED + 75))) is None


def test_f13_what_ended_otherwise_is_not_counted() -> None:
    """A worker of the same host that was lost at another time, another reason, a sidecar."""
    twice = ((3, f"{HOST}-x", ENDED + 15), (3, f"{HOST}-y", ENDED + 75))

    assert deaths(*TWO, lost=((3, f"{HOST}-x", ENDED + 15), (3, f"{HOST}-y", ENDED + 900))) is None
    assert deaths(*TWO, lost=((3, "other-0-x", ENDED + 15), (3, "other-0-y", ENDED + 75))) is None
    assert deaths(pod("a"), pod("b", reason="Error"), lost=twice) is None
    sidecars = [pod(name, container="mesh") for name in ("a", "b")]
    assert deaths(*sidecars, lost=twice) is None
