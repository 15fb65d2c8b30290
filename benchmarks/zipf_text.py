"""Text whose words are as unequal as those of a language: the word of rank r has weight 1 / r.

Deterministic: the same size gives the same bytes on every machine and version. By itself:

    python benchmarks/zipf_text.py 64 > text.txt
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

SEED = 1
VOCABULARY = 170_000  # in 64 MB nearly all of them occur
WORD_LENGTHS = range(4, 13)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LINE_WORDS = 12
LINES_AT_ONCE = 4096
BYTES_PER_MB = 1_000_000


def zipf_file(folder: Path, megabytes: int) -> Path:
    """Return a file of at least `megabytes` MB of whole lines, written if it is not there yet."""
    path = folder / f"zipf-{megabytes}MB-seed{SEED}.txt"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            file.writelines(zipf_text(megabytes * BYTES_PER_MB))
        partial.rename(path)
    return path


def zipf_text(size: int) -> Iterator[bytes]:
    """Yield blocks of whole lines until at least `size` bytes were yielded."""
    source = random.Random(SEED)
    words = [
        "".join(source.choices(LETTERS, k=source.choice(WORD_LENGTHS))) for _ in range(VOCABULARY)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    while size > 0:
        drawn = source.choices(words, cum_weights=weights, k=LINE_WORDS * LINES_AT_ONCE)
        lines = (" ".join(drawn[at : at + LINE_WORDS]) for at in range(0, len(drawn), LINE_WORDS))
        block = ("\n".join(lines) + "\n").encode()
        size -= len(block)
        yield block


if __name__ == "__main__":
    sys.stdout.buffer.writelines(zipf_text(int(sys.argv[1]) * BYTES_PER_MB))
