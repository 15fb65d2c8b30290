"""An output before a run: whose is it, what is in it, and may we write there.

Nothing of the user's is ever removed here: a directory or prefix with files that are not PyMR's
is refused. What a dead run left under `_pymr/` goes, once its claim is ours; a run that was
stopped after its manifest appeared is finished first, whatever follows.
"""

from __future__ import annotations

import os
import shlex
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from pymr.errors import (
    CorruptDataError,
    IncompleteError,
    OutputError,
    PymrError,
    RunNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from pymr.names import MANIFEST, STATE, run_prefix
from pymr.store.base import ObjectStore, is_there
from pymr.store.claim import GC, ClaimRecord, claimed_error
from pymr.store.life_sign import LifeSign
from pymr.store.place import Claim, Place
from pymr.task.commit import is_shown, publish
from pymr.task.manifest import Manifest, read_manifest
from pymr.text_form import show_path, show_paths

_ELSEWHERE: Final = "choose another --output"


class ClaimedOutput(NamedTuple):
    """An output that this process owns until `claim.release()`, or the end of the block."""

    place: Place
    claim: Claim
    previous: Manifest | None  # what is there: the result that `--overwrite` replaces

    @property
    def store(self) -> ObjectStore:
        """Its objects."""
        return self.place.objects

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if is_out_of_reach(error, self.place):
            return
        try:
            self.claim.release()
        except PymrError:
            if error is None:  # Else what has ended the block is the news.
                raise


def is_out_of_reach(error: BaseException | None, place: Place) -> bool:
    """Say whether `error` is that of a store that was waited for, and did not come back.

    Then the run stays as it is, its claim too: it can be resumed, and nobody else gets the output.
    """
    return place.folder is None and isinstance(error, StoreUnavailableError)


def refuse_taken(place: Place, *, overwrite: bool = False) -> None:
    """Refuse an output that is in use or complete, before any work; `prepare_output` decides.

    Raises:
        OutputError: as `prepare_output` would, if nothing changes until then.
        StoreError: a store does not answer, or refuses.
    """
    owner, is_held = _owner(place)
    if is_held:
        raise _or_elsewhere(claimed_error(str(place), owner))
    if overwrite:
        return
    store = place.objects
    with suppress(StoreError, RunNotFoundError, CorruptDataError, IncompleteError):
        if is_shown(store):  # Else there is something to be done first.
            raise _complete(store, read_manifest(store))


def prepare_output(
    place: Place, *, run: str, name: str, overwrite: bool = False, over: str | None = None
) -> ClaimedOutput:
    """Claim the output for a new run; it is made if it is not there.

    `over` is the id of a run whose claim may be taken, as it is given up.

    Raises:
        OutputError: it is a file, cannot be written, holds other files, is claimed by a
            living run, or has a result and `overwrite` is false.
        ResourceError: no space, or none to show the parts of a committed result.
    """
    refuse_foreign(place)
    try:
        claim = claim_output(place, run, name, over)
    except OutputError as error:
        _or_elsewhere(error)
        raise
    try:
        _sweep(place, "", STATE)
        previous = _previous(place.objects, overwrite=overwrite)
        _remove_leftovers(place, previous)
    except BaseException:
        claim.release()
        raise
    return ClaimedOutput(place, claim, previous)


def reclaim_output(
    place: Place, *, run: str, name: str, over_living: bool = False
) -> ClaimedOutput:
    """Claim the output again for `run`, an earlier process of which is gone.

    `over_living`: in a store it may still show signs of life; it is deposed then.

    A publication that was stopped is brought to its end, whoever's it was. If `previous` is of
    `run` itself, nothing is left to do.

    Raises:
        OutputError: the run still runs, or another one does there.
        ResourceError: no space.
    """
    try:
        if not over_living:
            _refuse_living(place, run)
        claim = claim_output(place, run, name)
    except OutputError as error:
        if error.fields.get("run") != run:
            raise
        where = f"pid {error.fields['pid']} on {error.fields['host']}"
        raise OutputError(
            f"run {name} still runs ({where})", hint=f"pymr attach {name}", **error.fields
        ) from error
    try:
        _sweep(place, "", STATE, run_prefix(run))
        previous = _previous(place.objects, overwrite=True)
    except BaseException:
        claim.release()
        raise
    return ClaimedOutput(place, claim, previous)


def _or_elsewhere(error: OutputError) -> OutputError:
    """Return the refusal of an output to a new run, which may have another one."""
    error.hint = f"{error.hint}, or {_ELSEWHERE}" if error.hint else _ELSEWHERE
    return error


def _owner(place: Place) -> tuple[ClaimRecord | None, bool]:
    """Return who holds the output; of a folder that cannot be read there is more to be said."""
    try:
        return place.owner()
    except StoreError:
        if place.folder is None:
            raise
        return None, False


def _refuse_living(place: Place, run: str) -> None:
    """Refuse what no lock does: to take a run in a store from a process that shows signs of life.

    Whoever does not ask, or is wrong about that, only deposes it.
    """
    owner, is_alive = place.owner()
    if place.folder is None and is_alive and owner is not None and owner.run == run:
        raise claimed_error(str(place), owner)


def claim_output(place: Place, run: str, name: str, over: str | None = None) -> Claim:
    """Claim the output for a run; see `Place.claim`.

    Raises:
        OutputError: another run holds it, maybe without a sign of life; or it cannot be written.
        ResourceError, StoreError: the place refuses.
    """
    record = ClaimRecord(
        run=run, name=name, pid=os.getpid(), host=os.uname().nodename, started=time.time()
    )
    try:
        return place.claim(record, over)
    except OutputError as error:
        owner, is_alive = place.owner()
        if place.folder is not None or owner is None or is_alive or _has_just_begun(owner):
            raise
        where = shlex.quote(str(place))  # Its name may be another run's in this account.
        raise OutputError(
            f"output `{show_path(str(place))}` is held by run {owner.name}"
            f" (pid {owner.pid} on {owner.host}), which shows no sign of life",
            hint=f"pymr gc {where}   again"
            if owner.run == GC
            else f"pymr resume {where}   goes on with it; pymr cancel {where}   gives it up",
            **error.fields,
        ) from error


def _has_just_begun(owner: ClaimRecord) -> bool:
    """Say whether a run may not have shown its first sign of life yet."""
    sign = LifeSign(epoch=0, pid=owner.pid, host=owner.host, time=owner.started)
    return sign.is_fresh(time.time()) and not sign.is_over()


def _sweep(place: Place, *folders: str) -> None:
    """Remove the halves of objects that dead processes have left, where the claim keeps others out.

    In a store it does not: an upload may be that of a worker which goes on.
    """
    if place.folder is not None:
        for folder in folders:
            place.sweep(folder)


def refuse_foreign(place: Place) -> None:
    """Refuse an output in which are files of somebody else.

    Raises:
        OutputError: there are.
        StoreError: a store does not answer, or refuses.
    """
    foreign = place.foreign()
    if foreign and not is_there(place.objects, MANIFEST):
        expected = "directory" if place.folder is not None else "prefix"
        raise OutputError(
            f"output `{show_path(str(place))}` holds files that are not PyMR's:"
            f" {show_paths(foreign)}, expected a new or empty {expected}",
            hint=_ELSEWHERE,
        )


def _previous(store: ObjectStore, *, overwrite: bool) -> Manifest | None:
    place = show_path(str(store))
    try:
        manifest = read_manifest(store)
    except RunNotFoundError:
        return None
    except (CorruptDataError, IncompleteError) as error:
        raise OutputError(
            f"output `{place}` exists, and cannot be read: {error.message}", hint=error.hint
        ) from error
    is_finished_now = _finish(store, manifest, overwrite=overwrite)
    if overwrite:
        return manifest
    raise _complete(store, manifest, is_finished_now=is_finished_now)


def _complete(
    store: ObjectStore, manifest: Manifest, *, is_finished_now: bool = False
) -> OutputError:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.finished))
    return OutputError(
        f"output `{show_path(str(store))}` exists: run {manifest.name} of {when},"
        f" parts: {len(manifest.parts):,}, rows: {manifest.records:,}"
        + ("; it was committed without showing its parts, they are shown now" * is_finished_now),
        hint="replace it with --overwrite, or choose another --output",
        run=manifest.run,
    )


def _finish(store: ObjectStore, manifest: Manifest, *, overwrite: bool) -> bool:
    """Show the parts of a run that was stopped before; say whether there was need to."""
    if is_shown(store):
        return False
    try:
        publish(store, manifest)
    except (CorruptDataError, OutputError) as error:
        if not overwrite:  # A result that is damaged may well be replaced.
            raise OutputError(
                f"output `{show_path(str(store))}` exists, and its parts cannot be shown:"
                f" {error.message}",
                hint="replace it with --overwrite, or choose another --output",
                run=manifest.run,
            ) from error
    return True


def _remove_leftovers(place: Place, previous: Manifest | None) -> None:
    """Remove what dead runs left; their claims are gone, and no manifest names it."""
    for run in place.runs():
        if previous is None or run != previous.run:
            place.objects.delete_folder(run_prefix(run))
