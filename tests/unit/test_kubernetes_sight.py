"""When a run on Kubernetes comes to nothing, and what is said until then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import IncompleteError, PymrError
from pymr.kubernetes.objects import labels
from pymr.kubernetes.refusal import Told
from pymr.kubernetes.sight import SAY_AFTER_S, Sight

RUN = "0192f0c0-0000-7000-8000-000000000001"
TOLD = Told("kind-x", "data", "https://127.0.0.1:6443")
NO_IMAGE = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
RUNNING: dict[str, Any] = {"running": {}}
NO_ROOM = {"type": "PodScheduled", "status": "False", "message": "1 Insufficient memory."}


def sight(schedule_timeout_s: float = 300.0) -> Sight:
    """Return the sight of a run of which nothing is seen yet."""
    return Sight(RUN, TOLD, schedule_timeout_s=schedule_timeout_s)


def pod(part: str, state: dict[str, Any] | None = None, name: str = "", **status: Any) -> Pod:
    """Return a pod of the run."""
    if state is not None:
        container = {"name": part, "image": f"pymr-{part}:ab", "imageID": ""}
        status["containerStatuses"] = [
            {**container, "ready": False, "restartCount": 0, "state": state}
        ]
    meta = {"name": name or f"{part}-0", "labels": labels.run_labels(RUN, "wc", part)}  # type: ignore[arg-type]
    return Pod.from_dict({"metadata": meta, "status": status})


def job(name: str, *, parallelism: int = 1, **status: Any) -> Job:
    """Return a Job of the run."""
    template: dict[str, Any] = {"spec": {"containers": []}}
    spec = {"parallelism": parallelism, "template": template}
    return Job.from_dict({"metadata": {"name": name}, "spec": spec, "status": status})


def quota(name: str) -> Event:
    """Return what is told of a Job whose pods a quota refuses."""
    words = 'Error creating: pods "x" is forbidden: exceeded quota: small, used: memory=0'
    return Event.from_dict(
        {
            "metadata": {},
            "reason": "FailedCreate",
            "message": words,
            "involvedObject": {"name": name},
        }
    )


def failed(seen: Sight, now: float) -> PymrError:
    """Assert that the run comes to nothing."""
    error = seen.failure(now)
    assert error is not None
    return error


def test_an_image_that_does_not_come_ends_the_run_within_a_minute() -> None:
    """It is waited for a little: a registry may be at its start."""
    seen = sight()
    seen.take_pod("ADDED", pod("worker", NO_IMAGE), now=0.0)

    assert seen.failure(5.0) is None

    error = failed(seen, 20.0)
    assert error.exit_code == 8
    assert error.message.startswith(
        "the worker (`worker-0`) does not start: image `pymr-worker:ab`"
    )
    assert error.hint == (
        "kubectl --context kind-x -n data get events --field-selector involvedObject.name=worker-0"
    )


def test_the_same_trouble_in_other_words_goes_on() -> None:
    """The kubelet says by turns that it cannot pull, and that it waits."""
    seen = sight()
    seen.take_pod("ADDED", pod("worker", NO_IMAGE), now=0.0)
    seen.take_pod("MODIFIED", pod("worker", {"waiting": {"reason": "ImagePullBackOff"}}), now=15.0)

    assert failed(seen, 20.0).fields["kind"] == "image"


def test_a_worker_that_ran_is_enough_to_go_on() -> None:
    """What keeps the others is said, and no more."""
    seen = sight()
    seen.take_pod("ADDED", pod("worker", RUNNING), now=0.0)
    seen.take_event(quota(labels.workers_name(RUN)), now=0.0)

    assert seen.failure(1000.0) is None
    assert "quota `small` does not allow it" in seen.news(5.0)[0]
    assert seen.workers_running == 1


def test_f112_a_quota_that_lets_no_worker_start_ends_the_run_within_a_minute() -> None:
    """Its name, and what is used of it."""
    seen = sight()
    seen.take_event(quota(labels.workers_name(RUN)), now=0.0)

    assert seen.failure(10.0) is None
    error = failed(seen, 60.0)
    assert "exceeded quota: small, used: memory=0" in error.message
    assert error.hint == "kubectl --context kind-x -n data describe quota small"


def test_a_quota_that_was_made_larger_is_forgotten() -> None:
    """As soon as the Job has its pods."""
    seen = sight()
    seen.take_event(quota(labels.workers_name(RUN)), now=0.0)
    seen.take_job("MODIFIED", job(labels.workers_name(RUN), active=1), now=1.0)

    assert seen.failure(1000.0) is None


def test_f114_the_want_of_room_is_waited_for_as_long_as_is_asked() -> None:
    """And said every 30 seconds: a cluster may be about to grow."""
    seen = sight(schedule_timeout_s=300.0)
    seen.take_pod("ADDED", pod("master", conditions=[NO_ROOM]), now=0.0)

    assert len(seen.news(5.0)) == 1
    assert seen.news(34.0) == []
    assert seen.news(35.0) == [
        "the master (`master-0`): no node has room for it: 1 Insufficient memory."
    ]
    assert seen.failure(299.0) is None
    assert "1 Insufficient memory." in failed(seen, 300.0).message


def test_many_workers_in_the_same_trouble_are_one_line() -> None:
    """One is named."""
    seen = sight()
    for index in range(50):
        seen.take_pod("ADDED", pod("worker", NO_IMAGE, f"worker-{index}"), now=float(index) / 10)

    assert len(seen.news(5.0)) == 1


def test_what_mends_itself_in_a_moment_is_not_said() -> None:
    """A pod before its Secret, or before another one has left its node."""
    seen = sight()
    seen.take_pod("ADDED", pod("worker", conditions=[NO_ROOM]), now=0.0)
    assert seen.news(4.0) == []
    seen.take_pod("MODIFIED", pod("worker", RUNNING), now=4.5)

    assert seen.news(60.0) == []


def test_what_is_asked_for_now_is_said_now() -> None:
    """`pymr status` looks once."""
    seen = Sight(RUN, TOLD, schedule_timeout_s=0.0, say_after_s=0.0)
    seen.take_pod("ADDED", pod("worker", conditions=[NO_ROOM]), now=0.0)

    assert len(seen.news(0.0)) == 1


def test_a_pod_that_is_gone_is_no_trouble_any_more() -> None:
    """Somebody has deleted it, and the Job makes another."""
    seen = sight()
    seen.take_pod("ADDED", pod("worker", NO_IMAGE), now=0.0)
    seen.take_pod("DELETED", pod("worker", NO_IMAGE), now=1.0)

    assert seen.failure(1000.0) is None
    assert seen.pods == []


def test_a_worker_that_was_killed_is_said_and_ends_nothing() -> None:
    """Its Job makes another, and its tasks go to others."""
    seen = sight()
    state = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    seen.take_pod("ADDED", pod("worker", state, phase="Failed"), now=0.0)

    assert seen.failure(1000.0) is None
    assert "`OOMKilled`" in seen.news(0.0)[0]


def test_the_end_of_the_masters_job_is_known() -> None:
    """By its condition."""
    seen = sight()
    name = labels.master_name(RUN)
    seen.take_job("ADDED", job(name, active=1), now=0.0)
    assert seen.master_end() is None

    seen.take_job("MODIFIED", job(name, conditions=[{"type": "Failed", "status": "True"}]), now=1.0)

    assert seen.master_end() == "Failed"


def test_pods_and_jobs_of_others_are_not_looked_at() -> None:
    """Several runs share a namespace."""
    seen = sight()
    other = Pod.from_dict({"metadata": {"name": "x"}, "status": {"phase": "Pending"}})
    seen.take_pod("ADDED", other, now=0.0)
    seen.take_event(quota("another-job"), now=0.0)
    seen.take_job("ADDED", job("another-job"), now=0.0)

    assert (seen.pods, seen.news(0.0), seen.failure(1e9)) == ([], [], None)


def test_f119_a_run_that_was_deleted_has_ended_in_a_moment() -> None:
    """With its namespace, for instance; one that was cancelled says so first."""
    seen = sight()
    name = labels.master_name(RUN)
    seen.take_job("ADDED", job(name, active=1), now=0.0)
    seen.take_job("DELETED", job(name), now=1.0)

    assert seen.failure(2.0) is None

    error = failed(seen, 6.0)
    assert isinstance(error, IncompleteError)
    assert error.exit_code == 10
    assert "its namespace `data`" in error.message
    assert error.hint is None, "that of a run is shown: how it goes on"


def test_a_master_that_was_told_to_end_is_none() -> None:
    """Then somebody looks whether its namespace is about to go."""
    seen = sight()
    assert not seen.is_without_master
    seen.take_pod("ADDED", pod("master", RUNNING), now=0.0)
    assert not seen.is_without_master

    leaving = pod("master", RUNNING)
    assert leaving.metadata is not None
    leaving.metadata.deletionTimestamp = datetime.now(UTC)
    seen.take_pod("MODIFIED", leaving, now=1.0)

    assert seen.is_without_master


def not_mounted(at: str) -> Event:
    """Return what is told of a Secret that cannot be mounted."""
    return Event.from_dict(
        {
            "metadata": {},
            "reason": "FailedMount",
            "message": 'MountVolume.SetUp failed for volume "secrets": secret "s" not found',
            "involvedObject": {"name": "worker-0"},
            "lastTimestamp": at,
        }
    )


def test_f118_a_secret_that_is_gone_is_said_of_a_pod_that_runs() -> None:
    """It goes on with what it has; what was in its way before it ran is past."""
    seen = sight()
    seen.take_pod(
        "ADDED", pod("worker", {"running": {"startedAt": "2026-09-21T14:00:00Z"}}), now=0.0
    )

    seen.take_event(not_mounted("2026-09-21T13:59:59Z"), now=1.0)
    assert seen.news(1.0 + SAY_AFTER_S) == []

    seen.take_event(not_mounted("2026-09-21T14:05:00Z"), now=20.0)
    said = seen.news(20.0 + SAY_AFTER_S)
    assert len(said) == 1
    assert "it goes on with the files that it has: a volume cannot be mounted" in said[0]
    assert 'secret "s" not found' in said[0]
    assert seen.failure(1_000.0) is None


def test_f115_what_the_last_master_ended_with_is_known() -> None:
    """A store that takes nothing has no word of it; a sidecar's end is not the master's."""
    seen = sight()
    assert seen.last_master() is None

    seen.take_pod("ADDED", ended_master("a", 10, "2026-09-21T14:00:00Z"), now=0.0)
    seen.take_pod("ADDED", ended_master("b", 6, "2026-09-21T14:05:00Z"), now=0.0)
    seen.take_pod("ADDED", pod("master", RUNNING, "c"), now=0.0)
    seen.take_pod("ADDED", pod("worker", RUNNING, "d"), now=0.0)

    last = seen.last_master()
    assert last is not None
    assert last.exitCode == 6


def ended_master(name: str, code: int, at: str) -> Pod:
    """Return a pod of a master that has ended."""
    return pod("master", {"terminated": {"exitCode": code, "finishedAt": at}}, name)
