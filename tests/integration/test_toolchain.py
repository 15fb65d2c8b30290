"""`requirements/toolchain.sh`: what a machine lacks, one line each, with how to get it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOLCHAIN = Path(__file__).parents[2] / "requirements/toolchain.sh"
CARGO = """\
#!/bin/sh
case "$1" in --version) echo "cargo 1.95.0" ;; {present}) ;; *) exit 101 ;; esac
"""


def lines_about(tmp_path: Path, present: str, *arguments: str) -> list[str]:
    """Return what is said to be missing with a cargo that has only the commands `present`."""
    cargo = tmp_path / "cargo"
    cargo.write_text(CARGO.replace("{present}", present))
    cargo.chmod(0o755)
    done = subprocess.run(
        ["bash", TOOLCHAIN, *arguments],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    missing = [line for line in done.stderr.splitlines() if line.startswith("missing: ")]
    assert done.returncode == (1 if missing else 0), done.stderr
    return missing


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ("fmt|clippy", []),
        ("fmt", ["missing: clippy   get it: rustup component add clippy"]),
        ("clippy", ["missing: rustfmt   get it: rustup component add rustfmt"]),
    ],
)
def test_what_make_check_needs_is_looked_for(
    tmp_path: Path, present: str, missing: list[str]
) -> None:
    """Rust of a distribution comes without them, and `make check` would end in cargo's words."""
    lines = lines_about(tmp_path, present, "check")

    assert [line.partition(" (")[0] for line in lines] == missing


def test_a_build_needs_no_more_than_rust(tmp_path: Path) -> None:
    """Who only wants to run PyMR is not asked for what checks it."""
    assert lines_about(tmp_path, "nothing") == []
