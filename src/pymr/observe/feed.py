"""The feed: every event of a run, numbered and stamped, for whoever watches.

    event ─► Feed ─► Entry(seq, time) ─► history file, JSON lines, progress, …

The feed is best effort: what decides a run stands in its journal, and a sink that can not
write must not stop the run. One line of JSON for each entry, one schema everywhere
(docs/reference/events.md):

    {"v":1,"seq":1,"time":1735689600.0,"kind":"WorkersConnected","count":4,"wanted":4}
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from pymr import failpoint
from pymr.core.events import SCHEMA_VERSION, AnyEvent, Entry, Event, RunFinished
from pymr.errors import PymrError, to_dict
from pymr.store.disk import make_folder
from pymr.text_form import show_path

_READ_BYTES = 1 << 20

Sink = Callable[[Entry], object]


class Feed:
    """Numbers events from `seq`, stamps them with `clock` (Unix seconds), hands them to sinks."""

    def __init__(self, sinks: list[Sink], clock: Callable[[], float], seq: int = 1) -> None:
        self._sinks = sinks
        self._clock = clock
        self._seq = seq

    def append(self, event: Event) -> None:
        """Hand `event` to every sink, in their order."""
        entry = Entry(SCHEMA_VERSION, self._seq, self._clock(), event)  # type: ignore[arg-type]
        self._seq += 1
        for sink in self._sinks:
            sink(entry)


class JsonLines:
    """A sink that writes one line of JSON for each entry."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def __call__(self, entry: Entry) -> None:
        """Write one line, with its newline, in one call."""
        self._write(encode_entry(entry))


class HistoryFile:
    """A sink that appends to a file, for those who come later. Use it in a `with` block.

    If the file can not be written, `warn` is told once and the run goes on without history.
    """

    def __init__(self, path: str, warn: Callable[[str], object] | None = None) -> None:
        self._path = path
        self._warn = warn or _warn_on_stderr
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            make_folder(os.path.dirname(self._path) or ".")
            # Unbuffered: a run that is killed leaves all but the line it was writing.
            self._file = open(self._path, "ab", buffering=0)
            if _is_torn(self._path):
                self._file.write(b"\n")
        except OSError as error:
            self._give_up(error.strerror)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __call__(self, entry: Entry) -> None:
        """Append one line, if the file still takes it."""
        if self._file is None:
            return
        line = encode_entry(entry)
        try:
            failpoint.hit("history.append")
            written = self._file.write(line)
        except OSError as error:
            self._give_up(error.strerror)
            return
        if written < len(line):
            self._give_up("no space left")

    def _give_up(self, reason: str | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._warn(
            f"history `{show_path(self._path)}` can not be written: {reason};"
            " the run goes on without it"
        )


def _warn_on_stderr(message: str) -> None:
    sys.stderr.write(f"warning: {message}\n")


def encode_entry(entry: Entry) -> bytes:
    """Return `entry` as one line of JSON: the event's fields beside `v`, `seq` and `time`."""
    try:
        event = msgspec.json.encode(entry.event)
    except UnicodeEncodeError:  # A lone surrogate in a user's message.
        import json

        text = json.dumps(msgspec.to_builtins(entry.event), ensure_ascii=False)
        event = text.encode(errors="replace")
    head = f'{{"v":{entry.v},"seq":{entry.seq},"time":{entry.time!r},'
    return head.encode() + event[1:] + b"\n"


def refused(error: PymrError, time: float) -> Entry:
    """Return the whole feed of a run that was refused at `time` (Unix seconds): its end."""
    return Entry(SCHEMA_VERSION, 1, time, RunFinished(to_dict(error)))


def read_history(path: str) -> Iterator[Entry]:
    """Yield the entries of a history file, or of JSON lines that were saved.

    A line that is no entry is passed over: the last one may be torn, and a newer PyMR may
    know more kinds of events.

    Raises:
        OSError: the file can not be read.
    """
    with open(path, "rb") as lines:
        yield from filter(None, map(_parser(), lines))


def _parser() -> Callable[[bytes], Entry | None]:
    """Return what reads a line, and passes over one that is no entry."""
    decode_head = msgspec.json.Decoder(_Head).decode
    decode_event = msgspec.json.Decoder(AnyEvent).decode

    def parse(line: bytes) -> Entry | None:
        try:
            head, event = decode_head(line), decode_event(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return Entry(head.v, head.seq, head.time, event)

    return parse


def follow(path: str, wait: Callable[[], bool]) -> Iterator[Entry]:
    """Yield the entries of a history file, and those that are appended to it.

    `wait` is called before each look; it returns whether more may come after it.

    Raises:
        OSError: the file can not be read.
    """
    parse = _parser()
    with open(path, "rb") as lines:
        rest, may_come = b"", True
        while may_come:
            may_come = wait()
            while data := lines.read(_READ_BYTES):
                *whole, rest = (rest + data).split(b"\n")
                yield from filter(None, map(parse, whole))


def last_seq(path: str) -> int:
    """Return the number of the last entry of a history file; 0 if it has none."""
    decode_head = msgspec.json.Decoder(_Head).decode
    seq = 0
    with suppress(OSError), open(path, "rb") as lines:
        for line in lines:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                seq = decode_head(line).seq
    return seq


def _is_torn(path: str) -> bool:
    """Say whether the last line was cut short by a crash."""
    with open(path, "rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


class _Head(msgspec.Struct):
    v: int
    seq: int
    time: float
