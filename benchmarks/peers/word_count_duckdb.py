"""Word count as a query of DuckDB: word_count_duckdb.py TEXT OUTPUT."""

from __future__ import annotations

import os
import sys

import duckdb

QUERY = """
COPY (
    SELECT word, count(*)
    FROM (
        SELECT unnest(string_split(line, ' ')) AS word
        FROM read_csv(
            '{text}', columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,
            delim = '\t', quote = '', escape = ''
        )
    )
    GROUP BY word
) TO '{output}' (FORMAT csv, DELIMITER '\t', HEADER false)
"""


def main(text: str, output: str) -> None:
    duckdb.execute(f"SET threads = {os.environ['PEER_WORKERS']}")
    duckdb.execute("SET preserve_insertion_order = false")
    duckdb.execute(QUERY.format(text=text, output=output))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
