"""P3: what one `emit(str, int)` costs above the bare loop, in one process, CPU.

All map attempts run in this process: reading, the mapper's loop, and, where it emits, what
follows from that: sort, combiner, write, digests. The bare loop reads and splits as well, so
that the difference is the price of emitting alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from answers import expect_equal
from command import FOLDER
from contest import Clocked, Figure, Measure, Side, WrongAnswerError
from in_process import InProcess, jobs
from sizes import FULL, Sizes
from zipf_text import zipf_file

BARE = "bare loop"
NANOSECONDS_MAX = {"emit, SUM": 60, "emit, no combiner": 75}


def emit(sizes: Sizes) -> Measure:
    megabytes = sizes.emit_megabytes
    text = zipf_file(FOLDER, megabytes)
    with text.open() as lines:
        words = sum(len(line.split()) for line in lines)
    runs = {name: InProcess(job, text, FOLDER / "in-process" / name) for name, job in jobs()}

    def check() -> None:
        for name in NANOSECONDS_MAX:
            if runs[name].emitted != words:
                raise WrongAnswerError(f"{name}: {runs[name].emitted} pairs of {words} words")
        summed, plain = (runs[name].reduce() for name in NANOSECONDS_MAX)
        expect_equal(plain, summed=summed)

    return Measure(
        name="emit",
        about=f"map attempts in one process, {megabytes} MB of Zipf text, {words:,} words",
        sides=[Side(name, run.map) for name, run in runs.items()],
        figures=[
            Figure(
                "P3",
                f"{name}, CPU a call above the bare loop",
                partial(_above_bare, name, words),
                "ns",
                most,
                full_size=megabytes >= FULL.emit_megabytes,
            )
            for name, most in NANOSECONDS_MAX.items()
        ],
        check=check,
    )


def _above_bare(name: str, words: int, took: Mapping[str, Clocked]) -> float:
    return (took[name].cpu - took[BARE].cpu) / words * 1e9
