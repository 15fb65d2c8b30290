"""What images are built from: our own files, packages that are declared, and nothing else."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pymr
from pymr.errors import ConfigError, StoreError, WorkerFileError
from pymr.kubernetes.images.context import Context, master_context, minio_context, worker_context
from pymr.kubernetes.images.packages import Packages, read_packages
from pymr.kubernetes.images.wheel import GLIBC_OF_IMAGE, project_wheel, runs_in_image

ROOT = Path(__file__).parents[2]
HASH = f"--hash=sha256:{'a' * 64}"
NOT_IN_IMAGES = {"rich"}  # for terminals


def test_the_wheel_is_the_project(tmp_path: Path) -> None:
    """Pip takes it, and what it installs is what runs here."""
    wheel = project_wheel()
    path = tmp_path / wheel.name
    path.write_bytes(wheel.body)

    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "there", path], check=True)

    here, there = Path(pymr.__file__).parent, tmp_path / "there/pymr"
    sources = {each.relative_to(here) for each in here.rglob("*.py")}
    assert {each.relative_to(there) for each in there.rglob("*.py")} == sources
    assert all((there / each).read_bytes() == (here / each).read_bytes() for each in sources)
    assert list(there.glob("_native*.so"))
    assert (tmp_path / "there/bin/pymr").exists()


def test_the_wheel_is_the_same_bytes_each_time() -> None:
    """So an image has one name for one content."""
    assert project_wheel() == project_wheel()


def test_the_wheel_has_no_caches_and_no_copies_of_editors() -> None:
    """What lies beside the sources stays here."""
    stray = Path(pymr.__file__).parent / "stray.py~"
    stray.touch()
    try:
        with zipfile.ZipFile(io.BytesIO(project_wheel().body)) as archive:
            names = archive.namelist()
    finally:
        stray.unlink()

    assert not [name for name in names if "__pycache__" in name or name.endswith(("~", ".pyc"))]
    assert "pymr/kubernetes/images/Dockerfile.worker" in names
    assert "pymr/kubernetes/images/requirements.txt" in names


def test_a_module_of_another_architecture_is_not_packed() -> None:
    """The index's wheel is installed instead."""
    files = worker_context("riscv64", Packages()).files

    assert not runs_in_image("riscv64")
    assert files["wheel/install.txt"] == f"pymr=={pymr.__version__}\n".encode()
    assert [name for name in files if name.endswith(".whl")] == []
    assert GLIBC_OF_IMAGE >= (2, 41)


def test_names_follow_the_content() -> None:
    """Any other package is another image; their order is not."""
    plain = worker_context("amd64", Packages())
    numpy = worker_context("amd64", Packages(("numpy",), pinned=False))

    assert re.fullmatch(r"pymr-worker:[0-9a-f]{16}", plain.image)
    assert worker_context("amd64", Packages()).image == plain.image
    names = {plain.image, numpy.image, master_context("amd64").image, minio_context("amd64").image}
    assert len(names) == 4
    assert worker_context("arm64", Packages()).image not in names


def test_names_follow_all_that_a_builder_is_told() -> None:
    """Arguments, labels and the architecture, and which is which."""
    told = [
        Context(role="master", architecture="amd64", files={}),
        Context(role="master", architecture="arm64", files={}),
        Context(role="master", architecture="amd64", files={"a": b"1"}),
        Context(role="master", architecture="amd64", files={}, arguments={"a": "1"}),
        Context(role="master", architecture="amd64", files={}, arguments={"a": "2"}),
        Context(role="master", architecture="amd64", files={}, labels={"a": "1"}),
    ]

    assert len({context.image for context in told}) == len(told)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "./x", "a//b"])
def test_b44_a_path_that_leaves_the_context_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written outside of the folder that the builder sees."""
    folder = tmp_path / "context"
    folder.mkdir()
    context = Context(role="master", architecture="amd64", files={name: b""})

    with pytest.raises(StoreError, match="not a plain relative path"):
        context.write(str(folder))

    assert [*tmp_path.iterdir()] == [folder]


def test_declared_packages_go_into_the_image(tmp_path: Path) -> None:
    """In order, and told to be unpinned: a version may be another one tomorrow."""
    worker = tmp_path / "worker.py"
    worker.write_text('# /// script\n# dependencies = ["numpy>=2", "click"]\n# ///\n')

    packages = read_packages(str(worker), None)
    context = worker_context("amd64", packages)

    assert packages == Packages(("click", "numpy>=2"), pinned=False)
    assert context.files["declared.txt"] == b"click\nnumpy>=2\n"
    assert context.labels == {"dev.pymr.packages": "unpinned"}


def test_a_worker_file_that_declares_nothing_adds_nothing(tmp_path: Path) -> None:
    """All such files share one image."""
    worker = tmp_path / "worker.py"
    worker.write_text("import pymr\n")

    assert read_packages(str(worker), None) == read_packages(None, None) == Packages()


def test_requirements_win_over_what_is_declared(tmp_path: Path) -> None:
    """As `uv pip compile` and people write them: comments, several lines, hashes."""
    file = tmp_path / "requirements.txt"
    file.write_bytes(
        f"# made by uv\r\nnumpy==2.1 \\\r\n    {HASH} \\\r\n    {HASH}\r\n    # via me\r\n"
        f"\r\nclick==8.1 {HASH}  # a note\r\n".encode()
    )

    packages = read_packages(str(tmp_path / "no-such-worker.py"), str(file))

    assert packages == Packages((f"click==8.1 {HASH}", f"numpy==2.1 {HASH} {HASH}"), pinned=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-r other.txt", "line 1: `-r other.txt` is an option of pip"),
        ("numpy\n--find-links=.", "line 2: `--find-links=.` is an option"),
        ("a\\\n==1\n\n-e .", "line 4: `-e .` is an option"),
        ("../wheels/x.whl", "line 1: `../wheels/x.whl` is no requirement"),
        ("not a name", "is no requirement"),
        (f"numpy==2 {HASH}\nclick", "has hashes, but none for `click`"),
    ],
)
def test_requirements_that_cannot_be_in_an_image_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    """With the line; an image has no files of this machine."""
    file = tmp_path / "requirements.txt"
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_packages(None, str(file))

    assert message in caught.value.message


def test_requirements_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Missing, a folder, no text, or far too large."""
    binary, large = tmp_path / "binary", tmp_path / "large"
    binary.write_bytes(b"\xff\xfe")
    large.write_bytes(b"#" * ((1 << 20) + 1))
    told = {
        tmp_path / "none": "cannot read",
        tmp_path: "cannot read",
        binary: "no text in UTF-8",
        large: "larger than 1,048,576 bytes",
    }

    for path, message in told.items():
        with pytest.raises(ConfigError, match=message):
            read_packages(None, str(path))


def test_a_worker_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """What pip would take for an option is no package."""
    worker = tmp_path / "worker.py"
    worker.write_text('# /// script\n# dependencies = ["--index-url=x"]\n# ///\n')

    with pytest.raises(WorkerFileError, match="dependency `--index-url=x`"):
        read_packages(str(worker), None)
    with pytest.raises(ConfigError, match="cannot read"):
        read_packages(str(tmp_path / "none.py"), None)


def test_pins_of_images_are_what_the_project_needs() -> None:
    """Each dependency is there with hashes, and no version that the project refuses."""
    text = (ROOT / "src/pymr/kubernetes/images/requirements.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=", text, re.MULTILINE))
    needed = [
        requirement
        for each in metadata.requires("pymr") or []
        if (requirement := Requirement(each)).marker is None
        or requirement.marker.evaluate({"extra": "cluster", "python_version": "3.13"})
        or requirement.marker.evaluate({"extra": "zstd", "python_version": "3.13"})
    ]

    for requirement in needed:
        name = requirement.name.replace(".", "-")
        if name not in NOT_IN_IMAGES:
            assert requirement.specifier.contains(pinned[name]), requirement
    assert {each.name for each in needed} >= {"grpcio", "msgspec", "obstore", "cryptography"}


def test_both_dockerfiles_share_their_first_stages() -> None:
    """So a node has the layers of PyMR once, and they are built once."""
    shared = [
        re.search(
            r"^ARG PYTHON.*?^FROM \$\{PYTHON\} AS packages\n.*?\n\n", text, re.DOTALL | re.MULTILINE
        )
        for text in map(Path.read_text, (ROOT / "Dockerfile.master", ROOT / "Dockerfile.worker"))
    ]

    assert shared[0] is not None
    assert shared[1] is not None
    assert shared[0][0] == shared[1][0]
    assert "install.txt" in shared[0][0]


@pytest.mark.parametrize("role", ["master", "worker", "minio"])
def test_images_run_as_nobody_from_a_named_base(role: str) -> None:
    """The hardened pods want that; no image is built from `latest`, or with all of a folder."""
    text = (ROOT / f"Dockerfile.{role}").read_text()
    final = text.rpartition("\nFROM ")[2]

    assert "\nUSER 65532:65532\n" in final
    assert re.search(
        r"^ARG (PYTHON|BASE)=docker\.io/library/\S+:(?!latest)\S+$", text, re.MULTILINE
    )
    assert re.search(r"^(COPY|ADD) \.", text, re.MULTILINE) is None
    assert (ROOT / f"src/pymr/kubernetes/images/Dockerfile.{role}").read_text() == text
