"""The feed: events numbered, stamped, and written as lines of JSON."""

import json

import msgspec
import pytest

from pymr.core.events import (
    AttemptFailed,
    AttemptProgressed,
    AttemptStarted,
    Entry,
    PhaseFinished,
    Published,
    Warned,
    WorkersConnected,
)
from pymr.core.spec import Attempt
from pymr.errors import ConfigError, StoreFullError, from_dict, to_dict
from pymr.observe.feed import (
    END_BYTES_MAX,
    Feed,
    JsonLines,
    encode_entry,
    last_word,
    read_entries,
    refused,
    thin,
)
from pymr.observe.snapshot import Snapshot, fold


def test_entries_are_numbered_from_one_and_stamped_and_go_to_every_sink():
    """All sinks see the same entries in the same order."""
    times = iter([10.0, 20.5])
    first, second = [], []
    feed = Feed([first.append, second.append], lambda: next(times))

    feed.append(WorkersConnected(4, 4))
    feed.append(PhaseFinished("map", 3))

    assert first == second
    assert first == [
        Entry(1, 1, 10.0, WorkersConnected(4, 4)),
        Entry(1, 2, 20.5, PhaseFinished("map", 3)),
    ]


def test_an_entry_is_one_flat_line_of_json():
    """The event's kind and fields stand beside `v`, `seq` and `time`."""
    lines = []
    feed = Feed([JsonLines(lines.append)], lambda: 1735689600.25)

    feed.append(AttemptStarted(Attempt("map", 3, 1), "worker-1"))

    assert lines == [
        b'{"v":1,"seq":1,"time":1735689600.25,"kind":"AttemptStarted",'
        b'"attempt":{"phase":"map","task":3,"number":1},"worker":"worker-1","backup":false,'
        b'"alone":false}\n'
    ]


def test_an_event_without_fields_is_a_line_too():
    """`kind` alone."""
    lines = []
    Feed([JsonLines(lines.append)], lambda: 0.0).append(Published())

    assert json.loads(lines[0]) == {"v": 1, "seq": 1, "time": 0.0, "kind": "Published"}


def test_text_that_is_no_unicode_does_not_stop_the_feed():
    """A lone surrogate in a user's message is written as `?`; the line stays JSON."""
    lines = []

    Feed([JsonLines(lines.append)], lambda: 0.0).append(Warned("bad \udcff\n\x1b[31m"))

    assert msgspec.json.decode(lines[0])["message"] == "bad ?\n\x1b[31m"
    assert lines[0].count(b"\n") == 1
    assert b"\x1b" not in lines[0]


def test_a_line_has_the_fields_of_its_event_beside_its_own():
    """Nested structs, errors and numbers, as plain JSON."""
    error = {"type": "InputError", "message": "gone", "hint": None, "fields": {"input": "a"}}
    entry = Entry(1, 7, 1.5, AttemptFailed(Attempt("reduce", 0, 2), error, will_retry=True))
    lines = []

    JsonLines(lines.append)(entry)

    plain = {"v": 1, "seq": 7, "time": 1.5, **msgspec.to_builtins(entry.event)}
    assert json.loads(lines[0]) == plain


def test_a_refusal_is_a_feed_of_one_entry():
    """It has the fields that every line has, and a view of it is that of a run that failed."""
    error = ConfigError("`--reducers` is 0, expected 1 or more", hint="h", setting="reducers")

    entry = refused(error, 10.5)

    line = json.loads(encode_entry(entry))
    assert list(line) == ["v", "seq", "time", "kind", "error", "manifest"]
    assert (line["v"], line["seq"], line["time"], line["kind"]) == (1, 1, 10.5, "RunFinished")
    told = from_dict(line["error"])
    assert (type(told), told.message, told.hint, told.fields) == (
        ConfigError,
        error.message,
        "h",
        {"setting": "reducers"},
    )
    assert fold(Snapshot(), entry).phase == "failed"


def test_of_the_progress_of_an_attempt_the_last_word_is_kept():
    """All other lines stay, in their order; so do those that are none of ours."""
    lines = []
    feed = Feed([JsonLines(lines.append)], lambda: 1.0)
    first, second = Attempt("map", 0, 1), Attempt("map", 1, 1)
    for event in [
        AttemptProgressed(first, 1, 1),
        AttemptProgressed(second, 2, 1),
        Warned("w"),
        AttemptProgressed(first, 3, 2),
    ]:
        feed.append(event)

    assert thin([*lines, b"\xff"]) == [*lines[1:], b"\xff"]


def test_the_last_word_is_the_line_that_a_feed_ends_with():
    """Whoever reads one, reads the other."""
    error = StoreFullError("no room", hint="make some", key="k")

    (entry,) = read_entries([last_word(error, 7.0)])

    assert entry == refused(error, 7.0)


@pytest.mark.parametrize("character", ["x", "\x01", "ä", "\U0001f600", "\udc80"])
def test_a_last_word_fits_into_what_a_kubelet_takes(character: str):
    """Its type and its beginning are left of it, whatever it is made of."""
    text = character * 5000
    error = StoreFullError(text, hint=text, key=text)

    word = last_word(error, 1735689600.25)

    (entry,) = read_entries([word])
    assert len(word) <= END_BYTES_MAX
    told = entry.event.error
    assert told["type"] == "StoreFullError"
    assert len(told["message"]) == len(told["hint"]) == 300
    assert told["fields"] == {}


def test_a_last_word_that_just_fits_is_whole():
    """The limit is that of the line."""
    error = StoreFullError("x" * (END_BYTES_MAX - len(last_word(StoreFullError(""), 0.0))))

    word = last_word(error, 0.0)

    assert len(word) == END_BYTES_MAX
    assert next(read_entries([word])).event.error == to_dict(error)
