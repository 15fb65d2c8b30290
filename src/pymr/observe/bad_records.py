"""Bad records in words: grouped by what they raise and where, with some examples of each.

    2 records  KeyError in worker.py:7
      ▸ 7 │     ctx.emit(record["ts"], 1)
      KeyError 'ts'
      logs/19.gz  line 48213 (byte 3901127):  "u881,checkout,n/a"

Pure. Every text of the user is escaped and cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from pymr.observe.failure import short_path
from pymr.observe.quantity import show_many
from pymr.task.bad_record import BadRecord, kind_of
from pymr.task.blame import show_record
from pymr.text_form import show_text

KINDS_SHOWN_MAX = 20  # of which all records are counted; further ones are counted together
_TEXT_CHARS_MAX = 200


class Kind(msgspec.Struct):
    """Bad records that the same mistake has made."""

    count: int = 0
    examples: list[BadRecord] = []


def group(records: Iterable[BadRecord], examples_max: int | None) -> list[Kind]:
    """Return the kinds of `records`, those with most records first; None: all are examples."""
    kinds: dict[object, Kind] = {}
    for record in records:
        kind = kinds.setdefault(kind_of(record), Kind())
        kind.count += 1
        if examples_max is None or len(kind.examples) < examples_max:
            kind.examples.append(record)
    return sorted(kinds.values(), key=lambda kind: -kind.count)


def render_bad_records(kinds: list[Kind], limit: int) -> Iterator[str]:
    """Yield the lines about all kinds; `limit` is how many examples `group` has kept."""
    for kind in kinds[:KINDS_SHOWN_MAX]:
        yield from _render(kind, limit)
    rest = kinds[KINDS_SHOWN_MAX:]
    if rest:
        records = show_many(sum(kind.count for kind in rest), "more record")
        yield f"{records} of {show_many(len(rest), 'other kind')}: --json"


def _render(kind: Kind, limit: int) -> Iterator[str]:
    first = kind.examples[0]
    place = ""
    if first.traceback:
        last = first.traceback[-1]
        place = f" in {short_path(last['file'])}:{last['line']}"
    yield f"{show_many(kind.count, 'record')}  {show_text(first.error)}{place}"
    if first.traceback and first.traceback[-1].get("source"):
        last = first.traceback[-1]
        yield f"  ▸ {last['line']} │ {_cut(show_text(last['source'].expandtabs(4)))}"
    told = ""
    for record in kind.examples:
        if record.told != told:
            told = record.told
            yield f"  {_cut(show_text(told))}"
        yield f"  {_shown(record)}"
    if kind.count > len(kind.examples):
        more = show_many(kind.count - len(kind.examples), "more record")
        yield f"  … {more}: --limit {limit * 10}"


def _shown(record: BadRecord) -> str:
    line = f"  line {record.line}" if record.line is not None else ""
    data = f':  "{show_record(record.data)}"' if record.data else ""
    return f"{show_text(record.file)}{line} (byte {record.offset}){data}"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…"
