"""What a run looks like now, folded from its entries."""

from pymr.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptRevoked,
    AttemptStarted,
    Entry,
    PhaseFinished,
    RunFinished,
    RunPlanned,
    TaskCommitted,
    Warned,
    WorkersConnected,
)
from pymr.core.spec import Attempt, EdgeSum, JobSpec, Receipt, Shape
from pymr.errors import InputError, TaskLostError, to_dict
from pymr.observe.snapshot import ERRORS_MAX, Snapshot, fold

SHAPE = Shape(input_format="text", reducer="function", combiner="sum", digest="d")
FAILED = to_dict(InputError("gone"))
LOST = to_dict(TaskLostError("lost"))


def planned(*, reducers=2, map_tasks=3):
    """Return the first event of a run over 900 bytes."""
    shape = (
        SHAPE if reducers else Shape(input_format="text", reducer=None, combiner=None, digest="d")
    )
    spec = JobSpec(run="r", name="wc", worker="worker.py", shape=shape, reducers=reducers)
    return RunPlanned(spec, map_tasks, 2, 900)


def snapshot_of(*events):
    """Fold events, one a second from second 100."""
    snapshot = Snapshot()
    for index, event in enumerate(events):
        fold(snapshot, Entry(1, index + 1, 100.0 + index, event))
    return snapshot


def map_attempt(task=0, number=1):
    """Return an attempt at a map task."""
    return Attempt("map", task, number)


def committed(attempt, **receipt):
    """Return the commit of an attempt."""
    return TaskCommitted(Receipt(attempt=attempt, key="k", size=1, code_digest="d", **receipt))


def test_a_planned_run_has_its_sizes_and_names():
    """What `start` shows first."""
    snapshot = snapshot_of(planned(), WorkersConnected(3, 4))

    assert (snapshot.name, snapshot.worker) == ("wc", "worker.py")
    assert snapshot.functions == ("mapper", "combiner", "reducer")
    assert (snapshot.input_files, snapshot.input_bytes) == (2, 900)
    assert (snapshot.map.tasks, snapshot.reduce.tasks) == (3, 2)
    assert snapshot.workers == 3
    assert (snapshot.phase, snapshot.started) == ("map", 100.0)


def test_progress_of_a_running_attempt_counts_until_it_is_committed():
    """Then its receipt counts instead, never both."""
    attempt = map_attempt()
    running = snapshot_of(
        planned(), AttemptStarted(attempt, "w"), AttemptProgressed(attempt, 200, 5)
    )
    done = snapshot_of(
        planned(),
        AttemptStarted(attempt, "w"),
        AttemptProgressed(attempt, 200, 5),
        committed(attempt, bytes_in=300, records_in=9),
    )

    assert (running.map.bytes_done, running.map.records_done) == (200, 5)
    assert (done.map.bytes_done, done.map.records_done) == (300, 9)
    assert (done.map.committed, done.map.running) == (1, {})


def test_progress_of_an_attempt_that_failed_is_dropped():
    """What it had read must be read again."""
    attempt = map_attempt()

    snapshot = snapshot_of(
        planned(),
        AttemptStarted(attempt, "w"),
        AttemptProgressed(attempt, 200, 5),
        AttemptFailed(attempt, FAILED, will_retry=True),
    )

    assert snapshot.map.bytes_done == 0
    assert (snapshot.retried, snapshot.failed, snapshot.lost) == (1, 0, 0)


def test_a_backup_attempt_does_not_count_its_input_twice():
    """Of the attempts at one task the furthest counts."""
    first, backup = map_attempt(number=1), map_attempt(number=2)

    snapshot = snapshot_of(
        planned(),
        AttemptStarted(first, "w"),
        AttemptProgressed(first, 200, 5),
        AttemptStarted(backup, "v", backup=True),
        AttemptProgressed(backup, 150, 4),
    )

    assert (snapshot.map.bytes_done, snapshot.map.records_done) == (200, 5)


def test_a_backup_that_commits_first_has_won():
    """The attempt it overtook counts no more, revoked or not."""
    first, backup = map_attempt(number=1), map_attempt(number=2)

    snapshot = snapshot_of(
        planned(),
        AttemptStarted(first, "w"),
        AttemptProgressed(first, 200, 5),
        AttemptStarted(backup, "v", backup=True),
        committed(backup, bytes_in=300),
        AttemptRevoked(first),
    )

    assert snapshot.backups_won == 1
    assert snapshot.map.bytes_done == 300
    win = snapshot.backup_win
    assert win is not None
    assert (win.attempt, win.other_share) == (backup, 2 / 3)


def test_failures_are_counted_by_what_follows_from_them():
    """Tried again or not; lost ones are counted once more as lost."""
    snapshot = snapshot_of(
        planned(),
        AttemptFailed(map_attempt(), FAILED, will_retry=True),
        AttemptLost(map_attempt(number=2), "w", LOST, will_retry=True),
        AttemptFailed(map_attempt(number=3), FAILED, will_retry=False),
    )

    assert (snapshot.retried, snapshot.failed, snapshot.lost) == (2, 1, 1)
    assert [type(failed.error) for failed in snapshot.errors] == [
        InputError,
        TaskLostError,
        InputError,
    ]


def test_only_the_last_errors_are_kept():
    """A run with many failures does not grow."""
    failures = [AttemptFailed(map_attempt(number=n), FAILED, will_retry=True) for n in range(50)]

    snapshot = snapshot_of(planned(), *failures)

    assert [failed.attempt.number for failed in snapshot.errors] == list(range(50))[-ERRORS_MAX:]


def test_a_reduce_phase_is_as_large_as_what_the_map_tasks_wrote():
    """So its bar moves by bytes too."""
    reduce = Attempt("reduce", 1, 1)

    snapshot = snapshot_of(
        planned(map_tasks=1),
        committed(map_attempt(), written=EdgeSum(10, 400, 7)),
        PhaseFinished("map", 1),
        AttemptStarted(reduce, "w"),
        AttemptProgressed(reduce, 100, 3),
    )

    assert snapshot.phase == "reduce"
    assert (snapshot.reduce.bytes_done, snapshot.reduce.bytes_total) == (100, 400)


def test_the_slowest_task_is_known_against_the_median_of_its_phase():
    """And the reduce task with most records, for skew."""
    commits = [
        committed(map_attempt(task), wall_s=wall) for task, wall in enumerate([2.0, 6.0, 2.0])
    ]
    reduces = [
        committed(Attempt("reduce", task, 1), read=EdgeSum(records, 0, 0), largest_key=key)
        for task, records, key in [(0, 5, "'a'"), (1, 95, "'the'")]
    ]

    snapshot = snapshot_of(planned(), *commits, *reduces)

    assert snapshot.map.slowest.attempt == map_attempt(1)
    assert snapshot.map.slowness == 3.0
    assert snapshot.reduce.largest.largest_key == "'the'"


def test_the_phases_follow_each_other_to_the_end():
    """map, reduce, publishing, done; a map-only run has no reduce."""
    steps = [planned(), PhaseFinished("map", 3), PhaseFinished("reduce", 2), RunFinished(None)]

    phases = [snapshot_of(*steps[: index + 1]).phase for index in range(len(steps))]

    assert phases == ["map", "reduce", "publishing", "done"]
    assert snapshot_of(planned(reducers=0), PhaseFinished("map", 3)).phase == "publishing"
    assert snapshot_of(planned(), RunFinished(FAILED)).phase == "failed"


def test_the_same_warning_is_kept_once():
    """However often it is given."""
    assert snapshot_of(planned(), Warned("a"), Warned("b"), Warned("a")).warnings == ["a", "b"]


def test_entries_that_are_missing_are_no_error():
    """The feed is best effort: an attempt may be heard of first when it is over."""
    snapshot = snapshot_of(
        AttemptProgressed(map_attempt(), 1, 1),
        AttemptRevoked(map_attempt(1)),
        committed(map_attempt(), bytes_in=5),
        RunFinished(None),
    )

    assert (snapshot.phase, snapshot.map.bytes_done) == ("done", 5)
