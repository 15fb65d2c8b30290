"""P8: the peak of the memory of all processes, and that the job ends; once each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from answers import answer_from, answer_of, expect_equal
from command import FOLDER, HERE, command_side, pymr_start, remove
from contest import Figure, Measure, SkippedError
from fixed_records import RECORD_BYTES, RECORDS_PER_MB, records_file
from growth import keyed_rows
from sizes import FULL, Sizes

MEMORY = "512M"
MEMORY_MB = (512 << 20) / 1e6
DISTINCT, ONE = "distinct keys", "one key"


def memory(sizes: Sizes) -> Measure:
    """Return the measure.

    Raises:
        SkippedError: the system does not tell the memory of processes as Linux does.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise SkippedError("memory needs /proc/*/smaps_rollup, which Linux has")
    megabytes = sizes.memory_megabytes
    text = records_file(FOLDER, megabytes)
    outputs = {DISTINCT: FOLDER / "memory-distinct", ONE: FOLDER / "memory-one"}
    workers = {DISTINCT: "distinct_keys.py", ONE: "one_key.py"}
    lines = megabytes * RECORDS_PER_MB
    counts = {"lines": lines, "characters": lines * (RECORD_BYTES - 1)}

    def check() -> None:
        expect_equal(keyed_rows(text), pymr=answer_of(outputs[DISTINCT]))
        rows = (f"{name}\t{count}\n".encode() for name, count in counts.items())
        expect_equal(answer_from(rows), pymr=answer_of(outputs[ONE]))
        for output in outputs.values():  # they are as large as the input
            with suppress(OSError):
                remove(output)

    return Measure(
        name="memory",
        about=f"records of 100 bytes, {megabytes:,} MB, --memory {MEMORY}",
        sides=[
            command_side(
                name,
                pymr_start(HERE / "workers" / workers[name], text, output, memory=MEMORY),
                output=output,
                once=True,
                sample_memory=True,
            )
            for name, output in outputs.items()
        ],
        figures=[
            Figure(
                "P8",
                f"{name}, peak sum of PSS",
                lambda took, name=name: took[name].memory_mb,  # type: ignore[misc]
                "MB",
                MEMORY_MB,
                full_size=megabytes >= FULL.memory_megabytes,
            )
            for name in outputs
        ],
        check=check,
    )
