"""`pymr build`: what it says when images are there, and when they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import CommandLine
from image_tools import ImageTools
from pymr.kubernetes.images.context import master_context, worker_context
from pymr.kubernetes.images.packages import Packages

MASTER = master_context("amd64").image
WORKER = worker_context("amd64", Packages()).image
DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture
def tools(tmp_path: Path) -> ImageTools:
    """Nothing but these programs is on PATH."""
    made = ImageTools(tmp_path, "docker", "kind")
    made.have("python:3.13-slim-trixie")
    return made


@pytest.fixture
def cli(tools: ImageTools, tmp_path: Path) -> CommandLine:
    """Give a folder for commands."""
    cli = CommandLine(tmp_path)
    cli.environ["PATH"] = str(tools.bin)
    return cli


def test_images_are_named_with_their_sizes(cli: CommandLine, tools: ImageTools) -> None:
    """Names on stdout, what is done on stderr; the second time nothing is done."""
    first, second = cli.run("build"), cli.run("build")

    assert first.stdout == (
        f"master   {MASTER}   1 kB, 0 B above its base\nworker   {WORKER}   1 kB, 0 B above its base\n"
    )
    assert first.stderr == f"building {MASTER}\nbuilding {WORKER}\n"
    assert (second.code, second.stdout, second.stderr) == (0, first.stdout, "")
    assert len(tools.calls("build")) == 2


def test_programs_read_one_object(cli: CommandLine) -> None:
    """With the digests of a registry."""
    done = cli.run("build", "--json", "--registry=localhost:5000/me", "--minio")

    images = {each["role"]: each for each in json.loads(done.stdout)["images"]}
    assert list(images) == ["master", "worker", "minio"]
    assert images["worker"] == {
        "role": "worker",
        "image": f"localhost:5000/me/pymr-worker@{DIGEST}",
        "built": True,
        "size_bytes": 1000,
        "above_base_bytes": 0,
    }


def test_declared_packages_are_told_to_be_unpinned(cli: CommandLine, tools: ImageTools) -> None:
    """Nobody has to load the worker file for that: it may need what is not here."""
    text = '# /// script\n# dependencies = ["no-such-package"]\n# ///\nimport no_such_package\n'
    (cli.folder / "worker.py").write_text(text)

    done = cli.run("build", "--verbose", "worker.py")

    assert done.code == 0
    assert ", its packages UNPINNED\n" in done.stderr
    assert "STEP 1/9\n" in done.stderr
    assert "dev.pymr.packages=unpinned" in tools.calls("build")[1]


def test_a_machine_that_cannot_build_is_told(cli: CommandLine, tools: ImageTools) -> None:
    """Nothing is built by half: exit code 8, and the next command."""
    tools.fail("docker", "version", "Cannot connect to the Docker daemon.\n")
    cli.run("build").refused(8, "docker does not answer", "hint: sudo systemctl start docker")

    (tools.bin / "docker").unlink()
    cli.run("build").refused(8, "neither docker nor podman nor buildah", "hint: sudo apt install")
    assert tools.built() == []


def test_a_disk_that_fills_up_is_told(cli: CommandLine, tools: ImageTools) -> None:
    """The master's image stands; the temporary folder is empty again."""
    words = "".join(f"line {number}\n" for number in range(100)) + "no space left on device\n"
    tools.fail("docker", "build", words)

    said = cli.run("build").refused(8, "the disk of docker is full", "hint: docker image prune")

    assert "line 99" in said
    assert "line 10\n" not in said
    assert list(cli.temporary.glob("pymr-image-*")) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("none.py",), ("cannot read `none.py`",)),
        (("--requirements=none.txt",), ("cannot read `none.txt`",)),
        (("--builder=img",), ("--builder is `img`", "`docker`, `podman` or `buildah`")),
        (("--load=ssh",), ("--load is `ssh`",)),
        (("--registry=https://me:secret@reg",), ("--registry is", "without a scheme")),
        (("--load=registry",), ("--load registry needs a registry",)),
        (("--load=kind", "--registry=reg"), ("says another place",)),
    ],
)
def test_a_command_line_that_is_wrong_is_refused(
    cli: CommandLine, tools: ImageTools, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Exit code 2, before anything is built."""
    cli.run("build", *arguments).refused(2, *parts)

    assert tools.built() == []
