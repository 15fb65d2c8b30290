"""A free-threaded Python is refused in words, where PyMR is built and where it is imported."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSAL = "PyMR needs a Python with the GIL"
# What PyO3 finds out about a Python, in the form in which it may also be told.
FREE_THREADED = """\
implementation=CPython
version=3.14
shared=true
target_abi=CPython-free_threaded-3.14
build_flags=Py_GIL_DISABLED
suppress_build_script_link_lines=true
"""


def test_an_import_says_what_python_is_needed() -> None:
    """An environment may hold PyMR and be used by another Python: PYTHONPATH, a checkout."""
    program = "import sys; sys.abiflags = 't'; import pymr"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {REFUSAL}, `{sys.executable}` is a free-threaded build")


@pytest.mark.timeout(300)
def test_a_build_ends_in_words_before_anything_unsafe_is_compiled(tmp_path: Path) -> None:
    """PyO3 leaves abi3 for such a Python without a word, and our laws rest on the GIL."""
    config = tmp_path / "python.txt"
    config.write_text(FREE_THREADED)
    home = pwd.getpwuid(os.getuid()).pw_dir  # where Rust's tools live
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYO3_")}

    done = subprocess.run(
        ["cargo", "check", "--quiet", "--lib", "--target-dir", tmp_path / "target"],
        cwd=ROOT / "rust",
        env={**environ, "HOME": home, "PYO3_CONFIG_FILE": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert done.returncode != 0
    assert re.search(rf"^error: pymr-native@\S+: {REFUSAL}", done.stderr, re.MULTILINE)
    assert "src/" not in done.stderr, "no source of ours was looked at"
