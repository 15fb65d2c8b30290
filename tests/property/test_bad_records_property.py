"""Random bad records: left out, they were never there; replayed, they never failed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import pymr
from inline_run import InlineRun
from pymr.core.events import Journal, Recovered, RunPlanned, TaskCommitted, TaskInvalidated
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.replay import attempt_first, outdated, replay
from pymr.core.spec import Limits, SkipRules
from pymr.errors import BadRecordsError
from pymr.store.local import LocalStore
from pymr.task.bad_record import read_bad_records
from pymr.task.commit import verify_attempt

few_examples = settings(max_examples=40)
SKIP = SkipRules(records_max=1000, ratio_max=1.0)
LIMITS = st.sampled_from([Limits(), Limits(spill_bytes_max=300, merge_fan_in_max=2)])

# Words of a line; one with `!` is bad.
LINES = st.lists(st.text("ab !é", max_size=6), min_size=1, max_size=60)
FORMS = st.sampled_from([pymr.LINES, pymr.TEXT])
MAPPERS = st.integers(1, 4)


def map_line(ctx: Any, line: str, *, is_fixed: bool) -> None:
    """Emit and count what a failing call must not leave behind."""
    ctx.count("lines")
    for word in line.split(" "):
        if "!" in word and not is_fixed:
            raise ValueError(word)
        ctx.emit(word, len(line))


def mapper_of(form: Any, *, is_fixed: bool = False, sees_chunks: bool = False) -> Any:
    """Return a mapper of lines or of chunks; `sees_chunks`: what it emits depends on its calls."""

    def of_line(ctx: Any, line: str) -> None:
        map_line(ctx, line, is_fixed=is_fixed)
        if sees_chunks:
            ctx.emit("at", ctx.input.offset)

    def of_chunk(ctx: Any, chunk: str) -> None:
        for line in chunk.split("\n")[: chunk.count("\n") or None]:
            map_line(ctx, line, is_fixed=is_fixed)
        if sees_chunks:
            ctx.emit("at", (ctx.input.offset, len(chunk)))

    return of_line if form is pymr.LINES else of_chunk


def listed(ctx: Any, key: Any, values: Any) -> None:
    ctx.emit(key, list(values))


def fewer(ctx: Any, key: Any, values: Any) -> None:
    """A lawless combiner: what it makes depends on where a task combines."""
    ctx.emit(key, [*values])


def new_run(folder: Path, lines: list[str], form: Any, mapper: Any, **options: Any) -> InlineRun:
    folder.mkdir(exist_ok=True)
    path = folder / "in.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    names = ("reducer", "combiner")
    job = {"mapper": mapper, "reducer": listed, "input": form}
    job |= {name: options.pop(name) for name in names if name in options}
    return InlineRun(
        pymr.Job(**job), [path], LocalStore(str(folder / "out")), folder / "tmp", **options
    )


@few_examples
@given(LINES, FORMS, MAPPERS, LIMITS, st.sampled_from([listed, pymr.COUNT, None]))
def test_bad_records_that_are_left_out_were_never_there(
    lines: list[str], form: Any, mappers: int, limits: Limits, reducer: Any
) -> None:
    """The rows and counters are those of the input without them; the books have them all."""
    good = [line for line in lines if "!" not in line]
    bad = [line for line in lines if "!" in line]
    options = {"mappers": mappers, "limits": limits, "reducer": reducer}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        skipping = new_run(folder / "skip", lines, form, mapper_of(form), skip=SKIP, **options)
        if not good:
            event("nothing is left")
            with pytest.raises(BadRecordsError, match="100 % of"):
                skipping.run()
            return
        expected = new_run(folder / "good", good, form, mapper_of(form), **options)

        rows, wanted = skipping.run(), expected.run()

        event(f"{'some' if bad else 'no'} bad records")
        if reducer is None:
            assert b"".join(rows) == b"".join(wanted)
        else:
            assert rows == wanted
        ledger = skipping.core.ledger.summary()
        assert ledger.counters == expected.core.ledger.summary().counters
        assert (ledger.records_in, ledger.bad_records) == (len(lines), len(bad))
        assert told(skipping) == bad


def told(run: InlineRun) -> list[str]:
    """Return the bad records as they were written down."""
    objects = [receipt.bad_object for receipt in run.core.map.committed.values()]
    bodies = [run.store.get(each.key) for each in objects if each is not None]
    return [str(record.data) for body in bodies for record in read_bad_records([body])]


@few_examples
@given(LINES.filter(lambda lines: any("!" not in line for line in lines)), FORMS, MAPPERS, LIMITS)
def test_bad_records_that_are_replayed_never_failed(
    lines: list[str], form: Any, mappers: int, limits: Limits
) -> None:
    """Also where pairs depend on calls, and values on where a task combines and spills."""

    def mapper(*, is_fixed: bool) -> Callable[..., None]:
        of: Callable[..., None] = mapper_of(form, is_fixed=is_fixed, sees_chunks=True)
        return of

    options = {"mappers": mappers, "limits": limits, "combiner": fewer}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = new_run(folder, lines, form, mapper(is_fixed=False), skip=SKIP, **options)
        first.run()
        second = new_run(folder, lines, form, mapper(is_fixed=True), skip=SKIP, **options)
        quiet = new_run(folder / "quiet", lines, form, mapper(is_fixed=True), **options)

        kept = take_on(second, first)
        rows = second.run()

        event(f"{kept} of {len(second.tasks)} map tasks were kept")
        assert rows == quiet.run()
        assert second.core.ledger.summary() == quiet.core.ledger.summary()


def take_on(run: InlineRun, earlier: InlineRun) -> int:
    """Begin a replay with what an earlier life has committed; return how many tasks it keeps."""
    planned = RunPlanned(run.spec, len(run.tasks), 1, 1)
    before = replay(planned, [TaskCommitted(receipt) for receipt in earlier.receipts])
    limits = PhaseLimits(attempt_first=attempt_first(2))
    run.core = Job(run.spec, run.inputs, run.tasks, limits)
    again = outdated(before, digest="", epoch=1)
    for receipt in again:
        run._perform(Journal(TaskInvalidated(receipt, "bad records", is_replay=True)))
    run.receipts.clear()
    kept = [receipt for receipt in before.committed.values() if receipt not in again]
    for receipt in kept:
        footer = verify_attempt(run.store, receipt)
        run._handle(Recovered(receipt, footer.partitions, footer.splits))
    assert all(not receipt.bad_records for receipt in kept)
    return len(kept)
