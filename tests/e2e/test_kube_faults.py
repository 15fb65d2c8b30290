"""What breaks in a cluster, and what its user sees of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pods_run import COUNT, ROWS, SLOW, PodsRun
from pymr.kubernetes.kube import Kube
from real_cluster import kubectl, quota, storage_image, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Takes all that a pod has, at one line of the input.
GREEDY = SLOW.replace(
    "    threading.Event().wait(0.1)\n", "    if 'line050' in line: b'x' * (3 << 30)\n"
)
NOWHERE = "localhost:1/no-such-worker:1"


@pytest.fixture
def storage(pods: PodsRun) -> PodsRun:
    """Have the storage there, so that what is measured is the run alone."""
    pods.ended(pods.run("up", f"--minio-image={storage_image(pods.kube)}"))
    return pods


def test_f1_f109_a_worker_that_is_killed_costs_its_tasks_alone(pods: PodsRun) -> None:
    """Its Job makes another, which joins."""
    run = pods.start("--workers=2", worker=SLOW)
    pods.until_it_maps()

    kubectl(pods.kube, "delete", pods.pods("worker")[0], "--force", "--grace-period=0")
    pods.ended(run)

    assert pods.rows() == ROWS
    assert pods.cli.run("verify", "words").code == 0


def test_f107_a_worker_that_is_evicted_hands_back_what_it_holds(pods: PodsRun) -> None:
    """Told to end, it finishes or gives back; the run goes on with others."""
    run = pods.start("--workers=2", worker=SLOW, name="evicted")
    pods.until_it_maps("evicted")

    evict(pods, pods.pods("worker")[0])
    pods.ended(run)

    assert pods.rows("evicted") == ROWS


def evict(pods: PodsRun, pod: str) -> None:
    """Evict a pod, as a drain of its node does."""
    name = pod.rpartition("/")[2]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": pods.kube.namespace},
    }
    path = f"/api/v1/namespaces/{pods.kube.namespace}/pods/{name}/eviction"
    kubectl(pods.kube, "create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def test_f108_f122_a_master_that_is_evicted_is_followed_by_another(pods: PodsRun) -> None:
    """It goes on from the store, in the next epoch."""
    run = pods.start("--workers=1", worker=SLOW, name="moved")
    pods.until_it_maps("moved")

    evict(pods, pods.pods("master")[0])
    pods.ended(run)

    assert pods.rows("moved") == ROWS
    epochs = [each["epoch"] for each in pods.history("moved") if each["kind"] == "RunResumed"]
    assert epochs[-1] >= 2


def test_f57_a_master_that_is_killed_is_followed_by_another(pods: PodsRun) -> None:
    """Without a word, and without its workers noticing more than silence; nobody calls it an end."""
    run = pods.start("--workers=1", worker=SLOW, name="killed")
    pods.until_it_maps("killed")

    kubectl(pods.kube, "delete", pods.pods("master")[0], "--force", "--grace-period=0")
    attached = pods.run("attach", "killed")
    states = set()
    while run.is_alive:
        states.add(json.loads(pods.cli.run("status", "killed", "--json").stdout)["state"])
    pods.ended(run)
    said = pods.ended(attached)

    assert pods.rows("killed") == ROWS
    assert states <= {"running", "waiting", "done"}, "another master comes by itself"
    assert "killed: failed" not in said


def test_f120_storage_that_is_restarted_is_waited_for(pods: PodsRun) -> None:
    """By the pods, and by the port that leads there from here."""
    run = pods.start("--workers=1", worker=SLOW, name="restarted")
    pods.until_it_maps("restarted")

    kubectl(pods.kube, "delete", "pod", "minio-0", "--force", "--grace-period=0")
    pods.ended(run)

    assert pods.rows("restarted") == ROWS


def test_a_mapper_that_raises_is_called_again_here_and_its_run_goes_on_after_a_fix(
    pods: PodsRun,
) -> None:
    """With the record that it got in a pod, read through a port; what was finished is kept."""
    broken = COUNT.replace("    for", "    assert 'line077' not in line\n    for")
    run = pods.start("--workers=1", worker=broken, name="broken")

    said = pods.ended(run, "line077 even 0", "worker.py:4", code=1)
    raised = pods.cli.run("debug", "broken")
    pods.cli.write("worker.py", COUNT)
    mended = pods.cli.run("debug", "broken")
    pods.ended(pods.run("resume", "broken"))

    assert "assert 'line077' not in line" in said
    assert (raised.code, mended.code) == (1, 0), raised.stderr + mended.stderr
    assert "line077 even 0" in raised.stdout
    assert "AssertionError" in raised.stderr
    assert "pymr resume broken" in mended.stdout
    assert pods.rows("broken") == ROWS


def test_f12_a_mapper_over_its_memory_is_told_and_others_go_on(pods: PodsRun) -> None:
    """The task fails by its own limit, with how to give it more."""
    run = pods.start("--workers=1", worker=GREEDY, name="greedy")

    until("it does not end", lambda: not run.is_alive, 420.0)

    assert run.popen.returncode in (1, 6), run.said
    assert "memory" in run.said.lower()


def test_f111_an_image_that_does_not_exist_ends_the_run_within_a_minute(storage: PodsRun) -> None:
    """With its name, what the registry says, and what to type; not after hours."""
    began = time.monotonic()
    run = storage.start("--workers=1", f"--worker-image={NOWHERE}", name="nowhere")

    said = storage.ended(run, code=8)

    assert f"image `{NOWHERE}` cannot be had (`" in said
    hint = said.rpartition("hint: ")[2].split()
    assert hint[0] == "kubectl"
    assert "ErrImagePull" in kubectl(storage.kube, *hint[5:]), "its pods are gone; the hint is not"
    assert time.monotonic() - began < 60.0 + 30.0  # the latter to plan and upload


def test_f112_a_quota_that_lets_no_worker_start_ends_the_run(storage: PodsRun) -> None:
    """With its name, what is used and what is allowed."""
    with quota(storage.kube, "small", "requests.memory=1100Mi"):
        said = storage.ended(storage.start("--workers=1", name="quota"), code=8)

    assert "quota `small` does not allow it" in said
    assert "limited: requests.memory=1100Mi" in said
    assert "describe quota small" in said


def test_f112_some_workers_are_enough(storage: PodsRun) -> None:
    """Those that a quota keeps away are said, and the run goes on without them."""
    with quota(storage.kube, "small", "requests.memory=2200Mi"):
        said = storage.ended(storage.start("--workers=3", worker=SLOW, name="fewer"))

    assert "quota `small` does not allow it" in said
    assert "1 of 3 workers connected, going on" in said
    assert storage.rows("fewer") == ROWS


def test_f114_no_room_is_waited_for_as_long_as_is_asked(pods: PodsRun) -> None:
    """And said in the words of the scheduler."""
    began = time.monotonic()
    run = pods.start("--workers=1", "--memory=900G", "--schedule-timeout=8s", name="large")
    run.says("a master in namespace")
    asked = time.monotonic()

    why = "no node has room for it: 0/1 nodes are available: 1 Insufficient memory."
    pods.ended(run, why, code=8)

    ended = time.monotonic()
    assert ended - began > 8.0
    assert ended - asked < 40.0


def test_a_run_that_is_deleted_is_gone_in_half_a_minute(pods: PodsRun) -> None:
    """Its worker is at a task of minutes, for which there will be no master."""
    pods.ended(pods.start("--workers=1", "--detach", worker=SLOW.replace("0.1", "5"), name="gone"))
    began = ("AttemptStarted", "AttemptProgressed")
    until("no task begins", lambda: any(each["kind"] in began for each in pods.history("gone")))

    kubectl(pods.kube, "delete", "job", "-l", "pymr.dev/job=gone")

    until("a pod stays", lambda: pods.of_run("gone") == "", 60.0)


def test_f114_a_node_that_is_cordoned_has_no_room(pods: PodsRun) -> None:
    """Until somebody lets pods in again."""
    node = kubectl(pods.kube, "get", "nodes", "-o", "name").split()[0]
    pods.ended(pods.start("--workers=1", name="before"))
    kubectl(pods.kube, "cordon", node)
    try:
        run = pods.start("--workers=1", name="cordoned")
        run.says("no node has room for it")
    finally:
        kubectl(pods.kube, "uncordon", node)

    pods.ended(run)

    assert pods.rows("cordoned") == ROWS


def test_down_in_the_middle_is_refused_and_when_it_is_forced_the_run_goes_on_later(
    pods: PodsRun,
) -> None:
    """The storage is not taken away under a run unasked. Workers do not wait for another master."""
    run = pods.start("--workers=1", worker=SLOW.replace("0.1", "0.4"), name="used")
    pods.until_it_maps("used")

    refused = pods.cli.run("down", "--purge")
    began = time.monotonic()
    forced = pods.cli.run("down", "--force")

    assert refused.code == 8, refused.stderr
    assert forced.code == 0, forced.stderr
    assert time.monotonic() - began < 40.0
    assert "pymr resume used" in pods.ended(run, code=10)
    pods.ended(pods.run("up", f"--minio-image={storage_image(pods.kube)}"))
    pods.cli.write("worker.py", COUNT)  # The same job, in less time.
    pods.ended(pods.run("resume", "used"))
    assert pods.rows("used") == ROWS


def test_a_default_limit_of_cpu_below_what_a_worker_asks_for_keeps_no_run_away(
    storage: PodsRun,
) -> None:
    """Its pods name a limit of their own."""
    limits = [{"type": "Container", "default": {"cpu": "100m"}, "defaultRequest": {"cpu": "50m"}}]
    about = {"name": "small"}
    made = {"apiVersion": "v1", "kind": "LimitRange", "metadata": about, "spec": {"limits": limits}}
    kubectl(storage.kube, "apply", "-f", "-", stdin=json.dumps(made))
    try:
        storage.ended(storage.start("--workers=1", name="fits"))
    finally:
        kubectl(storage.kube, "delete", "limitrange", "small")

    assert storage.rows("fits") == ROWS


def test_f119_a_namespace_that_is_deleted_is_noticed(kube: Kube, tmp_path: Path) -> None:
    """The run is gone with all of its data, and it says so."""
    pods = PodsRun(kube, tmp_path)
    run = pods.start("--workers=1", worker=SLOW, name="gone")
    pods.until_it_maps("gone")

    kubectl(kube, "delete", "namespace", kube.namespace, "--wait=false")
    until("it does not end", lambda: not run.is_alive, 420.0)

    assert run.popen.returncode == 10, run.said
    assert "namespace" in run.said
