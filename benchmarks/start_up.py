"""P9: what PyMR costs before it does anything: a job of three lines, and its help."""

from __future__ import annotations

import sys
from pathlib import Path

from contest import Measure, Side, WrongAnswerError

WORKER = Path(__file__).parent.parent / "examples/wordcount/worker.py"
TEXT = "one two\ntwo three\nthree four\n"
EXPECTED = "four\t1\none\t1\nthree\t2\ntwo\t2\n"


def start_up(folder: Path) -> Measure:
    """Return the measure; its files are written into `folder`."""
    text, output = folder / "three-lines.txt", folder / "three-lines-out"
    text.write_text(TEXT)
    pymr = str(Path(sys.executable).with_name("pymr"))
    job = ["--input", str(text), "--output", str(output), str(WORKER)]
    return Measure(
        name="start_up",
        about="start-up: Python itself, help, a job of three lines",
        sides=[
            Side("python -c pass", [sys.executable, "-c", "pass"]),
            Side("pymr --help", [pymr, "--help"], wall_max=0.1),
            Side("pymr start", [pymr, "start", *job], output=output, wall_max=0.35),
        ],
        check=lambda: _check(output),
        rounds_factor=4,
    )


def _check(output: Path) -> None:
    found = (output / "part-00000.tsv").read_text()
    if found != EXPECTED:
        raise WrongAnswerError(f"three lines gave {found!r}, expected {EXPECTED!r}")
