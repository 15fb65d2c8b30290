"""The wheel that `make wheel` builds: what is in it, and a job in an environment with it alone."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import pymr

ROOT = Path(__file__).parents[2]
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)  # where Rust's tools and uv's cache are
# What the builder's own paths have in common: the folders below which they lie.
OF_THE_BUILDER = [str(ROOT), *{os.environ.get("CARGO_HOME", f"{HOME}/.cargo"), f"{HOME}/"}]
OF_RUST = ("/rustc/", "/rust/deps/")  # as its standard library is built, everywhere
JOB = """\
import pymr


def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)


job = pymr.Job(mapper=mapper, reducer=pymr.SUM)

if __name__ == "__main__":
    import pymr._native

    print(pymr.__version__, pymr._native.__file__)
    print(pymr.run(job, input="in.txt", output="by-python").head(9))
"""
ROWS = [("one", 3), ("three", 1), ("two", 2)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one file that `make wheel` leaves in its folder."""
    folder = tmp_path_factory.mktemp("dist")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    built = subprocess.run(
        ["make", "--no-print-directory", "wheel", f"dist={folder}"],
        cwd=ROOT,
        env={**environ, "HOME": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.iterdir()
    return wheel


@pytest.fixture(scope="module")
def files(wheel: Path) -> dict[str, bytes]:
    """What is in the wheel, by name."""
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture(scope="module")
def metadata(files: dict[str, bytes]) -> Message:
    """Its description."""
    return BytesParser().parsebytes(files[f"pymr-{pymr.__version__}.dist-info/METADATA"])


def test_one_wheel_is_for_every_cpython_from_3_11_on(wheel: Path, files: dict[str, bytes]) -> None:
    """The stable ABI: the name says so, and so does what installers read."""
    described = files[f"pymr-{pymr.__version__}.dist-info/WHEEL"].decode()

    assert wheel.name.startswith(f"pymr-{pymr.__version__}-cp311-abi3-")
    assert re.findall(r"^Tag: (\S+)$", described, re.MULTILINE) == [wheel.stem.split("-", 2)[2]]


def test_the_wheel_has_the_package_and_nothing_else(files: dict[str, bytes]) -> None:
    """Types and licence among it; of compiled code one file; no tests, no Rust, no caches."""
    about = f"pymr-{pymr.__version__}.dist-info/"
    sources = {path for path in (ROOT / "src").rglob("*") if path.is_file()}
    sources = {path for path in sources if path.suffix not in {".pyc", ".so"}}
    ours = {name for name in files if not name.startswith(about)}

    assert ours == {
        *(str(path.relative_to(ROOT / "src")) for path in sources),
        "pymr/_native.abi3.so",
    }
    assert {"pymr/py.typed", "pymr/_native.pyi"} <= ours
    assert files[about + "licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_no_file_of_the_wheel_names_a_folder_of_the_machine_that_built_it(
    files: dict[str, bytes],
) -> None:
    """What Rust says in a panic names sources by crate, not by where the builder's cargo is."""
    native = files["pymr/_native.abi3.so"]
    sources = {name.decode() for name in re.findall(rb"[\w./+-]+\.rs\b", native)}

    assert any(name.startswith("pyo3-") for name in sources), "panics have no places any more"
    absolute = [name for name in sources if name.startswith("/") and not name.startswith(OF_RUST)]
    hint = "crates that an older checkout has compiled? make clean wheel"
    assert absolute == [], hint
    for place in OF_THE_BUILDER:
        named = [name for name, data in files.items() if place.encode() in data]
        assert named == [], f"{place}: {hint}"


def test_the_description_is_that_of_the_project(metadata: Message) -> None:
    """Dependencies, extras, licence and Python, as an index and an installer read them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {_meaning(line) for line in project["dependencies"]}
    for extra, lines in extras.items():
        wanted |= {_meaning(line, extra) for line in lines}

    assert {_meaning(line) for line in metadata.get_all("Requires-Dist", [])} == wanted
    assert metadata.get_all("Provides-Extra") == list(extras)
    assert metadata["Version"] == project["version"] == pymr.__version__
    assert metadata["License-Expression"] == project["license"]
    assert metadata.get_all("License-File") == project["license-files"]
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(project["requires-python"])
    assert metadata.get_all("Classifier") == project["classifiers"]
    text = metadata.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().strip() == (ROOT / "README.md").read_text().strip()


def _meaning(line: str, extra: str = "") -> tuple[str, SpecifierSet, tuple[bool, ...]]:
    """Return the name, the versions, and for which Pythons, without and with `extra`."""
    found = Requirement(line)
    cases = [
        {"extra": chosen, "python_version": minor, "python_full_version": f"{minor}.0"}
        for chosen in ("", "zstd")
        for minor in ("3.11", "3.13", "3.14")
    ]
    applies = tuple(
        (not extra or extra == case["extra"])
        and (found.marker is None or found.marker.evaluate(case))
        for case in cases
    )
    return found.name.replace(".", "-"), found.specifier, applies


def _python(minor: int) -> str | None:
    """Return a CPython of that version, with the GIL, if this machine has one."""
    at_work = Path(sys.base_prefix) / "bin" / f"python3.{minor}"
    kept = sorted(HOME.glob(f".pyenv/versions/3.{minor}.*/bin/python"))
    probe = f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}) or 't' in sys.abiflags)"
    for python in (str(at_work), shutil.which(f"python3.{minor}"), *map(str, kept)):
        if python and Path(python).exists():
            tried = subprocess.run([python, "-c", probe], capture_output=True, check=False)
            if tried.returncode == 0:
                return python
    return None


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_a_job_runs_where_the_wheel_alone_is_installed(
    wheel: Path, tmp_path: Path, minor: int
) -> None:
    """By the installed command and by `pymr.run`, with nothing of the checkout in reach."""
    python = _python(minor)
    if python is None:
        pytest.skip(f"this machine has no Python 3.{minor}")
    environment = _install(wheel, python, tmp_path / "environment")
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "in.txt").write_text("one two one\nthree two one\n")
    (folder / "job.py").write_text(JOB)
    environ = {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{environment}/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pymr", "start", "--input", "in.txt", "--output", "by-command", "job.py")
    rows = run("pymr", "cat", "by-command")
    version = run("pymr", "version")
    loaded, found = run("python", "job.py").splitlines()

    assert rows.splitlines() == [f"{key}\t{value}" for key, value in ROWS]
    assert f"pymr {pymr.__version__}\n" in version
    assert f"python 3.{minor}." in version
    assert found == repr(ROWS)
    native = f"{environment}/lib/python3.{minor}/site-packages/pymr/_native.abi3.so"
    assert loaded == f"{pymr.__version__} {native}"


def _install(wheel: Path, python: str, environment: Path) -> Path:
    """Install the wheel, and what it needs in the versions that are tested, and nothing else."""
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    wanted = ("--quiet", f"--constraint={ROOT}/requirements/dev.txt", str(wheel))
    own = str(environment / "bin/python")
    environ = {**os.environ, "HOME": str(HOME), "UV_SYSTEM_CERTS": "true"}
    pip = [sys.executable, "-m", "pip", "--python", own]
    # An index that only pip is configured for is found by pip.
    for command in ([uv, "pip", "install", "--python", own], [*pip, "install"]):
        done = subprocess.run(
            [*command, *wanted],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if done.returncode == 0:
            return environment
    raise AssertionError(done.stderr)
