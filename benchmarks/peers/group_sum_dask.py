"""The sum of the values of each key, grouped by Dask Bag: group_sum_dask.py TEXT OUTPUT."""

from __future__ import annotations

import os
import sys
import tempfile
from operator import itemgetter

import dask
import dask.bag

Pair = tuple[str, int]
BLOCK_BYTES = 16 << 20


def pairs(line: str) -> list[Pair]:
    return [(word, len(word)) for word in line.split()]


def row(group: tuple[str, list[Pair]]) -> str:
    word, values = group
    return f"{word}\t{sum(value for _, value in values)}"


def main(text: str, output: str) -> None:
    workers = int(os.environ["PEER_WORKERS"])
    dask.config.set(
        scheduler="processes", num_workers=workers, temporary_directory=tempfile.gettempdir()
    )
    words = dask.bag.read_text(text, blocksize=BLOCK_BYTES).map(pairs).flatten()
    rows = words.groupby(itemgetter(0)).map(row)
    rows.to_textfiles(f"{output}/part-*.tsv", last_endline=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
