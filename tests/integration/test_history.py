"""The history file of a run: appended while it goes, read when it is over."""

import resource
from pathlib import Path

import pytest

from pymr.core.events import PhaseFinished, RunFinished, Warned, WorkersConnected
from pymr.observe.feed import Feed, JsonLines, read_entries
from pymr.store.folder_place import FolderHistory

EVENTS = [WorkersConnected(2, 2), Warned("é\n"), PhaseFinished("map", 1), RunFinished(None)]


def read(path):
    return list(read_entries(Path(path).read_bytes().splitlines()))


def test_what_is_appended_is_read_back(tmp_path):
    """Entries come back equal, also over two sessions of writing."""
    path = str(tmp_path / "run" / "events.jsonl")
    wrote = []

    for _ in range(2):
        with FolderHistory(path) as history:
            feed = Feed([JsonLines(history.append), wrote.append], lambda: 12.5)
            for event in EVENTS:
                feed.append(event)

    assert read(path) == wrote
    assert len(wrote) == 8


def test_every_prefix_of_a_history_is_read_without_its_torn_line(tmp_path):
    """A run that was killed leaves whatever had reached the disk."""
    path = tmp_path / "events.jsonl"
    wrote = []
    with FolderHistory(str(path)) as history:
        feed = Feed([JsonLines(history.append), wrote.append], lambda: 12.5)
        for event in EVENTS:
            feed.append(event)
    data = path.read_bytes()

    for size in range(len(data)):
        path.write_bytes(data[:size])
        whole = data[:size].count(b"\n") + data[: size + 1].endswith(b"}\n")
        assert read(path) == wrote[:whole], size


def test_a_kind_that_is_not_known_is_passed_over(tmp_path):
    """A newer PyMR may know more."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'{"v":1,"seq":1,"time":1.0,"kind":"FromTheFuture"}\n'
        b"\xff\n"
        b'{"v":1,"seq":2,"time":2.0,"kind":"Warned","message":"m","more":1}\n'
    )

    assert [(entry.seq, entry.event) for entry in read(path)] == [(2, Warned("m"))]


def test_a_line_that_is_written_in_part_ends_the_history(tmp_path):
    """A next line would be glued to it; those before are read."""
    path = str(tmp_path / "events.jsonl")
    warnings = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    with FolderHistory(path, warnings.append) as history:
        feed = Feed([JsonLines(history.append)], lambda: 12.5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            for event in EVENTS:
                feed.append(event)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert len(warnings) == 1
    assert "no space left" in warnings[0]
    assert [entry.event for entry in read(path)] == EVENTS[:1]


@pytest.mark.parametrize("path", ["/dev/full", "/proc/no/such/folder/events.jsonl"])
def test_a_history_that_can_not_be_written_warns_once_and_the_run_goes_on(path):
    """A full disk, or a folder that can not be made."""
    warnings, seen = [], []

    with FolderHistory(path, warnings.append) as history:
        feed = Feed([JsonLines(history.append), seen.append], lambda: 0.0)
        for event in EVENTS:
            feed.append(event)

    assert len(seen) == len(EVENTS)
    assert len(warnings) == 1
    assert f"history `{path}` can not be written" in warnings[0]
    assert "the run goes on without it" in warnings[0]
