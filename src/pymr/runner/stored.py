"""The head of a journal: all that a later process needs to take a run on, from any folder.

    RunPlanned      what the core needs, and views
    StoredPlan      what the runner needs: where the code is, inputs and tasks, settings

Both are durable before the first task runs. What follows are decisions (`core.replay`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import msgspec

from pymr import names
from pymr.config import Settings
from pymr.core.events import JOURNAL_VERSION, Decision, RunPlanned, RunResumed, encode
from pymr.core.replay import Replay, replay
from pymr.core.spec import Code, InputFile, MapTask
from pymr.errors import IncompleteError, ObjectMissingError, PymrError, RunNotFoundError
from pymr.runner.plan import Plan, Request, temporary_folder
from pymr.store.place import Place
from pymr.text_form import show_path

_HEAD_RECORDS = 2  # of a journal: `RunPlanned`, and the rest of the plan
_OUTSIDE = re.compile(r"/pymr-(input-)?[0-9a-f-]{36}$")


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True):
    """A request and the plan that was made of it, but for what `RunPlanned` holds."""

    code: Code
    worker: str
    folder: str  # where it was started: relative names are looked up here
    given: tuple[bytes, ...]  # the inputs as the user named them
    params: dict[str, str]
    settings: Settings
    shown_output: str
    started: float  # Unix seconds
    inputs: tuple[InputFile, ...]
    tasks: list[MapTask]
    spool_folder: str | None
    warnings: tuple[str, ...]


class StoredRun(NamedTuple):
    """A run as its journal has it."""

    plan: StoredPlan
    replay: Replay
    records: int  # of the journal, when it was read

    @property
    def committed_keys(self) -> list[str]:
        """The keys of the objects that are committed."""
        receipts = self.replay.committed.values()
        bad = [receipt.bad_object.key for receipt in receipts if receipt.bad_object is not None]
        return [*(receipt.key for receipt in receipts), *bad]


def planned_of(plan: Plan, started: float, epoch: int = 1) -> RunPlanned:
    """Return the first decision of a run, which began at `started` (Unix seconds)."""
    counts = len(plan.tasks), len(plan.inputs), plan.input_bytes
    return RunPlanned(plan.spec, *counts, epoch=epoch, started=started)


def resumed_of(
    planned: RunPlanned, epoch: int, *, is_replay: bool, code: Code | None = None
) -> RunResumed:
    """Return the first decision of a later process: what was planned, as it is now."""
    return RunResumed(
        planned.spec,
        planned.map_tasks,
        planned.input_files,
        planned.input_bytes,
        epoch=epoch,
        is_replay=is_replay,
        code=code,
        started=planned.started,
    )


def head_of(request: Request, plan: Plan, started: float, epoch: int = 1) -> list[bytes]:
    """Return the records with which a journal begins; `epoch` is 0 for a plan for a master."""
    stored = StoredPlan(
        code=request.code,
        worker=request.worker,
        folder=os.getcwd(),
        given=tuple(map(os.fsencode, request.inputs)),
        params=request.params,
        settings=_settled(request),
        shown_output=plan.shown_output,
        started=started,
        inputs=tuple(plan.inputs),
        tasks=plan.tasks,
        spool_folder=plan.spool_folder,
        warnings=plan.warnings,
    )
    return [encode(planned_of(plan, started, epoch)), msgspec.json.encode(stored)]


def read_stored(place: Place, run: str) -> StoredRun:
    """Return what the journal of `run` in an output holds.

    Raises:
        RunNotFoundError: there is none, or its plan had not been written when the run ended.
        IncompleteError: another version of PyMR wrote it.
        CorruptDataError: it is damaged.
    """
    records = place.read_journal(run)
    planned, stored = _read_head(place, run, records)
    with _known_here(place, run):
        rest = list(records)
        return StoredRun(stored, replay(planned, _decisions(rest)), _HEAD_RECORDS + len(rest))


def read_head(place: Place, run: str) -> tuple[RunPlanned, StoredPlan]:
    """Return how a run was planned: the first of what `read_stored` reads; it raises the same."""
    return _read_head(place, run, place.read_journal(run))


def read_plan(place: Place, run: str) -> StoredPlan:
    """Return the second half of `read_head`, which raises the same."""
    return read_head(place, run)[1]


def _read_head(place: Place, run: str, records: Iterator[bytes]) -> tuple[RunPlanned, StoredPlan]:
    try:
        head = list(islice(records, _HEAD_RECORDS))
    except ObjectMissingError as error:
        raise _nothing(place, run) from error
    if len(head) < _HEAD_RECORDS:
        raise _nothing(place, run)
    with _known_here(place, run):
        version = msgspec.json.decode(head[0], type=_Version).journal
        if version != JOURNAL_VERSION:
            path = f"{place}/{names.journal_key(run)}"
            raise IncompleteError(
                f"journal `{show_path(path)}` has format {version}, expected {JOURNAL_VERSION}",
                hint="resume with the version of pymr that started the run, or start it anew",
                path=path,
            )
        planned = msgspec.json.decode(head[0], type=RunPlanned)
        return planned, msgspec.json.decode(head[1], type=StoredPlan)


@contextmanager
def _known_here(place: Place, run: str) -> Iterator[None]:
    """Let records be decoded that this version may not know."""
    try:
        yield
    except msgspec.MsgspecError as error:
        path = f"{place}/{names.journal_key(run)}"
        raise IncompleteError(
            f"journal `{show_path(path)}` holds what this version does not know: {error}",
            hint="resume with the version of pymr that started the run, or start it anew",
            path=path,
        ) from error


def folders_outside(place: Place, run: str) -> list[str]:
    """Return what a run has here outside of its output: spills, copies of inputs.

    Whoever removes them relies on their names: a journal may be anybody's.
    """
    try:
        plan = read_plan(place, run)
    except PymrError:  # Without a plan it had not come so far.
        return []
    folders = [plan.spool_folder or ""]
    if place.folder is None or plan.settings.tmp_dir is not None:
        folders.append(spill_folder(place, run, plan.settings))
    return [folder for folder in folders if _OUTSIDE.search(folder) and os.path.isdir(folder)]


def spill_folder(place: Place, run: str, settings: Settings) -> str:
    """Return where a run's spills are: inside the output, if it is a folder here.

    `--tmp-dir` moves them.
    """
    if place.folder is None or settings.tmp_dir is not None:
        return os.path.abspath(f"{temporary_folder(settings)}/pymr-{run}")
    return f"{place.folder}/{names.tmp_prefix(run)}"


def committed_keys(place: Place, run: str) -> list[str]:
    """Return the keys of the objects that a run has committed; raises as `read_stored`."""
    return read_stored(place, run).committed_keys


def _decisions(records: Iterable[bytes]) -> Iterator[Decision]:
    decode = msgspec.json.Decoder(Decision).decode
    return map(decode, records)


def _nothing(place: Place, run: str) -> RunNotFoundError:
    return RunNotFoundError(
        f"run {run} has no plan in `{show_path(str(place))}`: it ended before it began, or has"
        " been removed since",
        hint="pymr start   with its arguments begins it anew",
    )


def _settled(request: Request) -> Settings:
    """Return settings that mean the same in any folder, and lead any process to the same store."""
    settings, access = absolute(request.settings), request.access
    return msgspec.structs.replace(
        settings,
        endpoint=settings.endpoint or access.endpoint,
        region=settings.region or access.region,
    )


def absolute(settings: Settings) -> Settings:
    """Return settings that mean the same in any folder."""
    folder, join = settings.tmp_dir, settings.join_file
    return msgspec.structs.replace(
        settings,
        tmp_dir=folder and os.path.abspath(folder),
        join_file=join and os.path.abspath(join),
    )


class _Version(msgspec.Struct):
    journal: int = 0
