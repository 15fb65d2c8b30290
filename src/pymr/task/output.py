"""An output directory before a run: whose is it, what is in it, and may we write there.

Nothing of the user's is ever removed here: a directory with files that are not PyMR's is
refused. What a dead run left under `_pymr/` goes, once its claim is ours; a run that was
stopped after its manifest appeared is finished first, whatever follows.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from pymr.errors import (
    CorruptDataError,
    IncompleteError,
    ObjectMissingError,
    OutputError,
    RunNotFoundError,
    StoreError,
)
from pymr.names import MANIFEST, STATE, run_prefix
from pymr.store.claim import ClaimRecord, LocalClaim, claimed_error, read_claim
from pymr.store.local import LocalStore, is_temporary_name
from pymr.task.commit import is_shown, publish
from pymr.task.manifest import Manifest, read_manifest
from pymr.text_form import show_path, show_paths

_ELSEWHERE: Final = "choose another --output"


class ClaimedOutput(NamedTuple):
    """An output that this process owns until `claim.release()`, or the end of the block."""

    store: LocalStore
    claim: LocalClaim
    previous: Manifest | None  # what is there: the result that `--overwrite` replaces

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.claim.release()


def refuse_taken(root: str, *, overwrite: bool = False) -> None:
    """Refuse an output that is in use or complete, before any work; `prepare_output` decides.

    Raises:
        OutputError: as `prepare_output` would, if nothing changes until then.
    """
    with suppress(OSError):
        owner, is_held = read_claim(root)
        if is_held:
            raise claimed_error(root, owner)
    if overwrite:
        return
    store = LocalStore(root)
    with suppress(
        ObjectMissingError, RunNotFoundError, CorruptDataError, IncompleteError, StoreError
    ):
        if is_shown(store):  # Else there is something to be done first.
            raise _complete(store, read_manifest(store))


def prepare_output(root: str, *, run: str, name: str, overwrite: bool = False) -> ClaimedOutput:
    """Claim the output `root` for a new run; it is made if it is not there.

    Raises:
        OutputError: it is a file, cannot be written, holds other files, is claimed by a
            living run, or has a result and `overwrite` is false.
        ResourceError: no space, or none to show the parts of a committed result.
    """
    _refuse_foreign(root)
    claim = _take_claim(root, run, name)
    try:
        store = LocalStore(root)
        for folder in ("", STATE):
            store.sweep(folder)
        previous = _previous(store, overwrite=overwrite)
        _remove_leftovers(store, previous)
    except BaseException:
        claim.release()
        raise
    return ClaimedOutput(store, claim, previous)


def reclaim_output(root: str, *, run: str, name: str) -> ClaimedOutput:
    """Claim the output `root` again for `run`, an earlier process of which is gone.

    A publication that was stopped is brought to its end, whoever's it was. If `previous` is of
    `run` itself, nothing is left to do.

    Raises:
        OutputError: the run still runs, or another one does there.
        ResourceError: no space.
    """
    try:
        claim = _take_claim(root, run, name)
    except OutputError as error:
        if error.fields.get("run") != run:
            raise
        where = f"pid {error.fields['pid']} on {error.fields['host']}"
        raise OutputError(
            f"run {name} still runs ({where})", hint=f"pymr attach {name}", **error.fields
        ) from error
    try:
        store = LocalStore(root)
        for folder in ("", STATE, run_prefix(run)):
            store.sweep(folder)
        previous = _previous(store, overwrite=True)
    except BaseException:
        claim.release()
        raise
    return ClaimedOutput(store, claim, previous)


def _refuse_foreign(root: str) -> None:
    place = show_path(root)
    try:
        names = os.listdir(root)
    except FileNotFoundError as error:
        if os.path.islink(root):
            raise OutputError(
                f"output `{place}` is a symbolic link to `{show_path(os.readlink(root))}`,"
                " which does not exist",
                hint="make that directory, or choose another --output",
            ) from error
        return
    except OSError as error:
        if os.path.isfile(root):
            raise OutputError(
                f"output `{place}` is a file, expected a new or empty directory", hint=_ELSEWHERE
            ) from error
        raise _unusable(root, error) from error
    foreign = sorted(name for name in names if name != STATE and not is_temporary_name(name))
    if foreign and not os.path.exists(os.path.join(root, MANIFEST)):
        raise OutputError(
            f"output `{place}` holds files that are not PyMR's: {show_paths(foreign)}"
            ", expected a new or empty directory",
            hint=_ELSEWHERE,
        )


def _take_claim(root: str, run: str, name: str) -> LocalClaim:
    record = ClaimRecord(
        run=run, name=name, pid=os.getpid(), host=os.uname().nodename, started=time.time()
    )
    try:
        claim = LocalClaim.take(root, record)
    except StoreError as error:
        raise _unusable(root, error.__cause__) from error
    # Better now than when the parts are shown.
    if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
        claim.release()
        raise _unusable(root, "the directory is read-only")
    return claim


def _previous(store: LocalStore, *, overwrite: bool) -> Manifest | None:
    place = show_path(store.root)
    try:
        manifest = read_manifest(store)
    except RunNotFoundError:
        return None
    except (CorruptDataError, IncompleteError) as error:
        raise OutputError(
            f"output `{place}` exists, and cannot be read: {error.message}", hint=_ELSEWHERE
        ) from error
    is_finished_now = _finish(store, manifest, overwrite=overwrite)
    if overwrite:
        return manifest
    raise _complete(store, manifest, is_finished_now=is_finished_now)


def _complete(
    store: LocalStore, manifest: Manifest, *, is_finished_now: bool = False
) -> OutputError:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.finished))
    return OutputError(
        f"output `{show_path(store.root)}` exists: run {manifest.name} of {when},"
        f" parts: {len(manifest.parts):,}, rows: {manifest.records:,}"
        + ("; it was committed without showing its parts, they are shown now" * is_finished_now),
        hint="replace it with --overwrite, or choose another --output",
        run=manifest.run,
    )


def _finish(store: LocalStore, manifest: Manifest, *, overwrite: bool) -> bool:
    """Show the parts of a run that was stopped before; say whether there was need to."""
    if is_shown(store):
        return False
    try:
        publish(store, manifest)
    except (CorruptDataError, OutputError) as error:
        if not overwrite:  # A result that is damaged may well be replaced.
            raise OutputError(
                f"output `{show_path(store.root)}` exists, and its parts cannot be shown:"
                f" {error.message}",
                hint="replace it with --overwrite, or choose another --output",
                run=manifest.run,
            ) from error
    return True


def _remove_leftovers(store: LocalStore, previous: Manifest | None) -> None:
    """Remove what dead runs left; their claims are gone, and no manifest names it."""
    kept = previous.run if previous else None
    with os.scandir(os.path.join(store.root, STATE)) as scan:
        runs = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    for run in runs:
        if run != kept:
            store.delete_folder(f"{STATE}/{run}")


def _unusable(root: str, why: object) -> OutputError:
    text = why.strerror if isinstance(why, OSError) else why
    return OutputError(f"output `{show_path(root)}` cannot be used: {text}", hint=_ELSEWHERE)
