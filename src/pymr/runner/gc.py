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
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pymr import names
from pymr.errors import PymrError, RunNotFoundError
from pymr.runner.find import UNFINISHED, FoundRun, runs_in, state_of
from pymr.runner.life import remove_folder
from pymr.runner.stored import committed_keys, folders_outside
from pymr.store.claim import ClaimRecord, LocalClaim
from pymr.store.local import LocalStore, is_temporary_name
from pymr.task.manifest import Manifest, read_manifest


class Leftover(msgspec.Struct, frozen=True):
    """Files of one run that nobody needs; `path` is a folder or a file."""

    run: str
    what: str  # for people
    path: str
    files: int
    bytes: int


class _Kept(NamedTuple):
    """What a run's folder is still needed for."""

    keys: frozenset[str] | None  # None: all of it, since nobody can say what of it
    is_unfinished: bool
    is_replayable: bool = False


def find_leftovers(output: str, *, remove: bool, drop_replay: bool = False) -> list[Leftover]:
    """Return what nobody needs in the folder `output`, and of its runs elsewhere; maybe remove it.

    `drop_replay`: what only a replay needs is not needed.

    Raises:
        OutputError: a living run holds the output, or it cannot be written.
        PymrError: what is there cannot be read; nothing was removed.
    """
    if not os.path.isdir(f"{output}/{names.STATE}"):
        return []
    record = ClaimRecord(
        run="gc", name="pymr gc", pid=os.getpid(), host=os.uname().nodename, started=0.0
    )
    claim = LocalClaim.take(output, record)
    try:
        found = list(_leftovers(output, drop_replay=drop_replay))
        if remove:
            for leftover in found:
                _remove(leftover)
        return found
    finally:
        claim.release()


def _leftovers(output: str, *, drop_replay: bool) -> Iterator[Leftover]:
    manifest: Manifest | None = None
    with suppress(RunNotFoundError):  # One that cannot be read may name anything.
        manifest = read_manifest(LocalStore(output))
    for folder in (output, f"{output}/{names.STATE}"):
        yield from _halves(folder)
    for run in runs_in(output):
        kept = _kept(output, run, manifest, drop_replay=drop_replay)
        yield from _of_run(output, run, kept)
        yield from _outside(output, run, kept)


def _kept(output: str, run: str, manifest: Manifest | None, *, drop_replay: bool) -> _Kept | None:
    """Return what a run needs, None if it is over without a result."""
    records = {names.journal_key(run), names.events_key(run)}
    if manifest is not None and manifest.run == run:
        records |= {part.key for part in manifest.shown}
        if manifest.bad_records is not None and not drop_replay:
            return _kept_for_replay(output, run, records)
        return _Kept(frozenset(records), False)
    if state_of(FoundRun(run, "", output, 0.0)) not in UNFINISHED:
        return None
    try:
        return _Kept(frozenset(records.union(committed_keys(output, run))), True)
    except RunNotFoundError:
        return None  # It ended before it began.
    except PymrError:
        return _Kept(None, True)  # A journal of another version, or a damaged one.


def _kept_for_replay(output: str, run: str, records: set[str]) -> _Kept:
    try:
        return _Kept(frozenset(records.union(committed_keys(output, run))), False, True)
    except PymrError:
        return _Kept(None, False, True)  # Nobody can say which map outputs count.


def _of_run(output: str, run: str, kept: _Kept | None) -> Iterator[Leftover]:
    """Yield what lies in a run's folder; all of it, if the run is over without a result."""
    top = f"{output}/{names.run_prefix(run)}"
    if kept is None:
        yield _measured(run, "of a run without a result", top)
        return
    if kept.keys is None:
        return
    yield from _halves(top)
    with os.scandir(top) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        key = f"{names.run_prefix(run)}/{entry.name}"
        if key == names.logs_prefix(run):
            continue  # They stay as long as the journal and the history do.
        if entry.is_dir(follow_symlinks=False):
            yield _measured(run, "spills", entry.path)
        elif key not in kept.keys and not is_temporary_name(entry.name):
            what = "attempt that does not count" if kept.is_unfinished else "intermediate data"
            yield _measured(run, what, entry.path)


def _outside(output: str, run: str, kept: _Kept | None) -> Iterator[Leftover]:
    """Yield a run's spills outside of the output, and its copy of standard input."""
    for folder in folders_outside(output, run):
        is_copy = "/pymr-input-" in folder
        if not is_copy:
            yield _measured(run, "spills", folder)
        elif kept is None or not (kept.is_unfinished or kept.is_replayable):
            yield _measured(run, "copy of an input", folder)


def _halves(folder: str) -> Iterator[Leftover]:
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if is_temporary_name(entry.name):
            yield _measured("", "half of an object", entry.path)


def _measured(run: str, what: str, path: str) -> Leftover:
    if not os.path.isdir(path):
        return Leftover(run, what, path, 1, os.path.getsize(path))
    sizes = [
        os.lstat(f"{folder}/{name}").st_size for folder, _, found in os.walk(path) for name in found
    ]
    return Leftover(run, what, path, len(sizes), sum(sizes))


def _remove(leftover: Leftover) -> None:
    if os.path.isdir(leftover.path):
        remove_folder(leftover.path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(leftover.path)
