"""`pymr show` and `pymr errors`: what happened in a run, from its history."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
import msgspec

from pymr import errors
from pymr.cli.reach import reach_options, usual_access
from pymr.core.events import AttemptFailed, AttemptLost, Entry, RunFinished
from pymr.core.spec import Attempt
from pymr.errors import PymrError
from pymr.observe.bad_records import Kind, first_of_kinds, group, render_bad_records
from pymr.observe.failure import next_step, render_failure, render_prints
from pymr.observe.feed import encode_entry
from pymr.observe.quantity import show_kept, show_many, show_memory, show_size
from pymr.observe.snapshot import PhaseState, Snapshot, fold
from pymr.observe.summary import show_took
from pymr.runner.bad_records import bad_records_of
from pymr.runner.find import (
    FoundRun,
    committed_manifest,
    find_run,
    history_of,
    no_history,
    state_of,
    unfinished,
)
from pymr.task.bad_record import BadRecord
from pymr.text_form import show_path

EXAMPLES_SHOWN = 3  # of each kind of bad record


@click.command("show")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="All events, one JSON object a line.")
@reach_options
def show_command(run: str, as_json: bool) -> None:
    """Show how RUN stands and what happened in it: a name, an id or an output folder."""
    found = find_run(run, usual_access)
    history = history_of(found)
    if as_json:
        _print_json(history)
    else:
        click.echo("\n".join(_lines(found, history)))


@click.command("errors")
@click.argument("run", metavar="RUN")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Examples of each kind of bad record.  [default: 3; all with --json]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each failure.")
@reach_options
def errors_command(run: str, limit: int | None, as_json: bool) -> None:
    """Show what failed in RUN: attempts, the run itself, and records that were left out."""
    found = find_run(run, usual_access)
    history = history_of(found)
    if not history and committed_manifest(found.place) is None:
        raise no_history(found)
    failures = [entry for entry in history if _error_of(entry) is not None]
    if as_json:
        _print_json(failures)
        for record in first_of_kinds(bad_records_of(found), limit):
            click.echo(_record_line(record))
        return
    kinds = group(bad_records_of(found), limit or EXAMPLES_SHOWN)
    if kinds or state_of(found) == "done":  # These attempts have only found bad records.
        failures = [entry for entry in failures if not _has_found_bad_records(entry)]
    lines = [*_failures(found, failures), *_bad_records(found, kinds, limit or EXAMPLES_SHOWN)]
    if lines:
        click.echo("\n".join(lines))
    else:
        click.echo(f"{found.name}: nothing failed", err=True)


def _record_line(record: BadRecord) -> str:
    """Return a bad record as one line of JSON, told from events by its kind."""
    body = msgspec.json.encode(record).decode()
    return f'{{"kind":"BadRecord",{body[1:]}'


def _has_found_bad_records(entry: Entry) -> bool:
    return isinstance(entry.event, AttemptFailed) and entry.event.will_scan


def _bad_records(found: FoundRun, kinds: list[Kind], limit: int) -> Iterator[str]:
    if not kinds:
        return
    total = show_many(sum(kind.count for kind in kinds), "bad record")
    is_done = state_of(found) == "done"
    place = f"left out of the result; all of them: {show_path(found.output)}/_bad/"
    yield f"{total} {place if is_done else 'seen so far'}"
    yield ""
    yield from render_bad_records(kinds, limit)
    yield ""
    verb = "replay" if is_done else "resume"
    yield f"next: fix the worker file, then   pymr {verb} {found.name}"


def _print_json(entries: list[Entry]) -> None:
    for entry in entries:
        click.echo(encode_entry(entry).decode("utf-8", "replace"), nl=False)


def _error_of(entry: Entry) -> PymrError | None:
    match entry.event:
        case AttemptFailed(_, error) | AttemptLost(_, _, error):
            return errors.from_dict(error)
        case RunFinished(error) if error is not None:
            return errors.from_dict(error)
    return None


def _failures(found: FoundRun, entries: list[Entry]) -> Iterator[str]:
    """Yield the text of each failure; one that is the same as the last is not repeated."""
    last = None
    snapshot = _snapshot(history_of(found))
    has_stopped = state_of(found) in ("failed", "interrupted", "died")
    for entry in entries:
        error = _error_of(entry)
        assert error is not None, "only failures are shown"
        yield f"{time.strftime('%H:%M:%S', time.localtime(entry.time))}  {_what(entry)}"
        if has_stopped:
            error.hint = error.hint or next_step(error, snapshot)
        if (type(error), error.message) == last:
            yield "  with the same error"
        else:
            of_run = found.name if isinstance(entry.event, RunFinished) else None
            yield render_prints(error, found.name) + render_failure(error, None, of_run)
        yield ""
        last = type(error), error.message


def _what(entry: Entry) -> str:
    match entry.event:
        case AttemptFailed(attempt, _, will_retry) | AttemptLost(attempt, _, _, will_retry):
            return f"{_name(attempt)}  {'tried again' if will_retry else 'not tried again'}"
    return "the run ended"


def _name(attempt: Attempt) -> str:
    return f"{attempt} attempt {attempt.number}"


def _snapshot(history: list[Entry]) -> Snapshot:
    snapshot = Snapshot()
    for entry in history:
        fold(snapshot, entry)
    return snapshot


def _lines(found: FoundRun, history: list[Entry]) -> Iterator[str]:
    snapshot = _snapshot(history)
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.started))
    yield f"run     {found.name}   {state_of(found)}   started {started}"
    yield f"id      {found.run}"
    yield f"output  {found.output}"
    if snapshot.started is not None:
        yield f"worker  {snapshot.worker}: {', '.join(snapshot.functions)}"
        files = show_many(snapshot.input_files, "file")
        yield f"input   {files}, {show_size(snapshot.input_bytes)}"
        ended = snapshot.finished or snapshot.time
        yield f"took    {show_took(found.started, ended, snapshot)}"
        if snapshot.memory is not None:
            yield f"memory  peak {show_memory(*snapshot.memory)}"
        yield from _phase("map", snapshot.map)
        yield from _phase("reduce", snapshot.reduce)
        yield f"tries   {snapshot.failed} failed, {snapshot.retried} retried, {snapshot.lost} lost"
    stored = unfinished(found)
    if stored is not None:
        maps, reduces = stored.replay.kept
        kept = show_kept(maps, stored.replay.map_tasks, reduces, stored.replay.spec.reducers)
        yield f"kept    {kept};   pymr resume {found.name}"
    if snapshot.printed[0]:
        yield f"printed {show_size(snapshot.printed[0])};   pymr logs {found.name}"
    for warning in snapshot.warnings:
        yield f"warning {warning}"
    yield from _result(found)


def _phase(name: str, state: PhaseState) -> Iterator[str]:
    if state.tasks:
        yield f"{name:<7} {state.committed} of {show_many(state.tasks, 'task')}"


def _result(found: FoundRun) -> Iterator[str]:
    manifest = committed_manifest(found.place)
    if manifest is None or manifest.run != found.run:
        return
    yield (
        f"result  {show_many(manifest.records, 'row')} in {show_many(len(manifest.parts), 'part')},"
        f" {show_size(manifest.bytes)}"
    )
    if manifest.bad_records is not None:
        skipped = show_many(manifest.bad_records.count, "record")
        yield f"bad     {skipped} left out;   pymr errors {found.name}"
    for name, count in manifest.counters.items():
        yield f"counter {name} {count:,}"
