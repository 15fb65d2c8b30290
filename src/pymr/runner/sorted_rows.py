"""All rows of a result in the order of their typed keys, in bounded memory.

A reducer may emit any key, so parts need not be sorted by the keys that they hold. The sort
is the shuffle's: a buffer that spills, one partition, a merge. Equal keys keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import tee

from pymr.core.spec import Limits
from pymr.errors import InputError
from pymr.records.part import read_rows, split_rows
from pymr.runner.result import Result
from pymr.shuffle.buffer import MapBuffer
from pymr.shuffle.merge import ReduceMerge
from pymr.shuffle.sorted_run import SortedRunReader
from pymr.store.local import LocalStore


def sorted_rows(result: Result, folder: str) -> Iterator[bytes]:
    """Yield the rows of `result` as they stand in its parts, by key; `folder` is for spills.

    Raises:
        InputError: the keys have no order (lists or dicts).
    """
    limits = Limits()
    buffer = MapBuffer(partitions=1, limits=limits, spill_folder=f"{folder}/spill")
    store = LocalStore(folder)
    for key, row in _keyed_rows(result):
        try:
            buffer.emit(key, row)
        except TypeError as error:
            raise InputError(
                f"rows cannot be sorted: {error}", hint="pymr cat without --sorted"
            ) from error
    with store.create("sorted") as writer:
        buffer.finish(writer)
        writer.commit()
    run = SortedRunReader(partial(store.get_range, "sorted"), store.size("sorted"), "sorted")
    merge = ReduceMerge([run], 0, limits=limits, spill_folder=f"{folder}/merge", combine=None)
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
            yield key, row
