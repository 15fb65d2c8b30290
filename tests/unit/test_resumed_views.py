"""A run of several processes, as it is seen: live, from history, and in its summary."""

import io
import json

import msgspec
import pytest

from core_samples import attempt, receipt, spec
from pymr.cluster.serve import Watching
from pymr.core.events import (
    Entry,
    PhaseFinished,
    RunFinished,
    RunPlanned,
    RunResumed,
    TaskCommitted,
    TaskInvalidated,
    TaskKept,
    Warned,
    WorkersConnected,
)
from pymr.errors import InputError, to_dict
from pymr.observe.feed import Feed, JsonLines, last_seq, read_entries
from pymr.observe.progress import ProgressView
from pymr.observe.quantity import show_kept
from pymr.observe.snapshot import Snapshot, fold
from pymr.store.folder_place import FolderHistory

PLANNED = RunPlanned(spec(), map_tasks=3, input_files=1, input_bytes=90)
RESUMED = RunResumed(spec(), map_tasks=3, input_files=1, input_bytes=90, epoch=2)
FAILED = RunFinished(to_dict(InputError("gone")))


def of(task, phase="map", number=1):
    """Return the receipt of an attempt that read 30 bytes, 3 records."""
    return receipt(attempt(task, number, phase), bytes_in=30, records_in=3, skipped=1)


def snapshot_of(*events):
    snapshot = Snapshot()
    for index, event in enumerate(events):
        fold(snapshot, Entry(1, index + 1, 100.0 + index, event))
    return snapshot


# -- a snapshot ---------------------------------------------------------------------------------


def test_a_resumed_run_looks_the_same_live_and_from_its_history():
    """Live, the earlier process is not seen; what is kept counts once in both."""
    later = [RESUMED, TaskKept(of(0)), WorkersConnected(1, 1), TaskCommitted(of(1, number=1001))]
    earlier = [PLANNED, WorkersConnected(2, 2), TaskCommitted(of(0)), FAILED]

    live, whole = snapshot_of(*later), snapshot_of(*earlier, *later)

    for snapshot in (live, whole):
        assert snapshot.map.committed == 2
        assert (snapshot.map.bytes_committed, snapshot.map.records_committed) == (60, 6)
        assert (snapshot.epoch, snapshot.kept, snapshot.skipped) == (2, (1, 0), 2)
        assert (snapshot.phase, snapshot.finished) == ("map", None)
        assert not snapshot.is_taking_on
    assert (whole.started, whole.resumed) == (100.0, 100.0 + len(earlier))


def test_a_resumed_run_knows_when_it_began():
    """Whoever follows it from then on has not seen the plan; its first decision says it, too."""
    planned = msgspec.structs.replace(PLANNED, started=90.0)
    resumed = msgspec.structs.replace(RESUMED, started=90.0)

    live, whole = snapshot_of(resumed), snapshot_of(planned, FAILED, resumed)

    assert [(s.started, s.resumed) for s in (live, whole)] == [(90.0, 100.0), (90.0, 102.0)]


def test_an_output_that_is_lost_under_a_run_is_taken_back():
    """Of a resumed run's, what is not there was never counted."""
    lost = TaskInvalidated(of(0), "it is gone")

    live = snapshot_of(PLANNED, WorkersConnected(1, 1), TaskCommitted(of(0)), lost)
    resumed = snapshot_of(RESUMED, lost, TaskKept(of(1)), TaskKept(of(2)))

    assert (live.map.committed, live.map.bytes_committed, live.skipped) == (0, 0, 0)
    assert (resumed.map.committed, resumed.kept) == (2, (2, 0))


def test_reduce_tasks_that_are_kept_count_by_themselves():
    """And the phase is the one that is at work."""
    maps = [TaskKept(of(task)) for task in range(3)]

    snapshot = snapshot_of(RESUMED, *maps, PhaseFinished("map", 3), TaskKept(of(1, "reduce")))

    assert snapshot.kept == (3, 1)
    assert snapshot.phase == "reduce"


def test_the_first_master_of_a_run_that_was_planned_for_one_begins_it():
    """That is a start, not a resume: it began when it was planned, and nothing is kept."""
    planned = RunPlanned(spec(), map_tasks=3, input_files=1, input_bytes=90, epoch=0)
    begun = RunResumed(spec(), map_tasks=3, input_files=1, input_bytes=90, epoch=1)
    stream = io.StringIO()
    view = ProgressView(stream, is_terminal=False)

    for index, event in enumerate((planned, begun, WorkersConnected(2, 2))):
        view.entry(Entry(1, index + 1, 100.0 + index, event))

    assert (view.snapshot.epoch, view.snapshot.started) == (1, 100.0)
    assert stream.getvalue().splitlines()[0].endswith("All workers connected")
    assert fold(Snapshot(), Entry(1, 1, 101.0, begun)).started == 101.0


def test_a_later_master_knows_that_the_run_is_on_hosts_before_a_worker_comes():
    """It hears of the run from its own first decision on, which does not tell."""
    watching = Watching(ProgressView(io.StringIO(), is_terminal=False))

    watching.entry(Entry(1, 9, 100.0, RESUMED))

    assert (watching.snapshot.on, watching.snapshot.epoch) == ("hosts", 2)


# -- progress -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((61, 64, 0, 8), "61 of 64 map tasks are finished and kept"),
        ((64, 64, 3, 8), "64 of 64 map tasks and 3 of 8 reduce tasks are finished and kept"),
        ((1, 1, 0, 1), "1 of 1 map task is finished and kept"),
        ((0, 2, 0, 0), "0 of 2 map tasks are finished and kept"),
    ],
)
def test_what_is_kept_is_told_in_tasks(counts, text):
    assert show_kept(*counts) == text


def test_a_run_that_goes_on_says_what_it_kept():
    """Before the workers begin; and later which task is run again, and why."""
    stream = io.StringIO()
    view = ProgressView(stream, is_terminal=False)
    events = [
        RESUMED,
        TaskInvalidated(of(1), "object `\x1b` is missing"),
        TaskKept(of(0)),
        WorkersConnected(2, 2),
    ]

    for index, event in enumerate(events):
        view.entry(Entry(1, index + 1, 0.0, event))

    assert stream.getvalue().splitlines() == [
        r"map-0001 is run again: object `\x1b` is missing",
        "wordcount goes on: 1 of 3 map tasks are finished and kept",
        "All workers connected",
    ]


# -- the history ----------------------------------------------------------------------------------


def test_the_history_of_a_second_process_goes_on_counting(tmp_path):
    """The line that a crash cut short is passed over, and does not swallow the next."""
    file = tmp_path / "events.jsonl"
    path = str(file)
    assert last_seq([]) == 0
    with FolderHistory(path) as history:
        feed = Feed([JsonLines(history.append)], lambda: 1.0)
        feed.append(Warned("one"))
        feed.append(Warned("two"))
    file.write_bytes(file.read_bytes() + b'{"v":1,"seq":3,"ti')

    with FolderHistory(path) as history:
        seq = last_seq(file.read_bytes().splitlines()) + 1
        Feed([JsonLines(history.append)], lambda: 2.0, seq).append(Warned("three"))

    entries = read_entries(file.read_bytes().splitlines())
    assert [(entry.seq, entry.event.message) for entry in entries] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert len(file.read_text().splitlines()) == 4


def test_a_whole_history_gets_no_empty_line(tmp_path):
    """Nor does a new one."""
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with FolderHistory(str(path)) as history:
            Feed([JsonLines(history.append)], lambda: 1.0).append(Warned("x"))

    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["Warned"] * 2
