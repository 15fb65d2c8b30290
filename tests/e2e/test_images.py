"""Images on a real cluster: built, brought to the nodes, run by hardened pods; once."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from pymr.kubernetes.images.builder import BUILDERS, find_builder
from pymr.kubernetes.images.context import master_context
from pymr.kubernetes.images.ensure import ImageRequest, ensure_images
from pymr.kubernetes.images.nodes import read_nodes
from pymr.kubernetes.images.packages import Packages
from pymr.kubernetes.images.reference import full_name
from pymr.kubernetes.images.wheel import own_architecture
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.pod import Needs, Program, hardened_template
from real_cluster import cannot_run, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
MiB = 1 << 20
NEEDS = Needs(cpu_milli=50, memory_bytes=128 * MiB, disk_bytes=MiB, disk_bytes_max=64 * MiB)
# Podman and Buildah count archives, with a head and padding for each file; Docker counts files.
ABOVE_BASE_BYTES_MAX = {"docker": 60 * 10**6, "podman": 61 * 10**6, "buildah": 61 * 10**6}
LOCAL_REGISTRY = "localhost:5000"


def output_of(kube: Kube, name: str, image: str, *command: str) -> str:
    """Run a command in a hardened pod, and return what it prints."""
    program = Program(
        name="main", image=image, command=command, needs=NEEDS, environment={}, ports={}
    )
    template = hardened_template(program, {"app.kubernetes.io/managed-by": "pymr"}, restart="Never")
    kube.create(Pod(metadata=ObjectMeta(name=name), spec=template.spec))

    def phase() -> str | None:
        pod = kube.get(Pod, name)
        assert pod is not None
        seen = pod.status.phase if pod.status else None
        return seen if seen in {"Succeeded", "Failed"} else None

    ended = until(f"pod {name} has not ended", phase)
    text = "".join(kube.client.log(name, namespace=kube.namespace))
    assert ended == "Succeeded", text
    return text


def test_images_are_built_and_loaded_once_and_run_in_hardened_pods(kube: Kube) -> None:
    """The second time nothing is done: nodes have what is wanted, so no tool is called."""
    images = ensure_images(kube, ImageRequest(), print)
    until("the nodes list it", lambda: read_nodes(kube).all_have(images.worker))
    said: list[str] = []

    again = ensure_images(kube, ImageRequest(builder="podman"), said.append)

    assert again == images
    assert said == []
    assert re.fullmatch(r"pymr-master:[0-9a-f]{16}", images.master)
    assert "CPython" in output_of(kube, "master", images.master, "pymr", "version")
    assert "Usage" in output_of(kube, "worker", images.worker, "pymr", "worker", "--help")


def test_declared_packages_are_there(kube: Kube) -> None:
    """Beside those of PyMR, compiled, and with their own dependencies."""
    request = ImageRequest(packages=Packages(("six>=1.16", "pymr"), pinned=False))

    worker = ensure_images(kube, request, print).worker

    code = "import os, six, pymr; print(six.__file__, os.path.exists(six.__cached__))"
    assert output_of(kube, "six", worker, "python", "-c", code).split() == [
        "/opt/worker/packages/six.py",
        "True",
    ]


def test_a_registry_takes_images_and_gives_them_by_digest(kube: Kube) -> None:
    """What was pushed is what pods pull."""
    registry = os.environ.get("PYMR_TEST_REGISTRY", LOCAL_REGISTRY)
    host, _, port = registry.partition("/")[0].partition(":")
    try:
        socket.create_connection((host, int(port or 443)), timeout=5).close()
    except OSError as error:
        cannot_run(f"no registry at {registry}: {error}   PYMR_TEST_REGISTRY names another")

    images = ensure_images(kube, ImageRequest(registry=registry), print)

    assert re.fullmatch(rf"{registry}/pymr-master@sha256:[0-9a-f]{{64}}", images.master)
    assert "CPython" in output_of(kube, "pulled", images.master, "pymr", "version")
    assert ensure_images(kube, ImageRequest(registry=registry), print) == images


@pytest.fixture(scope="module")
def images_of_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give Podman and Buildah a store of images of their own, which goes when they are done."""
    folder = tmp_path_factory.mktemp("containers")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
    )
    yield {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
    shutil.rmtree(folder)


def lend_base(name: str, base: str) -> None:
    """Have Podman and Buildah know a base image that Docker has: it may be nowhere to be pulled."""
    if find_builder(name).id_of(base) is not None or find_builder("docker").id_of(base) is None:
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        subprocess.run(["docker", "save", "--output", archive.name, base], check=True)
        pulled = subprocess.check_output([name, "pull", "-q", f"docker-archive:{archive.name}"])
    subprocess.run([name, "tag", pulled.decode().strip(), full_name(base)], check=True)


@pytest.mark.parametrize("name", BUILDERS)
def test_each_builder_that_is_here_builds_a_small_image(
    name: str, images_of_others: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At most 60 MB above its base, as Docker counts; what it saves, nodes find under its own name."""
    for program in (name, "docker"):
        if shutil.which(program) is None:
            cannot_run(f"{program} is not here")
    if name != "docker":
        monkeypatch.setenv("CONTAINERS_STORAGE_CONF", images_of_others["CONTAINERS_STORAGE_CONF"])
    builder, context = find_builder(name), master_context(own_architecture())
    lend_base(name, context.base or "")

    builder.build(context, print)
    builder.tag(context.image, f"pymr-master:by-{name}")
    builder.save(f"pymr-master:by-{name}", str(tmp_path / "image.tar"))

    size, base = builder.size_of(context.image), builder.size_of(context.base or "")
    if size is not None and base is not None:
        assert size - base <= ABOVE_BASE_BYTES_MAX[name]
    subprocess.run(["docker", "load", "--quiet", "-i", tmp_path / "image.tar"], check=True)
    (tmp_path / "image.tar").unlink()
    run = ["docker", "run", "--rm", f"pymr-master:by-{name}", "version"]
    assert "CPython" in subprocess.check_output(run, text=True)
    subprocess.run(["docker", "rmi", f"pymr-master:by-{name}"], check=True)


def test_images_are_built_by_hand_in_a_clean_checkout(tmp_path: Path) -> None:
    """The lines of the guide, without a wheel that was built before."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    builder = find_builder(None).program

    for role, more in (("master", ()), ("worker", ("WORKER_FILE=examples/wordcount/worker.py",))):
        told = [word for each in more for word in ("--build-arg", each)]
        command = [
            builder,
            "build",
            "-f",
            f"Dockerfile.{role}",
            *told,
            "-t",
            f"mr-{role}:test",
            ".",
        ]
        subprocess.run(command, cwd=clone, check=True)
        run = [builder, "run", "--rm", f"mr-{role}:test"]
        assert "CPython" in subprocess.check_output([*run, "version"], text=True)

    run = [builder, "run", "--rm", "--entrypoint", "ls", "mr-worker:test", "/opt/worker"]
    assert subprocess.check_output(run, text=True).split() == ["packages", "worker.py"]
