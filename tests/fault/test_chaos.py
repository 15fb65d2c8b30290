"""`make chaos` for a moment: what it does for minutes is in docs/reliability.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).parents[1] / "chaos.py"


def test_f127_a_run_that_is_disturbed_at_random_has_the_same_bytes() -> None:
    """One round, whose lots are always the same."""
    done = subprocess.run(
        [sys.executable, CHAOS, "--rounds=1", "--seed=2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 2\nround 1, ")
