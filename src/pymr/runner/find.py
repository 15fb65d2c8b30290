"""Finds a run again by its name, its id, or its output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec

from pymr import names
from pymr.core.events import Entry, RunFinished, RunPlanned, RunResumed
from pymr.errors import CorruptDataError, InterruptedRunError, PymrError, RunNotFoundError
from pymr.observe.feed import read_entries
from pymr.runner.plan import OUTPUT_FOLDER
from pymr.runner.reach import Reaching, usual_access
from pymr.runner.stored import StoredRun, read_stored
from pymr.store.access import Access, is_address
from pymr.store.base import is_there
from pymr.store.claim import ClaimRecord
from pymr.store.place import Place, open_place
from pymr.store.registry import NO_CLUSTER, RegisteredRun, newest_runs
from pymr.task.manifest import Manifest, read_manifest
from pymr.text_form import show_path

RunState = Literal[
    "running",
    "waiting",
    "done",
    "failed",
    "interrupted",
    "died",
    "cancelled",
    "replaced",
    "damaged",
    "gone",
]
GOING: tuple[RunState, ...] = ("running", "waiting")
UNFINISHED: tuple[RunState, ...] = ("waiting", "failed", "interrupted", "died")


class FoundRun(msgspec.Struct, frozen=True):
    """One run and where its output is."""

    run: str
    name: str
    place: Place
    started: float

    @property
    def output(self) -> str:
        """Its folder or address."""
        return str(self.place)


def find_run(text: str, access: Reaching = usual_access) -> FoundRun:
    """Return the run that `text` names: an output, an id, or a name (the newest).

    `access` is called where the output is in a store: it takes time to find out.

    Raises:
        RunNotFoundError: there is none; names near ones.
        ConfigError, StoreError: its store cannot be reached.
    """
    if is_address(text):
        found = _run_in(_place_at(text, access(None)))
        if found is None:
            raise RunNotFoundError(f"no run in `{text}`", hint="pymr jobs")
        return found
    for folder in (text, f"{OUTPUT_FOLDER}/{text}"):
        found = _run_in(open_place(folder, Access()))
        if found is not None:
            return found
    for known in newest_runs():
        if text in (known.run, known.name):
            return known_run(known, access)
    raise RunNotFoundError(
        f"no run `{text}`: not the name, id or output folder of one{_nearest(text)}",
        hint="pymr jobs   (one of another machine has the name of its output: s3://bucket/…)",
    )


def _place_at(address: str, access: Access) -> Place:
    """Return an output in a store; where that is may be known by a run from this account."""
    if access.endpoint is None:
        for known in newest_runs():
            if known.output == address.rstrip("/") and known.cluster is None:
                return known_place(known, lambda _: access)
    return open_place(address, access)


def known_run(known: RegisteredRun, access: Reaching) -> FoundRun:
    """Return a run that was started from this account; `access` as of `find_run`.

    Raises:
        ConfigError: its store cannot be reached with that.
    """
    return FoundRun(known.run, known.name, known_place(known, access), known.started)


def known_place(known: RegisteredRun, access: Reaching) -> Place:
    """Return the output of a run that was started from this account."""
    if not is_address(known.output):
        return open_place(known.output, Access())
    given = access(known.cluster or NO_CLUSTER)
    there = {"endpoint": known.endpoint, "region": known.region}
    there = {name: value for name, value in there.items() if value is not None}
    return open_place(known.output, msgspec.structs.replace(given, **there))


def _run_in(place: Place) -> FoundRun | None:
    """Return the run of an output: the one at work or last, else the committed one."""
    for run in reversed(place.runs()):  # ids ascend
        for entry in read_entries(place.read_history(run)):
            if isinstance(entry.event, RunPlanned):
                spec, started = entry.event.spec, entry.event.started
                return FoundRun(
                    spec.run, spec.name, place, entry.time if started is None else started
                )
    for unfinished_run, _ in unfinished_in(place):  # A power cut took its history.
        return unfinished_run
    manifest = committed_manifest(place)
    if manifest is None:
        return None
    return FoundRun(manifest.run, manifest.name, place, manifest.created)


def committed_manifest(place: Place) -> Manifest | None:
    """Return the manifest in an output, None if there is none or it cannot be read."""
    try:
        return read_manifest(place.objects)
    except (RunNotFoundError, CorruptDataError):
        return None


def history_of(found: FoundRun) -> list[Entry]:
    """Return all events of a run, oldest first; empty if its history is gone."""
    return list(read_entries(found.place.read_history(found.run)))


def owner_of(found: FoundRun) -> ClaimRecord | None:
    """Return who works on a run, as far as can be seen; None: nobody does."""
    owner, is_held = found.place.owner()
    return owner if is_held and owner is not None and owner.run == found.run else None


def no_history(found: FoundRun) -> RunNotFoundError:
    """Return the refusal to tell what happened in a run of which nobody knows any more."""
    return RunNotFoundError(
        f"run {found.name} has no history in `{show_path(found.output)}`", hint="pymr jobs"
    )


def state_of(found: FoundRun) -> RunState:
    """Return how a run stands, by its output: the claim, the manifest, its history.

    `waiting`: for its first master. `interrupted`: by a signal, which it could still answer;
    `died`: it could not.
    """
    if owner_of(found) is not None:
        return "running"
    manifest = committed_manifest(found.place)
    if manifest is not None and manifest.run == found.run:
        return "done"
    if is_there(found.place.objects, names.cancelled_key(found.run)):
        return "cancelled"
    return _last_state(found)


def _last_state(found: FoundRun) -> RunState:
    """Return how a run ended that has no result here."""
    happened = [entry.event for entry in history_of(found)]
    if happened and isinstance(happened[-1], RunFinished):
        error = happened[-1].error
        if error is None:
            return "damaged" if _is_damaged(found.place) else "replaced"
        return "interrupted" if error["type"] == InterruptedRunError.__name__ else "failed"
    begun = [event for event in happened if isinstance(event, RunPlanned | RunResumed)]
    if begun and begun[-1].epoch == 0:
        return "waiting"
    return "died" if found.run in found.place.runs() else "gone"


def _is_damaged(place: Place) -> bool:
    """Say whether an output has a manifest that is not what was written."""
    try:
        read_manifest(place.objects)
    except CorruptDataError:
        return True
    except RunNotFoundError:
        pass
    return False


def unfinished(found: FoundRun) -> StoredRun | None:
    """Return what a run that ended early has kept; None if it cannot be resumed."""
    if state_of(found) not in UNFINISHED:
        return None
    try:
        return read_stored(found.place, found.run)
    except PymrError:
        return None


def unfinished_in(place: Place) -> Iterator[tuple[FoundRun, StoredRun]]:
    """Yield the runs of an output that can be resumed, newest first."""
    for run in reversed(place.runs()):
        with suppress(PymrError):
            stored = read_stored(place, run)
            found = FoundRun(run, stored.replay.spec.name, place, stored.plan.started)
            if state_of(found) in UNFINISHED:
                yield found, stored


def _nearest(text: str) -> str:
    import difflib

    near = difflib.get_close_matches(text, [run.name for run in newest_runs()], 3)
    return f"; near: {', '.join(near)}" if near else ""
