"""P1: word count of Zipf text, a call of `emit` for each word, against the hand-written script.

PyMR is run as a user runs it: `pymr start`, with its ledger, journal, commit and digests.
"""

from __future__ import annotations

import sys
from pathlib import Path

from contest import Measure, Side, WrongAnswerError
from zipf_text import zipf_file

HERE = Path(__file__).parent
WORKERS = 2


def word_count(folder: Path, megabytes: int) -> Measure:
    """Return the measure, for a text of `megabytes` MB that is kept in `folder`."""
    text = zipf_file(folder, megabytes)
    theirs, ours = folder / "counter.tsv", folder / "pymr-out"
    peer = [sys.executable, str(HERE / "peers/word_count_multiprocessing.py")]
    pymr = [str(Path(sys.executable).with_name("pymr")), "start", "--workers", str(WORKERS)]
    worker = str(HERE.parent / "examples/wordcount/worker.py")
    return Measure(
        name="word_count",
        about=f"word count, {megabytes} MB of Zipf text, {WORKERS} workers",
        sides=[
            Side("multiprocessing + Counter", [*peer, str(text), str(WORKERS), str(theirs)]),
            Side(
                "pymr start",
                [*pymr, "--input", str(text), "--output", str(ours), worker],
                output=ours,
                ratio_max=0.5,
            ),
        ],
        check=lambda: _check(theirs, ours),
    )


def _check(theirs: Path, ours: Path) -> None:
    expected = sorted(theirs.read_bytes().splitlines())
    parts = sorted(ours.glob("part-*.tsv"))
    found = sorted(row for part in parts for row in part.read_bytes().splitlines())
    if found != expected:
        different = len(set(found) ^ set(expected))
        raise WrongAnswerError(f"word counts: {different} rows are in one answer only")
