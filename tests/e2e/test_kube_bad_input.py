"""What a command refuses that a cluster would have taken: nothing that carries a run's label is left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from image_tools import ImageTools
from pods_run import COUNT, SETTINGS, PodsRun
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.storage import StorageWish, ensure_storage
from real_cluster import storage_image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n"
FULL = "write /var/lib/docker/tmp/x: no space left on device\n"
ABSENT = "six==0.0.404"


@pytest.fixture(scope="module", autouse=True)
def storage(namespace: Kube) -> None:
    """Have the storage there, so that what is refused is the run alone."""
    ensure_storage(namespace, StorageWish(image=lambda: storage_image(namespace)), print)


def refused(
    pods: PodsRun, *parts: str, told: tuple[str, ...] = (), worker: str = COUNT, code: int = 8
) -> None:
    """Assert what is said of a run that comes to nothing, and is nowhere in the cluster."""
    pods.cli.write("worker.py", worker)
    start = ("start", "--on=kubernetes", *SETTINGS, "--workers=1", *told, "worker.py")
    pods.ended(pods.run(*start), *parts, code=code)
    assert pods.left() == []


@pytest.mark.parametrize(
    ("programs", "fails", "parts"),
    [
        ((), {}, ("neither docker nor podman nor buildah is on PATH", "apt install podman")),
        (("docker",), {"version": NO_DAEMON}, ("docker does not answer", "systemctl start")),
        (("docker",), {"build": FULL}, ("the disk of docker is full", "docker image prune")),
    ],
    ids=["builder", "daemon", "disk"],
)
def test_an_image_that_cannot_be_built_is_told(
    pods: PodsRun,
    tmp_path: Path,
    programs: tuple[str, ...],
    fails: dict[str, str],
    parts: tuple[str, ...],
) -> None:
    """With what is in the way of it, and the next command."""
    (tmp_path / "tools").mkdir()
    tools = ImageTools(tmp_path / "tools", *programs, "kind")
    for command, words in fails.items():
        tools.fail("docker", command, words)
    for program in ("kubectl", "sh", "env"):
        (tools.bin / program).symlink_to(str(shutil.which(program)))
    pods.cli.environ["PATH"] = str(tools.bin)

    pods.cli.write("packages.txt", "six==1.16.0\n")  # No image has it: one has to be built.

    refused(pods, *parts, told=("--requirements=packages.txt",))


def test_a_package_that_is_not_there_is_told(pods: PodsRun) -> None:
    """By this machine, if the worker file declares it; else by the build, with its name."""
    pods.cli.write("packages.txt", f"{ABSENT}\n")
    declares = f"# /// script\n# dependencies = ['{ABSENT}']\n# ///\n{COUNT}"

    built = (f"there is no package `{ABSENT}", f"pip index versions {ABSENT}")
    refused(pods, *built, told=("--requirements=packages.txt",))
    here = (f"not installed here: {ABSENT}", f"pip install {ABSENT}")
    refused(pods, *here, worker=declares, code=2)


def test_code_that_fails_in_pods_alone_is_told_with_its_line(pods: PodsRun) -> None:
    """It was loaded here, where the run was planned."""
    only = "import os\nif os.path.exists('/etc/pymr'):\n    raise RuntimeError('only in pods')\n"

    said = ("no worker can run the job: ", "RuntimeError: only in pods", "worker.py:3 in <module>")
    refused(pods, *said, told=("--name=pods",), worker=only + COUNT)


def test_an_input_that_is_larger_than_the_volume_is_refused(pods: PodsRun) -> None:
    """Before anything of it is sent, with what would do."""
    with (pods.cli.folder / "in.txt").open("wb") as large:
        large.truncate(4 << 40)  # No byte of it is on this disk.

    said = (
        "does not fit into the storage",
        "4.4 TB are to be uploaded",
        "pymr up --namespace NAME",
    )
    refused(pods, *said, "--volume 8275G", told=("--name=large",))

    assert "large" not in pods.cli.run("jobs").stdout


def test_an_output_without_a_run_is_told(pods: PodsRun) -> None:
    """It is looked for in the storage of the namespace."""
    nowhere = ("s3://map-reduce-bucket/outputs/nowhere", "--on=kubernetes")

    for command in ("head", "status", "attach", "cancel"):
        pods.ended(pods.run(command, *nowhere), "outputs/nowhere", code=4)
