"""What the jobs of `same_bytes_jobs` read, and the parts that must come out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from oracle import reference
from same_bytes_jobs import pairs_of

REDUCERS = 3
WORDS = [f"w{number}" for number in range(300)]
ROW = {"tsv": "{key}\t{value}\n", "jsonl": '{{"key":{key},"value":{value}}}\n'}


def expected_parts(
    paths: list[str],
    value_of: Callable[[str, int], Any],
    reduce: Callable[[Iterable[Any]], Any],
    output_format: str,
) -> list[str]:
    """Return the text of each part, by the reference."""
    parts = reference(
        [line for path in paths for line in Path(path).read_text().split("\n")],
        lambda line: pairs_of(line, value_of),
        lambda _key, values: reduce(values),
        REDUCERS,
    )
    return ["".join(row_of(key, value, output_format) for key, value in rows) for rows in parts]


def row_of(key: Any, value: Any, output_format: str) -> str:
    is_plain = output_format == "tsv" and isinstance(value, str)
    shown = value if is_plain else json.dumps(value, ensure_ascii=False)
    return ROW[output_format].format(key=json.dumps(key, separators=(",", ":")), value=shown)


def write_inputs(folder: Path) -> list[str]:
    """Write files of very different sizes, with long lines, empty lines and no last newline."""
    chance = random.Random(7)
    paths = []
    for number, lines in enumerate((60, 0, 1, 200)):
        rows = [
            " ".join([f"{number}:{row}", *chance.choices(WORDS, k=chance.choice((0, 3, 12, 200)))])
            for row in range(lines)
        ]
        path = folder / f"in-{number}.txt"
        path.write_bytes("\n".join(rows).encode() + (b"\n" if number % 2 else b""))
        paths.append(str(path))
    return paths
