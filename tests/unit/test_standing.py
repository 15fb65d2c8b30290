"""How a run stands, in numbers and as a table: from events alone."""

from __future__ import annotations

import time

import msgspec
import pytest

from pymr.core import events
from pymr.core.spec import Attempt, JobSpec, Receipt, Shape
from pymr.errors import ProtocolError, TaskLostError, to_dict
from pymr.observe.pace import Pace
from pymr.observe.snapshot import Snapshot, fold
from pymr.observe.standing import Standing, read_standing, standing_of
from pymr.observe.table import WORKERS_SHOWN, table_lines

SHAPE = Shape(input_format="text", reducer="function", combiner="sum", digest="d")
SPEC = JobSpec(run="r", name="wc", worker="worker.py", shape=SHAPE, reducers=2)
PLANNED = events.RunPlanned(SPEC, map_tasks=3, input_files=2, input_bytes=900, epoch=0)
MASTER = events.RunResumed(SPEC, map_tasks=3, input_files=2, input_bytes=900, epoch=1)
FIRST, SECOND = Attempt("map", 0, 1), Attempt("map", 1, 1)


def came(worker: str = "a-1", host: str = "a", slots: int = 2) -> events.WorkerCame:
    return events.WorkerCame(worker, host, slots)


def committed(attempt: Attempt, bytes_in: int) -> events.TaskCommitted:
    receipt = Receipt(attempt=attempt, key="k", size=1, code_digest="d", bytes_in=bytes_in)
    return events.TaskCommitted(receipt)


def standing(*happened: events.Event, state: str = "running", after_s: float = 0.0) -> Standing:
    """Fold events, one a second from second 100, and look `after_s` later."""
    snapshot, now = Snapshot(), 100.0
    for index, event in enumerate(happened):
        now = 100.0 + index
        fold(snapshot, events.Entry(1, index + 1, now, event))  # type: ignore[arg-type]
    return standing_of(snapshot, state=state, output="s3://b/out", now=now + after_s)


def test_workers_of_hosts_are_told_with_what_they_run_and_when_they_were_heard():
    """One that has nothing to do shows nothing: its age is not known."""
    told = standing(
        PLANNED,
        MASTER,
        came(),
        came("b-1", "b", 4),
        events.AttemptStarted(FIRST, "a-1"),
        events.AttemptProgressed(FIRST, 200, 5),
        after_s=3.0,
    )

    busy, idle = told.workers
    assert (told.on, told.worker_count, told.slots) == ("hosts", 2, 6)
    assert (busy.host, busy.running, busy.silent_s) == ("a", ("map-0000.1",), 3.0)
    assert (idle.host, idle.running, idle.silent_s) == ("b", (), None)


def test_a_worker_that_went_is_not_counted_and_one_that_is_back_is():
    """Whatever it still holds is for its leases to say."""
    gone = standing(MASTER, came(), events.WorkerWent("a-1"))
    back = standing(MASTER, came(), events.WorkerWent("a-1"), came())

    assert (gone.worker_count, gone.slots, gone.workers) == (0, 0, ())
    assert (back.worker_count, back.slots) == (1, 2)


def test_the_workers_of_an_earlier_master_are_not_those_of_the_next():
    """They register anew with it."""
    later = events.RunResumed(SPEC, map_tasks=3, input_files=2, input_bytes=900, epoch=2)

    told = standing(PLANNED, MASTER, came(), later)

    assert (told.worker_count, told.epoch, told.on) == (0, 2, "hosts")


def test_a_reader_who_knows_of_pods_is_not_told_of_hosts():
    """Events are those of workers that join, wherever they are."""
    snapshot = Snapshot(on="kubernetes")
    for event in (PLANNED, MASTER, came()):
        fold(snapshot, events.Entry(1, 1, 100.0, event))

    told = standing_of(snapshot, state="running", output="s3://b/out", now=100.0)

    assert told.on == "kubernetes"
    assert "on kubernetes" in table_lines(told)[0]


def test_rates_are_those_of_the_last_seconds_and_end_with_them():
    """By the times of the events, so history tells the same as the live feed."""
    happened = (
        MASTER,
        came(),
        events.AttemptStarted(FIRST, "a-1"),
        events.AttemptProgressed(FIRST, 100, 10),
        events.AttemptProgressed(FIRST, 300, 30),
    )

    assert (standing(*happened).bytes_s, standing(*happened).records_s) == (200.0, 20.0)
    assert standing(*happened, after_s=60.0).bytes_s == 0.0


def test_a_pace_is_sampled_once_a_second_and_forgets():
    """Summing up thousands of attempts takes time."""
    pace = Pace()
    for second in range(30):
        assert pace.is_due(100.0 + second)
        pace.add(100.0 + second, 10 * second, second)
        assert not pace.is_due(100.5 + second)

    assert pace.rates(129.0) == (10.0, 1.0)
    assert pace.rates(139.0) != (0.0, 0.0)
    assert pace.rates(140.0) == (0.0, 0.0)


def test_attempts_are_counted_by_what_became_of_them():
    """Of the process that tells it, and of its phase."""
    snapshot = Snapshot()
    lost = to_dict(TaskLostError("lost"))
    happened = (
        MASTER,
        events.AttemptStarted(FIRST, "a-1"),
        committed(FIRST, 300),
        events.AttemptStarted(SECOND, "a-1"),
        events.AttemptLost(SECOND, "a-1", lost, True),
        events.AttemptFailed(Attempt("map", 1, 2), lost, will_retry=True),
        events.AttemptRevoked(Attempt("map", 2, 1)),
    )

    for index, event in enumerate(happened):
        fold(snapshot, events.Entry(1, index + 1, 100.0, event))  # type: ignore[arg-type]

    assert snapshot.map.ended == {"committed": 1, "lost": 1, "failed": 1, "revoked": 1}
    assert snapshot.reduce.ended == {}


def test_a_standing_travels_as_plain_values():
    """A newer master may tell more."""
    told = standing(MASTER, came(), events.AttemptStarted(FIRST, "a-1"))
    plain = msgspec.to_builtins(told)

    assert read_standing({**plain, "of_tomorrow": 1}) == told
    with pytest.raises(ProtocolError, match="told its status in another form"):
        read_standing({"run": 1})


def test_the_table_has_a_row_for_each_worker():
    """And what a user named in it cannot move the cursor."""
    text = "\n".join(
        table_lines(
            standing(
                PLANNED,
                MASTER,
                came("a\x1b[2J-1", "a", 2),
                events.AttemptStarted(FIRST, "a\x1b[2J-1"),
                events.Warned("mind\x07"),
            )
        )
    )

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "wc   running: map" in text
    assert "map      0 of 3 tasks, 1 running" in text
    assert "workers  1 connected, 2 slots" in text
    assert "map-0000.1" in text
    assert "warning  mind" in text


def test_the_table_of_a_large_crew_says_how_many_more_there_are():
    """A screen has only so many lines."""
    crowd = [came(f"w-{number}", "a", 1) for number in range(WORKERS_SHOWN + 3)]

    lines = table_lines(standing(MASTER, *crowd))

    assert lines[-1] == "  … and 3 more: --json"


def test_a_run_that_is_over_has_no_workers_and_no_rates():
    """How long it took does not grow."""
    told = standing(
        MASTER, came(), committed(FIRST, 9), events.RunFinished(), state="done", after_s=1000.0
    )

    assert (told.worker_count, told.workers, told.bytes_s, told.took_s) == (0, (), 0.0, 3.0)
    assert table_lines(told)[0].startswith("wc   done   0:03 since ")


def test_a_run_that_was_resumed_took_as_long_as_all_of_it():
    """The table says since when it is at work again; of a replay it took as long as that."""
    later = events.RunResumed(SPEC, 3, 2, 900, epoch=2, started=40.0)
    replay = msgspec.structs.replace(later, is_replay=True)

    resumed, replayed = standing(MASTER, later, after_s=5.0), standing(MASTER, replay, after_s=5.0)

    assert (resumed.started, resumed.resumed, resumed.took_s) == (40.0, 101.0, 66.0)
    assert (replayed.started, replayed.resumed, replayed.took_s) == (40.0, 101.0, 5.0)
    clock = time.strftime("%H:%M:%S", time.localtime(101.0))
    assert f", resumed {clock} " in table_lines(resumed)[0]
    assert "resumed" not in table_lines(standing(MASTER, came()))[0]
