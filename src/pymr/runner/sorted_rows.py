"""All rows of a result in the order of their typed keys, in bounded memory.

A reducer may emit any key, so parts need not be sorted by the keys that they hold. The sort
is the shuffle's: a buffer that spills, one partition, a merge. Equal keys keep their order.
Where keys have several types, TSV has only their text, and JSON lines a list for a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import tee

from pymr.core.spec import Limits
from pymr.records.part import read_rows, split_rows
from pymr.runner.result import Result
from pymr.shuffle.engine import map_buffer, reduce_merge
from pymr.shuffle.sorted_run import SortedRunReader
from pymr.store.local import LocalStore


def sorted_rows(result: Result, folder: str) -> Iterator[bytes]:
    """Yield the rows of `result` as they stand in its parts, by key; `folder` is for spills."""
    limits = Limits()
    buffer = map_buffer(partitions=1, limits=limits, spill_folder=f"{folder}/spill")
    store = LocalStore(folder)
    for key, row in _keyed_rows(result):
        buffer.emit(key, row)
    with store.create("sorted") as writer:
        buffer.finish(writer)
        writer.commit()
    run = SortedRunReader(partial(store.get_range, "sorted"), store.size("sorted"), "sorted")
    merge = reduce_merge([run], 0, limits=limits, spill_folder=f"{folder}/merge", combine=None)
    for _key, rows in merge:
        yield from rows


def _keyed_rows(result: Result) -> Iterator[tuple[object, bytes]]:
    manifest = result.manifest
    columns = manifest.columns
    for part in manifest.parts:
        rows, texts = tee(split_rows(result.chunks(part)))
        lines = (text + b"\n" for text in texts)
        pairs = read_rows(lines, manifest.output_format, columns.key, columns.value)
        for (key, _value), row in zip(pairs, rows, strict=True):
            yield _as_key(key), row


def _as_key(key: object) -> object:
    """Return a key as it was emitted, if JSON has made a list of a tuple."""
    return tuple(map(_as_key, key)) if isinstance(key, list) else key
