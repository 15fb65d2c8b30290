"""P9: what PyMR costs before it does anything: a job of three lines, and its help."""

from __future__ import annotations

import sys
from pathlib import Path

from command import FOLDER, HERE, command_side, pymr_start
from contest import Figure, Measure, WrongAnswerError

WORKER = HERE.parent / "examples/wordcount/worker.py"
TEXT = "one two\ntwo three\nthree four\n"
EXPECTED = "four\t1\none\t1\nthree\t2\ntwo\t2\n"


def start_up() -> Measure:
    text, output = FOLDER / "three-lines.txt", FOLDER / "three-lines-out"
    text.write_text(TEXT)
    start = pymr_start(WORKER, text, output)
    pymr = str(Path(sys.executable).with_name("pymr"))
    return Measure(
        name="start_up",
        about="start-up: Python itself, help, a job of three lines",
        sides=[
            command_side("python -c pass", [sys.executable, "-c", "pass"]),
            command_side("pymr --help", [pymr, "--help"]),
            command_side("pymr start", start, output=output),
        ],
        figures=[
            Figure("P9", "pymr start, wall", lambda took: took["pymr start"].wall, "s", 0.35),
            Figure("P9", "pymr --help, wall", lambda took: took["pymr --help"].wall, "s", 0.1),
        ],
        check=lambda: _check(output),
        rounds_factor=4,
    )


def _check(output: Path) -> None:
    found = (output / "part-00000.tsv").read_text()
    if found != EXPECTED:
        raise WrongAnswerError(f"three lines gave {found!r}, expected {EXPECTED!r}")
