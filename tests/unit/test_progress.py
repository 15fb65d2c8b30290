"""How a run goes, on a terminal and without one. Time comes in by `tick`."""

import io
import subprocess
import sys

import pytest

from pymr.core.events import (
    AttemptFailed,
    AttemptProgressed,
    AttemptStarted,
    Entry,
    PhaseFinished,
    RunFinished,
    RunPlanned,
    TaskCommitted,
    UploadProgressed,
    WorkerCame,
    WorkersConnected,
    WorkerWent,
)
from pymr.core.spec import Attempt, EdgeSum, JobSpec, Receipt, Shape
from pymr.errors import InputError, to_dict
from pymr.observe.progress import LIVE_DELAY_S, ProgressView, live_lines, plain_line
from pymr.observe.snapshot import Snapshot, fold

MB = 1_000_000
ERROR = to_dict(InputError("gone"))


class Run:
    """A run that is watched: give it events, and time."""

    def __init__(
        self, *, is_terminal=False, quiet=False, name="wc-7f3a", reducers=2, interval_s=10.0
    ):
        self.stream = io.StringIO()
        self.view = ProgressView(
            self.stream, is_terminal=is_terminal, quiet=quiet, interval_s=interval_s
        )
        self._seq = 0
        reducer = "function" if reducers else None
        shape = Shape(input_format="text", reducer=reducer, combiner=None, digest="d")
        spec = JobSpec(run="r", name=name, worker="worker.py", shape=shape, reducers=reducers)
        self.say(RunPlanned(spec, 4, 3, 400 * MB))

    def say(self, *events):
        """Let events happen."""
        for event in events:
            self._seq += 1
            self.view.entry(Entry(1, self._seq, 0.0, event))

    def commit(self, phase, task, **receipt):
        """Let a task be committed."""
        attempt = Attempt(phase, task, 1)
        self.say(
            TaskCommitted(Receipt(attempt=attempt, key="k", size=1, code_digest="d", **receipt))
        )

    @property
    def text(self):
        """What was written so far."""
        return self.stream.getvalue()


def test_the_three_lines_of_a_run_are_written_as_they_happen():
    """Workers, map tasks, the end."""
    run = Run()

    run.say(
        WorkersConnected(4, 4), PhaseFinished("map", 4), PhaseFinished("reduce", 2), RunFinished()
    )

    assert run.text == "All workers connected\nAll map tasks completed!\nMap reduce completed\n"


def test_an_upload_goes_before_the_sample():
    """How far it is; once it is done, the next thing."""
    snapshot = Snapshot()

    fold(snapshot, Entry(1, 1, 0.0, UploadProgressed(10, 400 * MB, 3, 100 * MB)))
    assert plain_line(snapshot, 0, 0) == "uploading inputs: 3/10 files  100/400 MB"

    fold(snapshot, Entry(1, 2, 0.0, UploadProgressed(10, 400 * MB, 10, 400 * MB)))
    assert live_lines(snapshot, "", 0, 0) == ["  sampling keys for --sort"]


def test_missing_workers_are_said():
    """The run goes on with those that came."""
    run = Run()

    run.say(WorkersConnected(3, 4))

    assert run.text == "3 of 4 workers connected, going on\n"


def test_a_run_that_failed_is_not_completed():
    """Its error is somebody else's line."""
    run = Run()

    run.say(RunFinished(ERROR))

    assert run.text == ""


def test_quiet_writes_nothing_and_still_knows():
    """Also when time passes."""
    run = Run(quiet=True)

    run.say(WorkersConnected(4, 4), RunFinished())
    run.view.tick(0.0)
    run.view.tick(100.0)

    assert run.text == ""
    assert run.view.snapshot.phase == "done"


def test_without_a_terminal_there_is_a_line_every_ten_seconds():
    """However often time passes in between."""
    run = Run()

    for tenth in range(301):
        run.view.tick(1000 + tenth / 10)

    assert len(run.text.splitlines()) == 3


def test_the_plain_line_says_tasks_bytes_rates_time_left_and_troubles():
    """100 MB of 400 in 10 s: 30 s are left."""
    run = Run()
    run.view.tick(0.0)
    run.commit("map", 0, bytes_in=80 * MB, records_in=15_000_000)
    lost = Attempt("map", 1, 1)
    run.say(
        AttemptStarted(Attempt("map", 2, 1), "w"),
        AttemptProgressed(Attempt("map", 2, 1), 20 * MB, 5_000_000),
        AttemptStarted(lost, "v"),
        AttemptProgressed(lost, 50 * MB, 1),
        AttemptFailed(lost, ERROR, will_retry=True),
    )

    run.view.tick(10.0)

    assert run.text == (
        "map-0001 failed: gone; tried again\n"
        "wc-7f3a: map 25%  1/4 tasks  100/400 MB  10 MB/s  2 M rec/s  ~0:30"
        "  0 failed · 1 retried · 0 bad records\n"
    )


def test_the_reduce_phase_has_its_own_percentage_and_rate():
    """Measured in what the map tasks wrote."""
    run = Run()
    for task in range(4):
        run.commit("map", task, bytes_in=100 * MB, written=EdgeSum(1000, 10 * MB, 0))
    run.say(PhaseFinished("map", 4))
    run.view.tick(0.0)
    run.commit("reduce", 0, read=EdgeSum(1000, 20 * MB, 0))

    run.view.tick(10.0)

    assert run.text.splitlines()[-1].startswith(
        "wc-7f3a: reduce 50%  1/2 tasks  20/40 MB  2 MB/s  100 rec/s  ~0:10"
    )


def test_rates_begin_anew_with_a_phase():
    """What the map tasks read is not mixed with what the reduce tasks read."""
    run = Run(interval_s=1.0)
    for task in range(4):
        run.commit("map", task, bytes_in=100 * MB, written=EdgeSum(1000, 10 * MB, 0))
    run.view.tick(0.0)
    run.say(PhaseFinished("map", 4))
    run.view.tick(1.0)
    run.commit("reduce", 0, read=EdgeSum(1000, 20 * MB, 0))

    run.view.tick(2.0)

    assert "  20 MB/s  " in run.text.splitlines()[-1]


def test_rates_are_those_of_the_last_ten_seconds():
    """A fast beginning is forgotten."""
    run = Run(interval_s=1.0)
    attempt = Attempt("map", 0, 1)
    run.say(AttemptStarted(attempt, "w"))
    for second in range(31):
        size = 10 * second if second <= 10 else 100 + second - 10
        run.say(AttemptProgressed(attempt, size * MB, 0))
        run.view.tick(float(second))

    lines = run.text.splitlines()

    assert "  10 MB/s  " in lines[9]
    assert "  1 MB/s  " in lines[29]


def test_a_phase_is_not_100_percent_before_its_last_task_is_committed():
    """All bytes read is not all done."""
    run = Run()
    run.view.tick(0.0)
    for task in range(4):
        run.say(
            AttemptStarted(Attempt("map", task, 1), "w"),
            AttemptProgressed(Attempt("map", task, 1), 100 * MB, 1),
        )

    run.view.tick(10.0)

    assert "map 99%  0/4 tasks" in run.text


def test_bytes_taken_back_by_a_failure_give_no_negative_rate():
    """The rate is left out until it is known again."""
    run = Run()
    attempt = Attempt("map", 0, 1)
    run.say(AttemptStarted(attempt, "w"), AttemptProgressed(attempt, 50 * MB, 5))
    run.view.tick(0.0)
    run.say(AttemptFailed(attempt, ERROR, will_retry=True))

    run.view.tick(10.0)

    assert "MB/s" not in run.text
    assert "~" not in run.text


def test_b87_a_name_with_terminal_escapes_is_shown_escaped():
    """Nothing of a user's data can move the cursor."""
    run = Run(name="\x1b[2J\u202ename")
    run.view.tick(0.0)

    run.view.tick(10.0)

    assert run.text.startswith(r"\x1b[2J\u202ename: map 0%")


def test_a_closed_stderr_does_not_stop_the_run():
    """Whoever read it is gone."""

    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    view = ProgressView(Broken(), is_terminal=False)

    view.entry(Entry(1, 1, 0.0, WorkersConnected(1, 1)))
    view.entry(Entry(1, 2, 0.0, RunFinished()))


def test_the_picture_has_job_input_a_bar_for_each_phase_and_troubles():
    """As the manual shows it."""
    run = Run()
    run.say(WorkersConnected(8, 8))
    run.commit("map", 0, bytes_in=100 * MB)
    run.commit("map", 1, bytes_in=188 * MB, skipped=1)

    lines = live_lines(run.view.snapshot, "./pymr-out/wc-7f3a/", 41.2 * MB, 3_900_000)

    assert lines == [
        "  job     wc-7f3a   worker.py: mapper, reducer   on local, 8 workers",
        "  input   3 files, 400 MB  →  4 map tasks, 2 reduce tasks",
        "  output  ./pymr-out/wc-7f3a/",
        "  map     ━━━━━━━━━━━━━━━━━━╸───────  72%  2/4 tasks  288/400 MB  41.2 MB/s"
        "  3.9 M rec/s  ~0:03",
        "  reduce  waiting for map",
        "  0 failed · 0 retried · 1 bad record",
    ]


def test_the_picture_of_a_finished_map_phase_has_a_full_bar():
    """And the reduce line has begun."""
    run = Run()
    for task in range(4):
        run.commit("map", task, bytes_in=100 * MB, written=EdgeSum(10, 100, 0))
    run.say(PhaseFinished("map", 4))

    lines = live_lines(run.view.snapshot, "out", 5.0, 5.0)

    assert lines[3] == f"  map     {'━' * 26} 100%  4/4 tasks  400/400 MB"
    assert lines[4].startswith(f"  reduce  {'─' * 26}   0%  0/2 tasks  0/400 B")


def test_a_map_only_run_has_no_reduce_line():
    """There is nothing to wait for."""
    run = Run(reducers=0)

    assert not any("reduce" in line for line in live_lines(run.view.snapshot, "out", 0.0, 0.0))


def test_on_a_terminal_a_picture_appears_and_is_taken_away():
    """The lines of the run are written above it; after `close` nothing is."""
    run = Run(is_terminal=True)
    run.view.show_plan("./out")
    run.view.tick(0.0)
    assert run.text == ""

    run.view.tick(LIVE_DELAY_S)
    run.say(PhaseFinished("map", 4))
    run.view.close()
    run.view.close()

    assert "wc-7f3a" in run.text
    assert "All map tasks completed!" in run.text
    assert run.text.endswith(("\x1b[2K", "\x1b[?25h")) or "\x1b[2K" in run.text
    length = len(run.text)
    run.say(RunFinished())
    run.view.tick(100.0)
    assert len(run.text) == length


@pytest.mark.parametrize(("last_tick", "imported"), [(LIVE_DELAY_S / 2, False), (1.0, True)])
def test_a_short_run_does_not_pay_for_rich(last_tick, imported):
    """P9: it is imported when the first picture is due, on a terminal only."""
    script = (
        "import io, sys\n"
        "from pymr.observe.progress import ProgressView\n"
        "view = ProgressView(io.StringIO(), is_terminal=True)\n"
        f"view.tick(0.0); view.tick({last_tick}); view.close()\n"
        "print('rich.live' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == str(imported)


def test_on_hosts_the_workers_that_are_there_are_told_with_their_slots():
    """They come and go; the same on a terminal and without one."""
    run = Run()
    run.say(WorkerCame("a-1", "a", 4), WorkerCame("b-1", "b", 2), WorkerWent("a-1"))

    lines = live_lines(run.view.snapshot, "s3://b/out", 0.0, 0.0)

    assert lines[0].endswith("on hosts, 1 worker, 2 slots")
    assert "on hosts, 1 worker, 2 slots" in plain_line(run.view.snapshot, 0.0, 0.0)
