"""P7: four times the input with the same memory; every byte of it goes through the shuffle."""

from __future__ import annotations

from pathlib import Path

from answers import Answer, answer_from, answer_of, expect_equal
from command import FOLDER, HERE, command_side, pymr_start
from contest import Figure, Measure, wall_ratio
from fixed_records import KEY_BYTES, records_file
from sizes import FULL, Sizes

MEMORY = "512M"
TIMES = 4
WORKER = HERE / "workers/distinct_keys.py"


def growth(sizes: Sizes) -> Measure:
    amounts = [sizes.growth_megabytes, sizes.growth_megabytes * TIMES]
    names = [f"{megabytes:,} MB" for megabytes in amounts]
    texts = [records_file(FOLDER, megabytes) for megabytes in amounts]
    outputs = [FOLDER / "growth-small", FOLDER / "growth-large"]
    expected = [keyed_rows(text) for text in texts]

    def check() -> None:
        for wanted, output in zip(expected, outputs, strict=True):
            expect_equal(wanted, pymr=answer_of(output))

    return Measure(
        name="growth",
        about=f"records of 100 bytes by key, --memory {MEMORY}",
        sides=[
            command_side(name, pymr_start(WORKER, text, output, memory=MEMORY), output=output)
            for name, text, output in zip(names, texts, outputs, strict=True)
        ],
        figures=[
            Figure(
                "P7",
                f"{names[1]} ÷ {names[0]}, wall",
                wall_ratio(names[1], names[0]),
                "",
                4.2,
                full_size=sizes.growth_megabytes >= FULL.growth_megabytes,
            )
        ],
        check=check,
    )


def keyed_rows(text: Path) -> Answer:
    """Return the answer that `workers/distinct_keys.py` must give."""
    with text.open("rb") as lines:
        return answer_from(line[:KEY_BYTES] + b"\t" + line[KEY_BYTES:] for line in lines)
