"""The public API is typed: mypy accepts what users write, and finds their mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pymr

ROOT = Path(__file__).parents[2]
TYPED = ROOT / "tests/typing/api.py"


def mypy(*arguments: str | Path, cwd: Path) -> tuple[int, str]:
    """Run mypy as a user of the package does: without our configuration."""
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={cwd / '.cache'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    return done.returncode, done.stdout + done.stderr


def test_worker_code_type_checks_and_mistakes_do_not(tmp_path: Path) -> None:
    """`--strict` finds each mistake that is marked, and nothing else.

    Without the marks it finds as many errors as there are marks, so that they mean something.
    """
    marked = TYPED.read_text()
    mistakes = marked.count("# type: ignore[")
    bare = tmp_path / "bare.py"
    bare.write_text(marked.replace("# type: ignore[", "# not here ["))

    code, said = mypy(TYPED, cwd=tmp_path)
    code_bare, said_bare = mypy(bare, cwd=tmp_path)

    assert (code, said) == (0, ""), said
    assert code_bare == 1
    lines = {line.split(":")[1] for line in said_bare.splitlines() if ": error: " in line}
    assert len(lines) == mistakes > 25


def test_what_init_writes_and_the_examples_type_check(tmp_path: Path) -> None:
    """A user who starts from them starts with types."""
    from pymr.cli.init import TEMPLATE

    (tmp_path / "worker.py").write_text(TEMPLATE.format(name="worker.py"))

    assert mypy("worker.py", cwd=tmp_path) == (0, "")


def test_the_package_says_that_it_is_typed() -> None:
    """The marker of PEP 561 stands beside the code, so it lands in the wheel with it."""
    assert (Path(pymr.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", pymr.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Lazily or not; and `dir` lists it."""
    assert getattr(pymr, name) is not None
    assert name in dir(pymr)


def test_a_name_that_is_not_public_is_refused() -> None:
    """As Python words it."""
    with pytest.raises(AttributeError, match="module 'pymr' has no attribute 'colour'"):
        _ = pymr.colour  # type: ignore[attr-defined]
