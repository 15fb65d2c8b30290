"""The word count that a Python programmer writes by hand: `multiprocessing` and `Counter`.

    python word_count_multiprocessing.py TEXT WORKERS OUTPUT

Each worker counts one range of the file in pieces of 64 KB, its best size, with one Counter.
It does no more than it must: rows are not sorted, nothing is checked, and a failure halfway
leaves half a file. UTF-8 text of lines that fit in memory is assumed.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path

PIECE_BYTES = 64 << 10


def count_range(path: str, start: int, end: int) -> Counter[str]:
    """Count the words of the lines whose first byte lies in [start, end)."""
    counts: Counter[str] = Counter()
    with Path(path).open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while (position := file.tell()) < end:
            piece = file.read(min(PIECE_BYTES, end - position))
            if not piece.endswith(b"\n"):
                piece += file.readline()
            counts.update(piece.decode().split())
    return counts


def main(path: str, workers: int, output: str) -> None:
    size = Path(path).stat().st_size
    cuts = [size * number // workers for number in range(workers + 1)]
    ranges = [(path, start, end) for start, end in pairwise(cuts)]
    total: Counter[str] = Counter()
    with Pool(workers) as pool:
        for counts in pool.starmap(count_range, ranges):
            total.update(counts)
    with Path(output).open("w") as file:
        file.writelines(f"{word}\t{count}\n" for word, count in total.items())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
