"""What is shipped: the source package has what its readme links to, and names no index."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([\w./-]+)\)")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the source package, by their names below its one folder."""
    folder = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).parent / "maturin"
    subprocess.run(
        [maturin, "sdist", "--out", folder],
        cwd=ROOT,
        env={**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir},  # where Rust's tools live
        capture_output=True,
        check=True,
        timeout=100,
    )
    (package,) = folder.glob("*.tar.gz")
    files = {}
    with tarfile.open(package) as tar:
        for member in tar:
            data = tar.extractfile(member)
            if data is not None:
                files[member.name.partition("/")[2]] = data.read()
    return files


def test_the_source_package_has_what_its_readme_links_to(shipped: dict[str, bytes]) -> None:
    """Pages, examples and changes; a link that leads nowhere helps nobody."""
    links = LINK.findall(shipped["README.md"].decode())

    assert len(links) > 10
    missing = [link for link in links if not any(name.startswith(link) for name in shipped)]
    assert missing == []


def test_the_source_package_builds_and_has_nothing_else_of_the_machine(
    shipped: dict[str, bytes],
) -> None:
    """Sources of both languages; no lock file, no compiled code, no caches."""
    assert {"pyproject.toml", "rust/Cargo.toml", "rust/src/lib.rs", "src/pymr/__init__.py"} < set(
        shipped
    )
    made_here = re.compile(r"Cargo\.lock|\.so$|\.pyc$|__pycache__")
    assert [name for name in shipped if made_here.search(name)] == []


def test_a_wheel_has_no_list_of_crates_with_their_index() -> None:
    """Maturin writes one unless it is told not to."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert settings["tool"]["maturin"]["sbom"]["rust"] is False
