"""Finds a run again by its name, its id, or its output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec

from pymr import names
from pymr.core.events import Entry, RunFinished, RunPlanned
from pymr.errors import CorruptDataError, InterruptedRunError, PymrError, RunNotFoundError
from pymr.observe.feed import read_history
from pymr.runner.plan import OUTPUT_FOLDER
from pymr.runner.stored import StoredRun, read_stored
from pymr.store.claim import read_claim
from pymr.store.local import LocalStore
from pymr.store.registry import newest_runs
from pymr.task.manifest import Manifest, read_manifest

RunState = Literal[
    "running", "done", "failed", "interrupted", "died", "cancelled", "replaced", "gone"
]
UNFINISHED: tuple[RunState, ...] = ("failed", "interrupted", "died")


class FoundRun(msgspec.Struct, frozen=True):
    """One run and where its output is."""

    run: str
    name: str
    output: str
    started: float


def find_run(text: str) -> FoundRun:
    """Return the run that `text` names: an output folder, an id, or a name (the newest).

    Raises:
        RunNotFoundError: there is none; names near ones.
    """
    for folder in (text, f"{OUTPUT_FOLDER}/{text}"):
        found = _run_in(folder)
        if found is not None:
            return found
    for known in newest_runs():
        if text in (known.run, known.name):
            return FoundRun(known.run, known.name, known.output, known.started)
    raise RunNotFoundError(
        f"no run `{text}`: not the name, id or output folder of one{_nearest(text)}",
        hint="pymr jobs",
    )


def _run_in(folder: str) -> FoundRun | None:
    """Return the run of an output folder: the one at work or last, else the committed one."""
    output = os.path.abspath(folder)
    histories = [f"{output}/{names.events_key(run)}" for run in runs_in(output)]
    for path in [path for path in histories if os.path.isfile(path)][-1:]:  # ids ascend
        for entry in read_history(path):
            if isinstance(entry.event, RunPlanned):
                spec = entry.event.spec
                return FoundRun(spec.run, spec.name, output, entry.time)
    for unfinished_run, _ in unfinished_in(output):  # A power cut took its history.
        return unfinished_run
    manifest = committed_manifest(output)
    if manifest is None:
        return None
    return FoundRun(manifest.run, manifest.name, output, manifest.created)


def runs_in(output: str) -> list[str]:
    """Return the ids of the runs that have a folder in an output, oldest first."""
    try:
        with os.scandir(f"{output}/{names.STATE}") as scan:
            return sorted(entry.name for entry in scan if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def committed_manifest(output: str) -> Manifest | None:
    """Return the manifest in an output folder, None if there is none or it cannot be read."""
    try:
        return read_manifest(LocalStore(output))
    except (RunNotFoundError, CorruptDataError):
        return None


def history_of(found: FoundRun) -> list[Entry]:
    """Return all events of a run, oldest first; empty if its history is gone."""
    path = f"{found.output}/{names.events_key(found.run)}"
    return list(read_history(path)) if os.path.isfile(path) else []


def state_of(found: FoundRun) -> RunState:
    """Return how a run stands, by its output: the claim, the manifest, its history.

    `interrupted`: by a signal, which it could still answer; `died`: it could not.
    """
    if not os.path.isdir(f"{found.output}/{names.STATE}"):
        return "gone"
    record, is_held = read_claim(found.output)
    if is_held and record is not None and record.run == found.run:
        return "running"
    manifest = committed_manifest(found.output)
    if manifest is not None and manifest.run == found.run:
        return "done"
    if os.path.exists(f"{found.output}/{names.cancelled_key(found.run)}"):
        return "cancelled"
    return _last_state(found)


def _last_state(found: FoundRun) -> RunState:
    """Return how a run ended that has no result here."""
    last = history_of(found)[-1:]
    if last and isinstance(last[0].event, RunFinished):
        error = last[0].event.error
        if error is None:
            return "replaced"
        return "interrupted" if error["type"] == InterruptedRunError.__name__ else "failed"
    is_there = os.path.isdir(f"{found.output}/{names.run_prefix(found.run)}")
    return "died" if is_there else "gone"


def unfinished(found: FoundRun) -> StoredRun | None:
    """Return what a run that ended early has kept; None if it cannot be resumed."""
    if state_of(found) not in UNFINISHED:
        return None
    try:
        return read_stored(found.output, found.run)
    except PymrError:
        return None


def unfinished_in(output: str) -> Iterator[tuple[FoundRun, StoredRun]]:
    """Yield the runs of an output folder that can be resumed, newest first."""
    for run in reversed(runs_in(output)):
        with suppress(PymrError):
            stored = read_stored(output, run)
            found = FoundRun(run, stored.replay.spec.name, output, stored.plan.started)
            if state_of(found) in UNFINISHED:
                yield found, stored


def _nearest(text: str) -> str:
    import difflib

    near = difflib.get_close_matches(text, [run.name for run in newest_runs()], 3)
    return f"; near: {', '.join(near)}" if near else ""
