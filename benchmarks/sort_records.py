"""P5: records of 100 bytes in the order of their bytes, beside GNU sort with the same memory.

The outputs are compared byte by byte: the parts in their order, each row without the tab that
stands before its empty value.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from command import FOLDER, HERE, WORKERS, command_side, pymr_start
from contest import Figure, Measure, SkippedError, WrongAnswerError, wall_ratio
from fixed_records import records_file
from sizes import FULL, Sizes

MEMORY = "256M"  # the least that PyMR takes, so that there is something to spill
GNU_SORT = "GNU sort"
WORKER = HERE / "workers/sorted_lines.py"
READ_BYTES = 1 << 20


def sort_records(sizes: Sizes) -> Measure:
    """Return the measure.

    Raises:
        SkippedError: the machine has no GNU sort.
    """
    sort = shutil.which("sort")
    if sort is None or "GNU" not in _output_of([sort, "--version"]):
        raise SkippedError("sort_records needs GNU sort   get it: sudo apt install coreutils")
    megabytes = sizes.sort_megabytes
    text = records_file(FOLDER, megabytes)
    expected, ours = FOLDER / "sorted-gnu.txt", FOLDER / "sorted-pymr"
    options = [f"--parallel={WORKERS}", "-S", MEMORY, "-T", str(FOLDER), "-o", str(expected)]
    pymr = pymr_start(WORKER, text, ours, memory=MEMORY)

    def check() -> None:
        wanted, found = _digest(_blocks(expected)), _digest(_lines_of(ours))
        if found != wanted:
            raise WrongAnswerError(f"pymr: the sorted lines have SHA-256 {found}, not {wanted}")

    return Measure(
        name="sort_records",
        about=f"total order, {megabytes:,} MB of records of 100 bytes, {MEMORY}",
        sides=[
            command_side(
                GNU_SORT, [sort, *options, str(text)], output=expected, environment={"LC_ALL": "C"}
            ),
            command_side("pymr start --sort", [*pymr, "--sort"], output=ours),
        ],
        figures=[
            Figure(
                "P5",
                f"÷ LC_ALL=C sort --parallel={WORKERS} -S {MEMORY}, wall",
                wall_ratio("pymr start --sort", GNU_SORT),
                "",
                0.7,
                full_size=megabytes >= FULL.sort_megabytes,
            )
        ],
        check=check,
    )


def _output_of(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _lines_of(output: Path) -> Iterator[bytes]:
    """Yield the keys of all parts in their order, as lines."""
    for part in sorted(output.glob("part-*")):
        for block in _blocks(part):
            yield block.replace(b"\t", b"")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            yield block


def _digest(blocks: Iterator[bytes]) -> str:
    total = sha256()
    for block in blocks:
        total.update(block)
    return total.hexdigest()
