"""Text whose words are as unequal as those of a language: the word of rank r has weight 1 / r.

Deterministic: the same size gives the same bytes on every machine and version. By itself:

    python benchmarks/zipf_text.py 64 > text.txt
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from input_file import BYTES_PER_MB, WORDS_AT_ONCE, text_of, written_once

SEED = 1
VOCABULARY = 170_000  # in 64 MB nearly all of them occur
WORD_LENGTHS = range(4, 13)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def zipf_file(folder: Path, megabytes: int) -> Path:
    """Return a file of at least `megabytes` MB of whole lines, written if it is not there yet."""
    path = folder / f"zipf-{megabytes}MB-seed{SEED}.txt"
    return written_once(path, lambda: zipf_text(megabytes * BYTES_PER_MB))


def zipf_text(size: int) -> Iterator[bytes]:
    """Yield blocks of whole lines until at least `size` bytes were yielded."""
    for words in zipf_words():
        block = text_of(words)
        yield block
        size -= len(block)
        if size <= 0:
            return


def zipf_words() -> Iterator[list[str]]:
    """Yield WORDS_AT_ONCE words at a time, without end."""
    source = random.Random(SEED)
    words = [
        "".join(source.choices(LETTERS, k=source.choice(WORD_LENGTHS))) for _ in range(VOCABULARY)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    while True:
        yield source.choices(words, cum_weights=weights, k=WORDS_AT_ONCE)


if __name__ == "__main__":
    sys.stdout.buffer.writelines(zipf_text(int(sys.argv[1]) * BYTES_PER_MB))
