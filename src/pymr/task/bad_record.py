"""A bad record: one for which the mapper raises, as it stands in `_bad/` for people and tools.

    {"task": "map-0017", "file": "logs/19.gz", "line": 48213, "offset": 3901127, "size": 17, …}

One line of JSON each, in the order of the input. Fields are only ever added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from pymr.core.spec import BadObject, InputFile
from pymr.records.part import split_rows
from pymr.store.base import ObjectWriter
from pymr.task.blame import message_of, user_frames
from pymr.text_form import show_path

BAD_BYTES_MAX = 1 << 20  # of a record that are kept; the place says where the rest is
EXAMPLE_CHARS_MAX = 1000  # of a record in an error that ends the run: it stands in the history
ERROR_CHARS_MAX = 200  # of what most records raise, in a receipt
_MESSAGE_CHARS_MAX = 2000  # as of any error of user code


class BadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was left out, and why: `error: message`, raised at the last of `frames`."""

    task: str
    file: str  # escaped, where its name is no text
    line: int | None  # None: of a whole file, or too far from the front to be counted
    offset: int  # bytes; in the decoded bytes of a compressed input
    size: int  # bytes of the record
    text: str | None = None  # the record, without the end of its line; or else …
    base64: bytes | None = None  # … its bytes; at most BAD_BYTES_MAX of them
    error: str  # the type
    message: str = ""
    traceback: tuple[dict[str, Any], ...] = ()  # frames of the user's: file, line, function, source

    @property
    def data(self) -> str | bytes:
        """The record, as it stands here."""
        return self.text if self.text is not None else self.base64 or b""

    @property
    def is_cut(self) -> bool:
        """There is more of the record in the input."""
        data = self.data
        return self.size > len(data.encode() if isinstance(data, str) else data)

    @property
    def told(self) -> str:
        """What it raises, in one line: `KeyError 'ts'`."""
        return f"{self.error} {self.message.partition(chr(10))[0]}".rstrip()


class Place(NamedTuple):
    """Where a record is."""

    file: InputFile
    line: int | None
    offset: int


def bad_record(task: str, place: Place, data: str | bytes, error: BaseException) -> BadRecord:
    """Return the record `data`, for which the mapper has raised `error`."""
    if isinstance(data, str):
        data = data.removesuffix("\n")
    kept, size = _kept(data)
    return BadRecord(
        task=task,
        file=show_path(place.file.name),
        line=place.line,
        offset=place.offset,
        size=size,
        text=kept if isinstance(kept, str) else None,
        base64=kept if isinstance(kept, bytes) else None,
        error=type(error).__name__,
        message=message_of(error)[:_MESSAGE_CHARS_MAX],
        traceback=tuple(user_frames(error.__traceback__)),
    )


def _kept(data: str | bytes) -> tuple[str | bytes, int]:
    """Return what is kept of a record, and its size in bytes."""
    body = data if isinstance(data, bytes) else data.encode(errors="surrogateescape")
    size, body = len(body), body[:BAD_BYTES_MAX]
    if isinstance(data, bytes):
        return body, size
    try:
        return body.decode(errors="strict" if size <= BAD_BYTES_MAX else "ignore"), size
    except UnicodeDecodeError:  # --errors surrogateescape: bytes that are no text
        return body, size


def _cut(record: BadRecord) -> BadRecord:
    text = None if record.text is None else record.text[:EXAMPLE_CHARS_MAX]
    base64 = None if record.base64 is None else record.base64[:EXAMPLE_CHARS_MAX]
    return msgspec.structs.replace(record, text=text, base64=base64)


class BadRecordWriter:
    """Writes bad records into an object, and keeps the first `examples_max` of them."""

    def __init__(self, writer: ObjectWriter, examples_max: int) -> None:
        self.count = 0
        self.examples: list[BadRecord] = []
        self._writer = writer
        self._examples_max = examples_max
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._kinds: dict[object, int] = {}  # how often, by type of error and line that raises it
        self._told: dict[object, str] = {}  # the first of each kind

    def add(self, record: BadRecord) -> None:
        """Write one record."""
        line = msgspec.json.encode(record) + b"\n"
        self._writer.write(line)
        self._sha256.update(line)
        self._size += len(line)
        self.count += 1
        kind = kind_of(record)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        self._told.setdefault(kind, record.told[:ERROR_CHARS_MAX])
        if len(self.examples) < self._examples_max:
            self.examples.append(_cut(record))

    @property
    def error(self) -> str:
        """What most of them raise, for people."""
        return self._told[max(self._kinds, key=lambda kind: self._kinds[kind])]

    def finish(self, key: str) -> BadObject:
        """Make the object, which is named `key`, visible and durable, and return what it is."""
        self._writer.commit()
        return BadObject(
            key=key, size=self._size, sha256=self._sha256.hexdigest(), error=self.error
        )


def kind_of(record: BadRecord) -> tuple[str, str, int]:
    """Return what the same mistake has in common: the error, and the user's line that raises it."""
    last = record.traceback[-1] if record.traceback else {}
    return record.error, last.get("file", ""), last.get("line", 0)


def read_bad_records(chunks: Iterable[bytes]) -> Iterator[BadRecord]:
    """Yield the records of an object, whose bytes come in pieces."""
    return map(msgspec.json.Decoder(BadRecord).decode, split_rows(chunks))
