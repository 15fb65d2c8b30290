"""Takes a run on where an earlier process left it: killed, interrupted, or failed.

    claim ─► is it done? ─► plan from the journal ─► inputs as planned? ─► code as it is now
          ─► another life: what is committed and still there is kept, the rest is run

What decides the bytes of the result is frozen in the journal. The code may have been fixed,
as long as it has the same shape.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pymr.config import Settings
from pymr.core.budget import ProcessSize
from pymr.core.replay import outdated
from pymr.core.spec import Code, Receipt, Shape
from pymr.errors import (
    ConfigError,
    InputError,
    OutputError,
    PymrError,
    RunNotFoundError,
    WorkerFileError,
)
from pymr.names import cancelled_key
from pymr.observe.quantity import show_many
from pymr.records.change import changes
from pymr.runner.find import FoundRun, state_of
from pymr.runner.life import Life, Observer, remove_folder
from pymr.runner.local import LocalCrew
from pymr.runner.memory import run_size, share_again
from pymr.runner.plan import Plan, Request, skip_rules
from pymr.runner.pool import Pool
from pymr.runner.preflight import looked_over, refuse_few_files, refuse_unsafe_store
from pymr.runner.run import remember, run_request
from pymr.runner.stored import (
    StoredPlan,
    StoredRun,
    absolute,
    folders_outside,
    read_plan,
    read_stored,
)
from pymr.store.access import Access, is_address
from pymr.store.base import is_there
from pymr.store.place import Place
from pymr.task.commit import remove_attempts
from pymr.task.manifest import Manifest
from pymr.task.output import ClaimedOutput, reclaim_output
from pymr.text_form import show_path

INPUTS_SHOWN_MAX = 20  # changed ones, in one message

# From the settings of the plan to those of this process.
Change = Callable[[Settings], Settings]
# How stores are reached with given settings; asked for only where there is one.
Reach = Callable[[Settings], Access]


class Held(NamedTuple):
    """A run as an earlier process has left it, its output held by this one."""

    found: FoundRun
    stored: StoredRun
    output: ClaimedOutput
    access: Reach
    is_replay: bool = False  # it was done, and its bad records are tried again

    def kept(self, digest: str) -> list[Receipt]:
        """Return what is not done again by code with `digest` of what it has committed."""
        run, previous = self.stored.replay, self.output.previous
        epoch = previous.epoch if self.is_replay and previous is not None else None
        again = {receipt.attempt for receipt in outdated(run, digest=digest, epoch=epoch)}
        return [receipt for receipt in run.committed.values() if receipt.attempt not in again]

    @property
    def verb(self) -> str:
        """The command that takes it on."""
        return "replay" if self.is_replay else "resume"

    @property
    def anew(self) -> str:
        """What to type to keep nothing of it."""
        if self.is_replay:
            return "pymr start --overwrite   with its arguments"
        return f"pymr resume {self.found.name} --restart"


class Resumed(NamedTuple):
    """What came of it."""

    manifest: Manifest
    was_done: bool  # there was nothing left to do, but maybe to show the parts


def resume_run(
    found: FoundRun,
    change: Change,
    observer: Observer,
    access: Reach,
    code: Code | None = None,
) -> Resumed:
    """Take the run on and return the manifest of its committed output.

    `code` takes the place of functions that travelled by value; a worker file is read where
    it stands.

    Raises:
        OutputError: it still runs, was cancelled, or its output has become another's.
        RunNotFoundError: nothing is left of it.
        InputError: inputs have changed since it was planned; they are named.
        ConfigError: the code does another job now, or a setting cannot be changed; or the run is
            one of workers that join.
        PymrError: the run failed again.
    """
    refuse_gone(found)
    refuse_cancelled(found)
    with reclaim_output(found.place, run=found.run, name=found.name) as output:
        if output.previous is not None and output.previous.run == found.run:
            remove_leftovers(found, output.previous)
            return Resumed(output.previous, was_done=True)
        held = Held(found, read_stored(found.place, found.run), output, access)
        settings = settings_of(held, change)
        refuse_another(held, settings)
        return Resumed(go_on(held, settings, observer, code), was_done=False)


def refuse_another(held: Held, settings: Settings) -> None:
    """Refuse an output that has become another run's, unless it may be replaced.

    Raises:
        OutputError: it is.
    """
    found, previous = held.found, held.output.previous
    if previous is not None and not settings.overwrite:
        raise OutputError(
            f"output `{show_path(found.output)}` has become that of run {previous.name} since",
            hint="pymr start   with another --output",
        )


def refuse_gone(found: FoundRun) -> None:
    """Refuse a run of which nothing is there any more.

    Raises:
        RunNotFoundError: its output was removed, or is another run's.
    """
    if found.run not in found.place.runs():
        raise RunNotFoundError(
            f"nothing is left of run {found.name} in `{show_path(found.output)}`", hint="pymr jobs"
        )


def refuse_cancelled(found: FoundRun) -> None:
    """Refuse a run that was given up.

    Raises:
        OutputError: it was.
    """
    if is_there(found.place.objects, cancelled_key(found.run)):
        raise OutputError(
            f"run {found.name} was cancelled: nothing of it is kept",
            hint=f"pymr resume {found.name} --restart   does all tasks again",
        )


def settings_of(held: Held, change: Change) -> Settings:
    """Return the settings a run goes on with: what it may leave out is as the last process had it.

    A replay begins with those of the run, whatever an earlier replay was given.

    Raises:
        ConfigError: one cannot be changed.
    """
    before, skip = held.stored.plan.settings, held.stored.replay.skip
    before = msgspec.structs.replace(
        before, skip_bad_records=skip.records_max, max_skip_ratio=skip.ratio_max
    )
    return absolute(change(before))


def go_on(held: Held, settings: Settings, observer: Observer, code: Code | None) -> Manifest:
    """Do what is left of a run and return its manifest; see `resume_run`."""
    found, stored = held.found, held.stored
    _refuse_hosts(held)
    refuse_few_files()
    access = _reached(stored.plan, found.place, held.access, settings)
    refuse_unsafe_store(found.place, access, settings)
    deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s
    pool = Pool(deadline, folder_of(stored.plan))
    try:
        pool.start(code or _code_of(held))
        refuse_changed_inputs(held, access)
        shape = pool.wait_shape()
        plan = _plan(held, settings, shape, pool.process_size)
        plan = looked_over(msgspec.structs.replace(plan, access=access), settings)
        observer.planned(plan, found.place)
        remember(found.run, found.name, found.place, stored.plan.started, access)
        life = Life(
            plan,
            settings,
            held.output,
            stored.plan.started,
            stored,
            is_replay=held.is_replay,
        )
        return life.run(LocalCrew(pool, settings), observer, deadline)
    finally:
        pool.close()


def _refuse_hosts(held: Held) -> None:
    """Refuse a run of workers that join: it has none here, and is another machine's size."""
    where = held.stored.plan.settings.on
    if where != "local":
        raise ConfigError(
            f"run {held.found.name} is one of workers that join (`--on {where}`), expected one of"
            " this machine",
            hint=f"pymr {held.verb} {held.found.name}",
        )


def _reached(stored: StoredPlan, place: Place, access: Reach, settings: Settings) -> Access:
    """Return how stores are reached, if the run has to do with one."""
    is_in_store = place.folder is None or any(is_address(os.fsdecode(p)) for p in stored.given)
    return access(settings) if is_in_store else Access()


def restart_run(found: FoundRun, change: Change, observer: Observer, access: Reach) -> Manifest:
    """Do all of a run again; see `asked_again`.

    Raises:
        PymrError: as `asked_again` and `run_request`.
    """
    return run_request(asked_again(found, change, access), observer, over=found.run)


def asked_again(found: FoundRun, change: Change, access: Reach) -> Request:
    """Return what starts a run again as it was, with code and inputs as they are now.

    The current folder becomes the one it was started in. The new run has another id, and the
    same name and output.

    Raises:
        OutputError: it still runs, or is done.
        InputError: an input could be read only once.
    """
    stored = read_plan(found.place, found.run)
    _refuse_restart(found)
    for file in stored.inputs:
        if file.spool is not None and not os.path.exists(file.spool):
            name = show_path(file.path)
            raise InputError(
                f"input `{name}` could be read only once, and the copy of it is gone",
                hint="pymr start   with the input again",
                input=name,
            )
    settings = absolute(change(stored.settings))
    os.chdir(folder_of(stored))
    return Request(
        code=msgspec.structs.replace(stored.code, bundle=None),
        worker=stored.worker,
        inputs=stored.given,
        settings=msgspec.structs.replace(settings, name=found.name, output=found.output),
        params=stored.params,
        access=_reached(stored, found.place, access, settings),
        spool_folder=stored.spool_folder,
    )


def _refuse_restart(found: FoundRun) -> None:
    """Refuse to do again what still runs, or has a result: another command is meant."""
    state = state_of(found)
    if state == "running":
        raise OutputError(f"run {found.name} still runs", hint=f"pymr attach {found.name}")
    if state == "done":
        raise OutputError(
            f"run {found.name} is done: its result is in `{show_path(found.output)}`, expected"
            " one that has stopped",
            hint="pymr start --overwrite   with its arguments does it anew",
            run=found.run,
        )


def folder_of(stored: StoredPlan) -> str:
    """Return the folder in which a run was started.

    Raises:
        ConfigError: it is gone.
    """
    if os.path.isdir(stored.folder):
        return stored.folder
    raise ConfigError(
        f"the folder `{show_path(stored.folder)}`, where the run was started, is gone:"
        " relative names are looked up there",
        hint=f"mkdir -p '{show_path(stored.folder)}'",
    )


def refuse_changed_inputs(held: Held, access: Access) -> None:
    """Compare the inputs with the plan.

    Raises:
        InputError: some are not as they were; they are named, with what is seen of each.
        StoreError: their store refused or failed.
    """
    changed = list(changes(held.stored.plan.inputs, held.stored.plan.folder, access))
    if not changed:
        return
    shown = "; ".join(f"`{path}`: {what}" for path, what in changed[:INPUTS_SHOWN_MAX])
    more = len(changed) - INPUTS_SHOWN_MAX
    raise InputError(
        f"{show_many(len(changed), 'input')} changed since the run was planned: {shown}"
        + (f"; and {more} more" if more > 0 else ""),
        hint=f"{held.anew}   reads the inputs as they are now",
        inputs=[path for path, _ in changed],
    )


def _code_of(held: Held) -> Code:
    """Return where the code of the run stands; `pymr init` is no help if it is gone."""
    code = held.stored.plan.code
    if code.path is not None and not os.path.exists(code.path):
        name = held.found.name
        raise WorkerFileError(
            f"the worker file `{show_path(code.path)}` of run {name} is gone",
            hint=f"put it back, then   pymr {held.verb} {name}",
        )
    return code


def _plan(held: Held, settings: Settings, shape: Shape, process: ProcessSize) -> Plan:
    """Return the plan of a run that goes on, with the code as it is now."""
    found, stored = held.found, held.stored
    spec, before = stored.replay.spec, stored.plan
    refuse_other_job(held, shape)
    notes = notes_of_change(held, shape)
    size = run_size(before.inputs, before.tasks, spec.reducers, output=found.output)
    workers, notices = share_again(settings, spec.limits, size, process)
    return Plan(
        spec=msgspec.structs.replace(spec, shape=shape, skip=skip_rules(settings)),
        output=found.output,
        shown_output=before.shown_output if os.getcwd() == before.folder else found.output,
        inputs=before.inputs,
        tasks=before.tasks,
        workers=workers,
        memory_bytes=settings.memory_bytes,
        spool_folder=before.spool_folder,
        warnings=tuple(dict.fromkeys((*before.warnings, *shape.warnings, *notes, *notices))),
        alerts=tuple(notes),
    )


def notes_of_change(held: Held, shape: Shape) -> list[str]:
    """Return what to say of tasks that were done by other code than that of `shape`."""
    receipts = held.kept(shape.digest)
    old = sum(receipt.code_digest != shape.digest for receipt in receipts)
    tasks = show_many(old, "finished task")
    worker = held.stored.replay.spec.worker
    return [f"{worker} has changed; kept from before: {tasks}"] if old else []


def refuse_other_job(held: Held, now: Shape) -> None:
    """Refuse code that would make something else of the map outputs that are there.

    Raises:
        ConfigError: it is such code.
    """
    before = held.stored.replay.spec.shape
    for field in msgspec.structs.fields(Shape):
        if field.name in ("digest", "files", "warnings"):
            continue
        was, found = getattr(before, field.name), getattr(now, field.name)
        if was != found:
            raise ConfigError(
                f"the job has changed: its {field.name} is `{found}`, expected `{was}` as when"
                " the run was planned",
                hint=f"{held.anew}   does all tasks again",
            )


def remove_leftovers(found: FoundRun, manifest: Manifest) -> None:
    """Remove what a run has left that was stopped when it was all but done.

    What a replay needs stays, if the result has bad records.
    """
    if manifest.bad_records is None:
        for folder in folders_outside(found.place, found.run):
            remove_folder(folder)
    with suppress(PymrError):  # It takes space only.
        stored = read_stored(found.place, found.run)
        if not stored.plan.settings.keep:
            remove_attempts(found.place.objects, found.run, but=stored.committed_keys)
