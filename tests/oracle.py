"""The 20-line reference that every engine must agree with: sorted + groupby, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from pymr._native import xxh3_64
from pymr.shuffle.codec import encode_key

Pair = tuple[Any, Any]


def reference(
    records: Iterable[Any],
    mapper: Callable[[Any], Iterable[Pair]],
    reducer: Callable[[Any, list[Any]], Any],
    reducers: int,
) -> Iterator[list[Pair]]:
    """Yield the rows of each part: keys in order, values in input order."""
    emitted = [(encode_key(key), key, value) for record in records for key, value in mapper(record)]
    for part in range(reducers):
        mine = [pair for pair in emitted if xxh3_64(pair[0]) % reducers == part]
        groups = groupby(sorted(mine, key=itemgetter(0)), key=itemgetter(0))
        rows = []
        for _, group in groups:
            pairs = list(group)
            rows.append((pairs[0][1], reducer(pairs[0][1], [value for _, _, value in pairs])))
        yield rows
