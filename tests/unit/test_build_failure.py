"""What stops an image from being built is said in words, with the next command."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_tools import ImageTools
from pymr.errors import ClusterError
from pymr.kubernetes.images.builder import find_builder
from pymr.kubernetes.images.context import master_context
from pymr.kubernetes.images.load import Loader


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageTools:
    """Nothing but these programs is on PATH."""
    made = ImageTools(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    return made


NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?\n"


def test_a_machine_without_builders_is_told() -> None:
    """Which there are, and what does without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/no/such/folder")
        with pytest.raises(ClusterError) as caught:
            find_builder(None)

    assert caught.value.exit_code == 8
    assert caught.value.message == (
        "images cannot be built: neither docker nor podman nor buildah is on PATH"
    )
    assert caught.value.hint == (
        "sudo apt install podman   or   --master-image NAME --worker-image NAME"
    )


def test_a_builder_that_is_not_there_is_told(tools: ImageTools) -> None:
    """Another one is not taken silently."""
    tools.add("docker")

    with pytest.raises(ClusterError, match="`podman` is not on PATH"):
        find_builder("podman")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (NO_DAEMON, "sudo systemctl start docker   or   --builder podman"),
        (
            "permission denied while trying to connect to the docker API\n",
            "sudo usermod -aG docker $USER   and log in again   or   --builder podman",
        ),
    ],
)
def test_a_builder_without_a_daemon_is_told(tools: ImageTools, words: str, hint: str) -> None:
    """In its own words; the command that mends it comes next, or the builder that works."""
    for name in ("docker", "podman"):
        tools.add(name)
    tools.fail("docker", "version", words)

    with pytest.raises(ClusterError) as caught:
        find_builder(None)

    assert caught.value.message == f"docker does not answer:\n{words.strip()}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("words", "cause", "hint"),
    [
        (
            "write /opt/pymr/x: no space left on device",
            "the disk of docker is full",
            "docker image prune",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement no-such (from versions:"
            " none)\nERROR: No matching distribution found for no-such",
            "there is no package `no-such` for it",
            "pip index versions no-such",
        ),
        (
            "ERROR: Cannot install protobuf<6 because these package versions have conflicting"
            " dependencies.",
            "its packages do not go with those of PyMR, or with each other",
            "other versions in the worker file, or in --requirements",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a package is not what its hash says, or has none",
            "uv pip compile --generate-hashes FILE   makes the requirements anew",
        ),
        (
            "NewConnectionError: Temporary failure in name resolution\n"
            "ERROR: No matching distribution found for click",
            "it does not reach the network",
            "docker run --rm docker.io/library/python:3.13-slim-trixie true   or   --worker-image NAME",
        ),
        (
            "Error response from daemon: manifest unknown",
            "what it is based on cannot be had",
            "docker pull docker.io/library/python:3.13-slim-trixie",
        ),
        ("Killed", "the build failed", "pymr build --verbose"),
    ],
)
def test_a_build_that_fails_says_why(tools: ImageTools, words: str, cause: str, hint: str) -> None:
    """With the last lines of the builder; nothing is left in the temporary folder."""
    tools.add("docker")
    tools.fail("docker", "build", "Step 1/9\n\x1b[31m" + words + "\n")
    context = master_context("amd64")

    with pytest.raises(ClusterError) as caught:
        find_builder(None).build(context, lambda _line: None)

    first, _, rest = caught.value.message.partition("\n")
    assert first == f"the image `{context.image}` cannot be built: {cause}"
    assert words.splitlines()[-1] in rest
    assert "\x1b" not in rest
    assert caught.value.hint == hint
    assert caught.value.exit_code == 8


def test_a_full_disk_here_is_told(tools: ImageTools, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the context have no room."""
    tools.add("docker")
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")

    with pytest.raises(ClusterError, match="the files of the image cannot be written"):
        find_builder(None).build(master_context("amd64"), lambda _line: None)


def test_a_loader_that_fails_is_told(tools: ImageTools) -> None:
    """With its own words, and the command to repeat."""
    for name in ("docker", "kind"):
        tools.add(name)
    tools.fail("kind", "load", 'ERROR: no nodes found for cluster "c"\n')

    with pytest.raises(ClusterError) as caught:
        Loader("kind", "c").load(find_builder(None), "pymr-master:1")

    assert caught.value.message == (
        "cannot load `pymr-master:1` into kind cluster `c`: ended with exit code 1\n"
        'ERROR: no nodes found for cluster "c"'
    )
    assert (caught.value.hint or "").endswith("kind load docker-image pymr-master:1 --name c")


def test_a_loader_that_is_not_there_is_told(tools: ImageTools) -> None:
    """Before anything is saved."""
    tools.add("podman")

    with pytest.raises(ClusterError, match="`minikube` is not on PATH"):
        Loader("minikube", "m").load(find_builder(None), "pymr-master:1")

    assert tools.calls("save") == []


def test_a_registry_that_refuses_is_told(tools: ImageTools) -> None:
    """The next command is the login."""
    tools.add("docker")
    tools.fail("docker", "push", "unauthorized: authentication required\n")

    with pytest.raises(ClusterError) as caught:
        Loader("registry", "reg.example.org/t").load(find_builder(None), "pymr-master:1")

    assert "unauthorized: authentication required" in caught.value.message
    assert caught.value.hint == "docker login reg.example.org"
