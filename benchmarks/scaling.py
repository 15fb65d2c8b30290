"""P6: one worker on one core against two workers on two cores; word count as in P1."""

from __future__ import annotations

import os
import shutil

from answers import answer_of, expect_equal
from command import FOLDER, command_side, pymr_start
from contest import Figure, Measure, SkippedError, wall_ratio
from sizes import FULL, Sizes
from word_count import WORKER
from zipf_text import zipf_file

CORES = 2


def scaling(sizes: Sizes) -> Measure:
    """Return the measure.

    Raises:
        SkippedError: there are no two cores, or no taskset to hold a process to some.
    """
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    if len(cores) < CORES:
        raise SkippedError("scaling needs two cores")
    if shutil.which("taskset") is None:
        raise SkippedError("scaling needs taskset   get it: sudo apt install util-linux")
    text = zipf_file(FOLDER, sizes.text_megabytes)
    names = [f"{count} worker{'s'[: count - 1]}" for count in range(1, CORES + 1)]
    outputs = [FOLDER / f"scaling-{count}" for count in range(1, CORES + 1)]
    sides = []
    for count, (name, output) in enumerate(zip(names, outputs, strict=True), start=1):
        # The processes of a run share as many cores as it has workers, the runner's among them.
        before = ("taskset", "--cpu-list", ",".join(map(str, cores[:count])))
        command = pymr_start(WORKER, text, output, workers=count, before=before)
        sides.append(command_side(name, command, output=output))
    return Measure(
        name="scaling",
        about=f"word count, {sizes.text_megabytes} MB of Zipf text, held to 1 and to 2 cores",
        sides=sides,
        figures=[
            Figure(
                "P6",
                "1 worker ÷ 2 workers, wall",
                wall_ratio(names[0], names[1]),
                "",
                1.8,
                at_least=True,
                full_size=sizes.text_megabytes >= FULL.text_megabytes,
            )
        ],
        check=lambda: expect_equal(answer_of(outputs[0]), two_workers=answer_of(outputs[1])),
    )
