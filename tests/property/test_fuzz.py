"""A short bout of `make fuzz`: whatever the bytes, both forms of the shuffle say the same of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUZZ_CODECS = Path(__file__).parents[1] / "fuzz_codecs.py"


def test_mutated_keys_values_and_runs_end_in_the_same_or_in_an_error() -> None:
    """In a process of its own: a crash is seen, memory is bounded, and no pickle is loaded."""
    done = subprocess.run(
        [sys.executable, FUZZ_CODECS, "--cases", "8000", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    said = [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]]
    counts = {end: int(number) for number, end in said}
    assert counts.keys() == {
        *("key: other bytes", "key: refused", "key: the same bytes"),
        *("value: other bytes", "value: refused", "value: the same bytes"),
        *("run: groups", "run: refused", "footer: sums", "footer: refused"),
    }
    assert min(counts.values()) > 50, "every end is reached, and often"
