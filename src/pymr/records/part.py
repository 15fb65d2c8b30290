"""Output parts: rows to bytes with their totals, and bytes back to rows.

The same rows give the same bytes, whatever the sizes of the writes. The text forms are those
of `tsv.py` and `jsonl.py`, the column types those of `column.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import msgspec

from pymr._native import RowWriter
from pymr.errors import IntegrityError
from pymr.records import jsonl, tsv
from pymr.records.column import Column

RowText: TypeAlias = Callable[[Any, Any, Column, Column], str]

# 256 KiB between writes: a system call is then a few percent of making the rows.
WRITE_CHARS = 256 << 10

_FORMATS = {"tsv": tsv, "jsonl": jsonl}


class PartTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What was written to one part."""

    records: int
    bytes: int
    sha256: str  # hex, of all bytes
    key_type: str | None  # None: mixed, or no rows
    value_type: str | None
    key_mixed: bool
    value_mixed: bool


class PartWriter:
    """Turns (key, value) pairs into the bytes of one part.

    Rows of plain cells are made natively (`rust/src/output.rs`), all others by `tsv.py` and
    `jsonl.py`; the bytes and totals are those of `ReferencePartWriter`. `write` is given bytes
    it may keep, in order; it is called about every 256 KiB and by `finish`, which must be
    called once, last. Threads may emit side by side; they must have ended before `finish`.
    """

    def __init__(self, write: Callable[[bytes], None], output_format: str) -> None:
        self._blocks = _Blocks(write)
        self._columns = Column("key"), Column("value")
        make_row = partial(_make_row, _FORMATS[output_format].row_text, *self._columns)
        self.rows = RowWriter(output_format, make_row, self._blocks.write)
        self.emit = self.rows.emit  # A native method: what is called most costs least.

    def finish(self) -> PartTotals:
        """Write what is left and return the totals."""
        records, key_types, value_types = self.rows.finish()
        for column, names in zip(self._columns, (key_types, value_types), strict=True):
            for name in names:
                column.add(name)
        return self._blocks.totals(records, *self._columns)


def _make_row(row_text: RowText, keys: Column, values: Column, key: Any, value: Any) -> bytes:
    return row_text(key, value, keys, values).encode(errors="surrogateescape")


class ReferencePartWriter:
    """`PartWriter` in plain Python: what it must equal, byte for byte."""

    def __init__(self, write: Callable[[bytes], None], output_format: str) -> None:
        self._blocks = _Blocks(write)
        self._row_text = _FORMATS[output_format].row_text
        self._keys, self._values = Column("key"), Column("value")
        self._rows: list[str] = []
        self._chars = self._records = 0

    def emit(self, key: Any, value: Any) -> None:
        """Append one row.

        Raises:
            TypeError: a cell has no text form, or the key is not of a key's types; the
                message names the type and what to do. The row is not written.
            ValueError: a str that UTF-8 cannot encode, a dict whose keys have the same text,
                or nesting too deep for Python. The row is not written.
        """
        row = self._row_text(key, value, self._keys, self._values)
        self._rows.append(row)
        self._chars += len(row)
        if self._chars >= WRITE_CHARS:
            self._drain()

    def finish(self) -> PartTotals:
        """Write what is left and return the totals."""
        self._drain()
        return self._blocks.totals(self._records, self._keys, self._values)

    def _drain(self) -> None:
        if not self._rows:
            return
        data = "".join(self._rows).encode(errors="surrogateescape")
        self._records += len(self._rows)
        self._rows.clear()
        self._chars = 0
        self._blocks.write(data)


class _Blocks:
    """Passes blocks of a part on, and adds up what they were."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._bytes = 0
        self._sha256 = hashlib.sha256()

    def write(self, block: bytes) -> None:
        """Write one block."""
        self._bytes += len(block)
        self._sha256.update(block)
        self._write(block)

    def totals(self, records: int, keys: Column, values: Column) -> PartTotals:
        """Return the totals of all blocks."""
        return PartTotals(
            records=records,
            bytes=self._bytes,
            sha256=self._sha256.hexdigest(),
            key_type=keys.type_name,
            value_type=values.type_name,
            key_mixed=keys.is_mixed,
            value_mixed=values.is_mixed,
        )


def split_rows(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Yield the rows of a part without their `\n`, for chunks cut anywhere."""
    head: list[bytes] = []  # pieces of a row that is not complete yet
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        head.append(first)
        if rest:
            yield b"".join(head)
            yield from rest[:-1]
            head = [rest[-1]]
    if tail := b"".join(head):
        yield tail


def read_rows(
    chunks: Iterable[bytes], output_format: str, key_type: str | None, value_type: str | None
) -> Iterator[tuple[Any, Any]]:
    """Yield the (key, value) pairs of a part, cells of typed columns exactly as emitted.

    A mixed column (type None) gives the text of each cell in `tsv`, JSON values in `jsonl`.

    Raises:
        IntegrityError: a row is not of this format and these types.
    """
    parse = _FORMATS[output_format].row_parser(key_type, value_type)
    for number, row in enumerate(split_rows(chunks), start=1):
        try:
            pair = parse(row.decode(errors="surrogateescape"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError(
                f"row {number} of a part is {row[:80]!r},"
                f" expected {output_format} of `{key_type}` and `{value_type}`: {error}"
            ) from error
        yield pair
