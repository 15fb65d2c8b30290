"""What ends: memory of a pod, room of the storage, the time of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pods_run import COUNT, ENDS_S, ROWS, SLOW, PodsRun
from pymr.kubernetes.kube import Kube
from real_cluster import storage_image, until
from small_volume import SmallVolume, small_volume

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MEBIBYTES = 64
# At one line a process of it takes all that its pod has; when the kernel has ended that, all others
# end, too. So it is with cgroups of version 2, whose kernel ends all of a container at once.
DEADLY = COUNT.replace(
    "import pymr\n",
    """\
import os, signal
import pymr

def take_all():
    if (child := os.fork()) == 0:
        b"x" * (512 << 20)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        os.kill(-1, signal.SIGKILL)
""",
).replace("    for word", "    if 'line050' in line: take_all()\n    for word")


def test_f13_a_task_that_ends_pods_for_their_memory_ends_the_run(pods: PodsRun) -> None:
    """The second pod is enough; both are named, with what gives more, and that is enough."""
    limits = ("--memory=384M", "--task-memory=2G")
    run = pods.start("--workers=1", *limits, worker=DEADLY, name="deadly")

    said = pods.ended(run, code=6)
    left = pods.left()
    pods.ended(pods.run("resume", "deadly", "--memory=2G"))

    assert "was lost with 2 pods that used more memory than the 384M that each has" in said
    assert said.count("`pymr-") >= 2
    assert "(`OOMKilled`)" in said
    assert "hint: pymr resume deadly --memory 768M" in said
    assert left == []
    assert pods.rows("deadly") == ROWS


def test_a_run_in_pods_ends_when_its_time_is_up(pods: PodsRun) -> None:
    """Exit 9; nothing is left in the cluster, and what was done is kept for a resume."""
    slower = SLOW.replace("wait(0.1)", "wait(0.2)")
    run = pods.start("--workers=1", "--timeout=20s", worker=slower, name="late")

    said = pods.ended(run, code=9)
    left = pods.left()
    pods.ended(pods.run("resume", "late", "--timeout=10m"))

    assert "pymr resume late" in said
    assert left == []
    assert pods.rows("late") == ROWS
    kept = [each for each in pods.history("late") if each["kind"] == "TaskKept"]
    assert kept, "what was done before was kept"


@pytest.fixture
def small(kube: Kube) -> Iterator[SmallVolume]:
    """Have the storage of a namespace of its own on a small volume."""
    with small_volume(kube, MEBIBYTES) as volume:
        yield volume


def goes_on(pods: PodsRun, name: str) -> bool:
    """Resume a run to its end, and say whether there was room: MinIO looks every second or so."""
    resumed = pods.run("resume", name)
    until("it does not end", lambda: not resumed.is_alive, ENDS_S)
    assert resumed.popen.returncode in (0, 6), resumed.said
    return resumed.popen.returncode == 0


def test_f115_a_volume_that_is_full_ends_the_run_until_there_is_room(
    kube: Kube, small: SmallVolume, tmp_path: Path
) -> None:
    """Exit 6 with the claim, its size and how full it is; what is finished is kept."""
    pods = PodsRun(kube, tmp_path)
    image = f"--minio-image={storage_image(kube)}"
    size = ("--volume", "1G", "--storage-class", small.storage_class)
    pods.ended(pods.run("up", image, *size))
    run = pods.start("--workers=1", worker=SLOW, name="full")
    pods.until_it_maps("full")

    small.fill()
    said = pods.ended(run, code=6)
    left = pods.left()
    small.make_room()
    until("it has room again", lambda: goes_on(pods, "full"))

    assert "the store has no room left" in said
    assert f"claim `minio-pvc` of namespace `{kube.namespace}` is full, 100 % of 64M: " in said
    assert "pymr resume full" in said
    assert left == []
    assert pods.rows("full") == ROWS
