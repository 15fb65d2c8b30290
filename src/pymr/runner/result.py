"""The result of a run, as a library user sees it: lazily read from the committed output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from pymr.errors import CorruptDataError
from pymr.observe.quantity import show_many
from pymr.records.part import read_rows, split_rows
from pymr.runner.reach import usual_access
from pymr.store.access import Access, is_address
from pymr.store.base import ObjectStore
from pymr.store.place import Place, open_place
from pymr.task.commit import open_part
from pymr.task.manifest import Manifest, ManifestPart, read_manifest
from pymr.text_form import show_path

if TYPE_CHECKING:
    from pymr.task.bad_record import BadRecord


class Result:
    """The committed output of a run: iterate over it for `(key, value)` pairs.

    Pairs come part by part, in key order within a part. Every iteration reads again. Types
    are exact where a column has one type (`manifest.columns`); a mixed TSV column is text.
    """

    def __init__(self, output: str | os.PathLike[str] | Place) -> None:
        """Read an output: a folder, or an address of a store that is reached as usual."""
        if isinstance(output, str | os.PathLike):
            text = os.fspath(output)
            place = open_place(text, usual_access() if is_address(text) else Access())
        else:
            place = output
        self.output = str(place)
        self._store: ObjectStore = place.objects

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, whose digest has been checked."""
        return read_manifest(self._store)

    @property
    def counters(self) -> dict[str, int]:
        """What the job counted with `ctx.count`."""
        return dict(self.manifest.counters)

    @property
    def bad_records(self) -> list[BadRecord]:
        """The records that were left out since the mapper raises for them, in input order."""
        from pymr.runner.bad_records import bad_records_in

        return list(bad_records_in(self._store, self.manifest))

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return chain.from_iterable(map(self.rows, self.manifest.parts))

    def rows(self, part: ManifestPart) -> Iterator[tuple[Any, Any]]:
        """Return the pairs of one part."""
        columns = self.manifest.columns
        return read_rows(self.chunks(part), self.manifest.output_format, columns.key, columns.value)

    def chunks(self, part: ManifestPart) -> Iterator[bytes]:
        """Yield the bytes of one part, in pieces.

        Raises:
            CorruptDataError: at the end, if they are not those that were committed.
        """
        try:
            yield from open_part(self._store, part)
        except CorruptDataError as error:
            error.hint = f"pymr verify {show_path(self.output)}   names all that differs"
            raise

    def raw_rows(self) -> Iterator[bytes]:
        r"""Return all rows as they stand in the parts, without their `\n`."""
        for part in self.manifest.parts:
            yield from split_rows(self.chunks(part))

    def first_part_rows(self) -> Iterator[bytes]:
        """Return the rows of the first part that has any, as they stand in it."""
        first = next((part for part in self.manifest.parts if part.records), None)
        return iter(()) if first is None else split_rows(self.chunks(first))

    def head(self, number: int = 10) -> list[tuple[Any, Any]]:
        """Return the first `number` pairs."""
        return list(islice(self, number))

    def __repr__(self) -> str:
        parts = self.manifest.parts
        rows = sum(part.records for part in parts)
        text = f"{show_many(rows, 'row')} in {show_many(len(parts), 'part')}"
        return f"<pymr.Result {self.manifest.name}: {text}>"
