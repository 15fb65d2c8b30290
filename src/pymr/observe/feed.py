"""The feed: every event of a run, numbered and stamped, for whoever watches.

    event ─► Feed ─► Entry(seq, time) ─► history, JSON lines, progress, …

The feed is best effort: what decides a run stands in its journal, and a sink that can not
write must not stop the run. One line of JSON for each entry, one schema everywhere
(docs/reference/events.md):

    {"v":1,"seq":1,"time":1735689600.0,"kind":"WorkersConnected","count":4,"wanted":4}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import msgspec

from pymr.core.events import SCHEMA_VERSION, AnyEvent, Entry, Event, RunFinished
from pymr.core.spec import Attempt
from pymr.errors import PymrError, to_dict

Sink = Callable[[Entry], object]
END_FILE = "_PYMR_END_FILE"  # names a file for `last_word` in the environment of a command
END_BYTES_MAX = 4096  # of the word that a container leaves: what a kubelet takes of it
END_TEXT_CHARS_MAX = 300  # of its message and its hint, if it is too long; six bytes each at most


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


def refused(error: PymrError, time: float, *, after: int = 0) -> Entry:
    """Return the end of a feed, at `time` (Unix seconds), of which the run itself has told none.

    `after` is the number of the last entry; without one it is the whole feed.
    """
    return Entry(SCHEMA_VERSION, after + 1, time, RunFinished(to_dict(error)))


def last_word(error: PymrError, time: float) -> bytes:
    """Return `refused` as a line of END_BYTES_MAX at most: its fields are left out if need be."""
    whole = encode_entry(refused(error, time))
    if len(whole) <= END_BYTES_MAX:
        return whole
    hint = error.hint and error.hint[:END_TEXT_CHARS_MAX]
    short = type(error)(error.message[:END_TEXT_CHARS_MAX], hint=hint)
    return encode_entry(refused(short, time))


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Yield the entries of a history, or of JSON lines that were saved.

    A line that is no entry is passed over: the last one may be torn, and a newer PyMR may
    know more kinds of events.
    """
    return filter(None, map(_parser(), lines))


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


def thin(lines: list[bytes]) -> list[bytes]:
    """Return `lines` of a history, of the progress of each attempt the last one only."""
    decode = msgspec.json.Decoder(_Progress).decode
    kept, told = [], set()
    for line in reversed(lines):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            attempt = decode(line).attempt
            if attempt in told:
                continue
            told.add(attempt)
        kept.append(line)
    return kept[::-1]


def last_seq(lines: Iterable[bytes]) -> int:
    """Return the number of the last entry of a history; 0 if it has none."""
    decode_head = msgspec.json.Decoder(_Head).decode
    seq = 0
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            seq = decode_head(line).seq
    return seq


class _Progress(msgspec.Struct, tag_field="kind", tag="AttemptProgressed"):
    attempt: Attempt


class _Head(msgspec.Struct):
    v: int
    seq: int
    time: float
