"""A failure in words: at most 15 lines that name the user's line, record and next step."""

from pathlib import Path

import pytest

from pymr.core.events import AttemptFailed, Entry
from pymr.core.spec import Attempt
from pymr.errors import (
    ClusterError,
    ConfigError,
    InputError,
    InterruptedRunError,
    PymrError,
    ResourceError,
    StoreError,
    TaskLostError,
    UserCodeError,
    WorkerFileError,
    to_dict,
)
from pymr.observe.failure import render_end_at_once, render_failure
from pymr.observe.snapshot import PhaseState, Snapshot, fold


def frame(line=12, function="mapper", source="    ctx.emit(user, int(amount))"):
    """Return a frame in the user's own file, below the current folder."""
    file = str(Path.cwd() / "worker.py")
    return {"file": file, "line": line, "function": function, "source": source}


def raised(frames=None, **fields):
    """Return the error of a mapper that raised ValueError."""
    fields = {
        "function": "mapper",
        "error_type": "ValueError",
        "error_text": "invalid literal for int() with base 10: 'n/a'",
        "frames": [frame()] if frames is None else frames,
        **fields,
    }
    return UserCodeError(f"mapper raised ValueError: {fields['error_text']}", **fields)


def run_with(error, *, committed=61, phase="map", name="wc"):
    """Return what is known of a run in which an attempt failed with `error`."""
    snapshot = Snapshot(name=name, map=PhaseState(tasks=64), reduce=PhaseState(tasks=8))
    if phase == "map":
        snapshot.map.committed = committed
    else:
        snapshot.map.committed, snapshot.reduce.committed = 64, committed
    event = AttemptFailed(Attempt(phase, 17, 1), to_dict(error), will_retry=False)
    return fold(snapshot, Entry(1, 1, 0.0, event))


def test_an_error_of_user_code_shows_line_record_and_progress():
    """The whole picture."""
    error = raised(input="logs/19.gz", line=48213, offset=3901127, record="u881,checkout,n/a")

    text = render_failure(error, run_with(error, name="wc-7f3a"), "wc-7f3a")

    assert text.splitlines() == [
        "✗ wc-7f3a failed: mapper raised ValueError in map-0017",
        "    worker.py:12 in mapper",
        "    ▸ 12 │     ctx.emit(user, int(amount))",
        "    ValueError: invalid literal for int() with base 10: 'n/a'",
        '  record  logs/19.gz  line 48213 (byte 3901127):  "u881,checkout,n/a"',
        "  61 of 64 map tasks are finished and kept",
        "  hint: fix worker.py:12, then   pymr resume wc-7f3a",
    ]


def test_an_error_in_a_reducer_shows_the_key():
    """And how far the reduce phase had come."""
    error = raised(function="reducer", key="'the'")

    text = render_failure(error, run_with(error, committed=3, phase="reduce"), "wc")

    assert text.startswith("✗ wc failed: reducer raised ValueError in reduce-0017\n")
    assert "\n  key  'the'\n" in text
    kept = "64 of 64 map tasks and 3 of 8 reduce tasks are finished and kept"
    assert f"\n  {kept}\n" in text


def test_a_run_that_failed_after_its_commit_is_not_called_unpublished():
    """The result can be read; what to do about the parts is the error's hint."""
    error = ResourceError("the result is committed, but …", hint="h", is_committed=True)
    snapshot = run_with(error, committed=8, phase="reduce")

    assert render_failure(error, snapshot, "wc").splitlines()[1:] == [
        "  pymr head wc reads the result",
        "  hint: h",
    ]


@pytest.mark.parametrize(("count", "lines"), [(4, 8), (5, 5), (50, 5)])
def test_of_many_frames_the_first_and_the_last_are_shown(count, lines):
    """With the number of those between."""
    frames = [frame(line=number, function=f"f{number}") for number in range(1, count + 1)]

    shown = render_failure(raised(frames), None, "wc").splitlines()[1:-2]

    assert len(shown) == lines
    assert shown[0] == "    worker.py:1 in f1"
    assert shown[-2] == f"    worker.py:{count} in f{count}"
    assert (f"    … {count - 2} frames more" in shown) == (count > 4)


def test_no_failure_is_longer_than_15_lines_and_the_hint_is_kept():
    """Whatever the error holds."""
    example = "\n".join(f"line {number}" for number in range(30))
    error = WorkerFileError("\n".join("abcdefghijklmnop"), hint="do this", example=example)

    lines = render_failure(error, None, "wc").splitlines()

    assert len(lines) == 15
    assert lines[-1] == "  hint: do this"


def test_an_error_of_pymr_is_its_message_and_hint():
    """The hint of the error wins over ours."""
    text = render_failure(ConfigError("no input given", hint="add --input PATH"))

    assert text == "✗ no input given\n  hint: add --input PATH"


def test_an_error_of_an_input_names_the_task_and_no_frame():
    """The place stands in its message; the task is the one that read it."""
    error = InputError("`a.txt`: byte 7 is not UTF-8", input="a.txt", offset=7)

    assert render_failure(error, run_with(error), "wc").splitlines() == [
        "✗ wc failed: `a.txt`: byte 7 is not UTF-8 (map-0017)",
        "  61 of 64 map tasks are finished and kept",
        "  hint: pymr resume wc",
    ]


def test_an_error_with_a_hint_of_its_own_says_beside_it_how_to_go_on():
    """Both are wanted: put the cause right, and keep what is finished."""
    error = ResourceError("cannot write `out`: No space left on device", hint="free some")

    assert render_failure(error, run_with(error), "wc").splitlines()[1:] == [
        "  61 of 64 map tasks are finished and kept; to go on:   pymr resume wc",
        "  hint: free some",
    ]


def test_a_run_that_has_finished_nothing_keeps_nothing():
    """It may be resumed all the same, but that is no news where another hint helps more."""
    error = InputError("`a.txt` is not utf-8", hint="--encoding NAME")

    assert render_failure(error, run_with(error, committed=0), "wc").splitlines()[1:] == [
        "  0 of 64 map tasks finished; nothing was published",
        "  hint: --encoding NAME",
    ]


def test_functions_that_travelled_by_value_are_handed_in_again():
    """There is no file that `pymr resume` could read anew."""
    error = raised()
    snapshot = run_with(error, name="wc-7f3a")
    snapshot.is_by_value = True

    text = render_failure(error, snapshot, "wc-7f3a")

    assert text.endswith('hint: fix worker.py:12, then   pymr.resume("wc-7f3a", job=job)')


def test_a_task_that_ended_its_process_can_be_done_where_that_shows():
    """There is no line of code to name."""
    for code, trace in ((-11, ""), (9, ""), (-9, " --trace")):
        error = TaskLostError("task process `worker-1` ended", returncode=code)

        last = render_failure(error, run_with(error), "wc").splitlines()[-1]

        shows = f"pymr debug wc map-0017{trace}   shows where it ends"
        assert last == f"  hint: {shows}; then   pymr resume wc"


def test_an_error_that_no_attempt_had_names_no_task():
    """Another attempt's failure is not blamed for it."""
    snapshot = run_with(StoreError("something else"))

    assert "map-0017" not in render_failure(StoreError("denied"), snapshot, "wc")


def test_an_interrupted_run_did_not_fail():
    """The user stopped it."""
    assert render_failure(InterruptedRunError("interrupted"), None, "wc") == "✗ wc: interrupted"


def test_a_worker_file_that_cannot_be_imported_shows_the_frames_once():
    """Its message holds the error already; the example shows what would do."""
    error = WorkerFileError(
        "`worker.py` cannot be imported: ZeroDivisionError: division by zero",
        error_type="ZeroDivisionError",
        error_text="division by zero",
        frames=[frame(3, "<module>", "x = 1 / 0")],
        example="def mapper(ctx, chunk):\n    ctx.emit(key, value)",
    )

    assert render_failure(error).splitlines() == [
        "✗ `worker.py` cannot be imported: ZeroDivisionError: division by zero",
        "    def mapper(ctx, chunk):",
        "        ctx.emit(key, value)",
        "    worker.py:3 in <module>",
        "    ▸ 3 │ x = 1 / 0",
    ]


def test_b87_b94_nothing_of_the_user_reaches_the_terminal_unescaped():
    """File names, records, messages, functions, sources, hints."""
    evil = "\x1b[31mred\x07\u202e\nline"
    error = raised(
        [{"file": evil, "line": 1, "function": evil, "source": evil}],
        error_type=evil,
        error_text=evil,
        input=evil,
        line=1,
        offset=0,
        record=evil,
        example=evil,
    )
    error.hint = evil

    for shown in (error, PymrError(evil, hint=evil), raised([], key=evil)):
        for line in render_failure(shown, None, evil).splitlines():
            assert line.isprintable(), line


def test_long_texts_are_cut():
    """One line of a record or a message does not fill the screen."""
    error = raised(
        [frame(source="x" * 10_000)], error_text="y" * 10_000, record="z", input="w" * 9999
    )

    assert max(map(len, render_failure(error, None, "wc").splitlines())) < 500


def test_what_is_to_be_done_before_a_run_goes_on_stands_before_its_name():
    """So that the hint can be typed as it is."""
    error = ClusterError("no worker can run the job: no `numpy`", first="mend that")

    text = render_failure(error, run_with(raised(), committed=0), "wc")

    assert text.splitlines()[-1] == "  hint: mend that, then   pymr resume wc"


def test_what_a_second_signal_ends_is_told_with_how_to_go_on():
    """Nobody has waited for pods: whether they go on is not known."""
    here = render_end_at_once(Snapshot(), "wc\x1b")
    again = render_end_at_once(Snapshot(is_replay=True), "wc")
    in_pods = render_end_at_once(Snapshot(on="kubernetes"), "wc")

    assert here.splitlines() == [
        "✗ wc\\x1b: ended at once; what is finished is kept",
        "  hint: pymr resume wc\\x1b",
    ]
    assert again.splitlines()[1] == "  hint: pymr replay wc"
    assert "its pods may go on\n  hint: pymr attach wc " in in_pods
    assert "run had begun" in render_end_at_once(Snapshot(), None)
