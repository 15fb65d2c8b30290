"""Word count as a streaming query of Polars: word_count_polars.py TEXT OUTPUT."""

from __future__ import annotations

import sys

import polars as pl


def main(text: str, output: str) -> None:
    lines = pl.scan_csv(
        text, has_header=False, separator="\t", quote_char=None, schema={"word": pl.String}
    )
    words = lines.select(pl.col("word").str.split(" ").explode())
    counts = words.group_by("word").len()
    counts.sink_csv(output, include_header=False, separator="\t", engine="streaming")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
