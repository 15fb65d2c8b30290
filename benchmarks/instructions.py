"""Instructions of a fixed small job, map to output: a number that a noisy machine does not move.

`valgrind --tool=callgrind` counts them for all of a process. A process that does everything but
run the job is counted too and subtracted. No target: a change shows against the history.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from command import FOLDER, HERE
from contest import Clocked, Figure, Measure, Side, SkippedError
from zipf_text import zipf_file

MEGABYTES = 1
NAMES = ("bare loop", "emit, SUM", "emit, no combiner")
START = "start of the process"


def instructions() -> Measure:
    """Return the measure.

    Raises:
        SkippedError: there is no valgrind.
    """
    if shutil.which("valgrind") is None:
        raise SkippedError("instructions need valgrind   get it: sudo apt install valgrind")
    text = zipf_file(FOLDER, MEGABYTES)
    with text.open() as lines:
        words = sum(len(line.split()) for line in lines)
    # Side by side, since the clock does not count: half of the time is that of four starts.
    pool = ThreadPoolExecutor(os.cpu_count())
    counted = {name: pool.submit(_count, text, name) for name in (None, *NAMES)}
    pool.shutdown(wait=False)
    return Measure(
        name="instructions",
        about=f"counted by callgrind, {MEGABYTES} MB of Zipf text, {words:,} words",
        sides=[
            Side(START, counted[None].result, once=True),
            *(Side(name, counted[name].result, once=True) for name in NAMES),
        ],
        figures=[
            Figure("", f"{name}, instructions a word", partial(_a_word, name, words))
            for name in NAMES
        ],
        check=lambda: None,  # of the same jobs as `emit`, which compares the answers
    )


def _a_word(name: str, words: int, took: Mapping[str, Clocked]) -> float:
    return (took[name].instructions - took[START].instructions) / words


def _count(text: Path, name: str | None) -> Clocked:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        counts = Path(folder) / "callgrind.out"
        subprocess.run(
            [
                *("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts}"),
                *(sys.executable, str(HERE / "small_job.py"), str(text), f"{folder}/run"),
                *([name] if name else []),
            ],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
        )
        totals = next(
            line for line in counts.read_text().splitlines() if line.startswith("totals:")
        )
    return Clocked(wall=0, cpu=0, instructions=int(totals.split()[1]))
