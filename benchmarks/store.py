"""P10: the same job with its output in an object store on this machine, and in a folder.

`BENCH_STORE` is an address such as `s3://bucket/prefix`, and the usual variables say how it is
reached: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, … What stands under the prefix is removed. Map
outputs, parts, journal and history go through the store, the input is a local file in both. The
server's own work is part of what is measured, for it has no cores of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from answers import answer_of, expect_equal
from command import FOLDER, HERE, command_side, pymr_start, remove
from contest import Clocked, Figure, Measure, Side, SkippedError, wall_ratio
from random_words import words_file
from sizes import FULL, Sizes
from zipf_text import zipf_file

VARIABLE = "BENCH_STORE"
LIMIT = 1.3
JOBS = {"word_count": "word count", "group_sum": "sum of values"}


def store(sizes: Sizes, job: str) -> Measure:
    place = os.environ.get(VARIABLE)
    if not place:
        raise SkippedError(f"store: {VARIABLE} is not set, expected such as `s3://bucket/prefix`")
    worker, text, size, is_full = _input(sizes, job)
    here, there = FOLDER / f"store-{job}", f"{place.rstrip('/')}/{job}"
    sides = [
        command_side("a folder", pymr_start(worker, text, here), output=here),
        Side("a store", lambda: _run_in_store(pymr_start(worker, text, there), there)),
    ]

    def check() -> None:
        copied = FOLDER / f"store-{job}.tsv"
        pymr = str(Path(sys.executable).with_name("pymr"))
        with copied.open("wb") as file:
            subprocess.run([pymr, "cat", there], stdout=file, check=True)
        expect_equal(answer_of(here), store=answer_of(copied))
        remove(copied)

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
        check=check,
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


def _run_in_store(command: list[str], place: str) -> Clocked:
    _clear(place)
    return command_side("a store", command).run()


def _clear(place: str) -> None:
    """Remove what an earlier round has written."""
    import obstore
    from obstore.store import from_url

    client = from_url(place, client_options={"allow_http": True})
    for page in obstore.list(client):
        obstore.delete(client, [row["path"] for row in page])
