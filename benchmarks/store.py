"""P10: the same job with its output in an object store on this machine, and in a folder.

Map outputs, parts, journal and history go through the store, the input is a local file in both.
The server's own work is part of what is measured, for it has no cores of its own.
"""

from __future__ import annotations

from pathlib import Path

from answers import answer_from, answer_of, expect_equal
from bucket import Bucket
from command import FOLDER, HERE, command_side, pymr_start
from contest import Clocked, Figure, Measure, wall_ratio
from random_words import words_file
from sizes import FULL, Sizes
from zipf_text import zipf_file

LIMIT = 1.3
JOBS = {"word_count": "word count", "group_sum": "sum of values"}


def store(sizes: Sizes, job: str) -> Measure:
    bucket = Bucket()
    worker, text, size, is_full = _input(sizes, job)
    here, there = FOLDER / f"store-{job}", f"{bucket.address}/{job}"
    in_store = command_side(
        "a store", pymr_start(worker, text, there), environment=bucket.environment
    )

    def run_in_store() -> Clocked:
        bucket.clear(job)
        return in_store.run()

    sides = [
        command_side("a folder", pymr_start(worker, text, here), output=here),
        in_store._replace(run=run_in_store),
    ]

    return Measure(
        name=f"store_{job}",
        about=f"{JOBS[job]}, {size}, the output in a store and in a folder",
        sides=sides,
        figures=[
            Figure(
                "P10",
                f"{JOBS[job]}, ÷ a folder, wall",
                wall_ratio("a store", "a folder"),
                "",
                LIMIT,
                full_size=is_full,
            )
        ],
        check=lambda: expect_equal(answer_of(here), store=answer_from(bucket.rows_of(there))),
    )


def _input(sizes: Sizes, job: str) -> tuple[Path, Path, str, bool]:
    """Return worker file, input, its size in words, and whether that is the target's."""
    if job == "word_count":
        megabytes = sizes.text_megabytes
        worker = HERE.parent / "examples/wordcount/worker.py"
        text, size = zipf_file(FOLDER, megabytes), f"{megabytes} MB of Zipf text"
        return worker, text, size, megabytes >= FULL.text_megabytes
    records = sizes.records
    text = words_file(FOLDER, "distinct", records)
    worker = HERE / "workers/group_sum.py"
    return worker, text, f"{records:,} records, all keys different", records >= FULL.records
