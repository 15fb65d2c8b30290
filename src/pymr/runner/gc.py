"""What runs have left that nobody needs: no manifest names it, and no run that can be resumed.

A run that was killed leaves attempts that were not committed, halves of objects and spills; one
that was cancelled its records. They go when the run is resumed, or another one starts there; this
finds them where neither happens. An output is looked at under its claim, so a living run is left
alone, and what is removed is decided by reading manifest and journal back.

A run that is done and has left bad records out keeps its map outputs, for a replay, which can do
without them: it does all map tasks then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import msgspec

from pymr import names
from pymr.errors import PymrError, RunNotFoundError
from pymr.runner.find import UNFINISHED, FoundRun, state_of
from pymr.runner.life import remove_folder
from pymr.runner.stored import committed_keys, folders_outside
from pymr.store.base import ObjectEntry, is_there
from pymr.store.claim import GC
from pymr.store.place import Place
from pymr.task.manifest import Manifest, read_manifest
from pymr.task.output import claim_output


class Leftover(msgspec.Struct, frozen=True):
    """Objects or files of one run that nobody needs; `path` is for people, too."""

    run: str
    what: str  # for people
    path: str
    files: int
    bytes: int


class _Removable(NamedTuple):
    """A leftover, and what removes it."""

    leftover: Leftover
    remove: Callable[[], None]


class _Kept(NamedTuple):
    """What a run's folder is still needed for."""

    keys: frozenset[str] | None  # None: all of it, since nobody can say what of it
    is_unfinished: bool
    is_replayable: bool = False


def find_leftovers(place: Place, *, remove: bool, drop_replay: bool = False) -> list[Leftover]:
    """Return what nobody needs in an output, and of its runs elsewhere; maybe remove it.

    `drop_replay`: what only a replay needs is not needed.

    Raises:
        OutputError: a living run holds the output, or it cannot be written.
        PymrError: what is there cannot be read; nothing was removed.
    """
    if not place.runs() and not is_there(place.objects, names.CLAIM):
        return []
    claim = claim_output(place, GC, "pymr gc")
    try:
        found = list(_leftovers(place, drop_replay=drop_replay))
        if remove:
            for each in found:
                each.remove()
        return [each.leftover for each in found]
    finally:
        claim.release()


def _leftovers(place: Place, *, drop_replay: bool) -> Iterator[_Removable]:
    manifest: Manifest | None = None
    with suppress(RunNotFoundError):  # One that cannot be read may name anything.
        manifest = read_manifest(place.objects)
    for prefix in ("", names.STATE):
        yield from _halves(place, prefix)
    for run in place.runs():
        kept = _kept(place, run, manifest, drop_replay=drop_replay)
        yield from _of_run(place, run, kept)
        yield from _outside(place, run, kept)


def _kept(place: Place, run: str, manifest: Manifest | None, *, drop_replay: bool) -> _Kept | None:
    """Return what a run needs, None if it is over without a result."""
    if manifest is not None and manifest.run == run:
        shown = {part.key for part in manifest.shown}
        if manifest.bad_records is not None and not drop_replay:
            return _kept_for_replay(place, run, shown)
        return _Kept(frozenset(shown), False)
    if state_of(FoundRun(run, "", place, 0.0)) not in UNFINISHED:
        return None
    try:
        return _Kept(frozenset(committed_keys(place, run)), True)
    except RunNotFoundError:
        return None  # It ended before it began.
    except PymrError:
        return _Kept(None, True)  # A journal of another version, or a damaged one.


def _kept_for_replay(place: Place, run: str, shown: set[str]) -> _Kept:
    try:
        return _Kept(frozenset(shown.union(committed_keys(place, run))), False, True)
    except PymrError:
        return _Kept(None, False, True)  # Nobody can say which map outputs count.


def _of_run(place: Place, run: str, kept: _Kept | None) -> Iterator[_Removable]:
    """Yield what lies under a run's prefix; all of it, if the run is over without a result."""
    top, objects = names.run_prefix(run), place.objects
    entries = list(objects.list(top))
    if kept is None:
        halves = place.halves(top)
        remove = partial(_remove_all, place, top)
        yield _measured(run, "of a run without a result", place, top, [*entries, *halves], remove)
        return
    if kept.keys is None:
        return
    yield from _halves(place, top)
    spills = names.tmp_prefix(run)
    if place.folder is not None and os.path.isdir(f"{place.folder}/{spills}"):
        yield _of_folder(run, "spills", f"{place.folder}/{spills}")
    what = "attempt that does not count" if kept.is_unfinished else "intermediate data"
    for entry in entries:
        if entry.key.startswith(f"{spills}/") or entry.key in kept.keys:
            continue
        if not names.is_record(run, entry.key):  # They stay as long as the run is known.
            yield _measured(
                run, what, place, entry.key, [entry], partial(objects.delete, entry.key)
            )


def _remove_all(place: Place, top: str) -> None:
    place.objects.delete_folder(top)
    if place.folder is None:  # In a folder halves went with it.
        place.sweep(top)


def _outside(place: Place, run: str, kept: _Kept | None) -> Iterator[_Removable]:
    """Yield a run's spills outside of the output, and its copy of standard input."""
    for folder in folders_outside(place, run):
        is_copy = "/pymr-input-" in folder
        if not is_copy:
            yield _of_folder(run, "spills", folder)
        elif kept is None or not (kept.is_unfinished or kept.is_replayable):
            yield _of_folder(run, "copy of an input", folder)


def _halves(place: Place, prefix: str) -> Iterator[_Removable]:
    for index, entry in enumerate(place.halves(prefix)):
        remove = partial(place.sweep, prefix) if index == 0 else _nothing  # All at once.
        yield _measured("", "half of an object", place, entry.key, [entry], remove)


def _nothing() -> None:
    """Do nothing."""


def _measured(
    run: str,
    what: str,
    place: Place,
    key: str,
    entries: list[ObjectEntry],
    remove: Callable[[], None],
) -> _Removable:
    size = sum(entry.size for entry in entries)
    return _Removable(Leftover(run, what, f"{place}/{key}", len(entries), size), remove)


def _of_folder(run: str, what: str, path: str) -> _Removable:
    """Return a folder that is in no store."""
    sizes = [
        os.lstat(f"{folder}/{name}").st_size for folder, _, found in os.walk(path) for name in found
    ]
    leftover = Leftover(run, what, path, len(sizes), sum(sizes))
    return _Removable(leftover, partial(remove_folder, path))
