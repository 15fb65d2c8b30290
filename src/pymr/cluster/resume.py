"""Makes a run on other machines ready to be taken on, by a master here or elsewhere.

    claim ─► is it done? ─► inputs as planned? ─► code as it is now
          ─► what has changed goes into the journal ─► a master, as any other

A master takes a run on from its store alone. So what is other from now on stands there first: new
code is an object, and the journal names it. Where the worker file is not, on another machine than
that of the start, the code of the store is the code.
"""

from __future__ import annotations

import os
from contextlib import closing

import msgspec

from pymr.cluster.serve import code_of, plan_of
from pymr.config import Settings
from pymr.core.events import RunPlanned, encode
from pymr.core.spec import Code, Shape
from pymr.runner.find import FoundRun
from pymr.runner.plan import Plan, skip_rules
from pymr.runner.pool import Pool
from pymr.runner.preflight import refuse_few_files
from pymr.runner.replay import not_done
from pymr.runner.resume import (
    Change,
    Held,
    Reach,
    folder_of,
    refuse_another,
    refuse_cancelled,
    refuse_changed_inputs,
    refuse_gone,
    refuse_other_job,
    remove_leftovers,
    settings_of,
)
from pymr.runner.stored import StoredRun, planned_of, read_stored, resumed_of
from pymr.store.access import Access
from pymr.task.bundle import put_code
from pymr.task.manifest import Manifest
from pymr.task.output import reclaim_output


class Ready(msgspec.Struct, frozen=True):
    """A run as a master goes on with it; `result`: it is done, and nobody needs to."""

    settings: Settings
    access: Access
    result: Manifest | None = None
    stored: StoredRun | None = None  # the run as its journal has it, if nothing was added to that
    plan: Plan | None = None  # of what is left, where there is no result


def make_ready(found: FoundRun, change: Change, reach: Reach, *, is_replay: bool = False) -> Ready:
    """Look at a run that has stopped, and write down what is other from now on.

    Raises:
        OutputError: it still runs, was cancelled, or its output has become another's; or there is
            no result to replay.
        RunNotFoundError: nothing is left of it.
        InputError: inputs have changed since it was planned; they are named.
        ConfigError: the code does another job now, or a setting cannot be changed.
        WorkerFileError: the code cannot be loaded.
    """
    refuse_gone(found)
    refuse_cancelled(found)
    with reclaim_output(found.place, run=found.run, name=found.name) as output:
        stored = read_stored(found.place, found.run)
        held = Held(found, stored, output, reach, is_replay)
        settings = settings_of(held, change)
        access = reach(settings)
        previous = output.previous
        is_done = previous is not None and previous.run == found.run
        if is_replay and not is_done:
            raise not_done(found)
        if is_done and previous is not None and not (is_replay and previous.bad_records):
            remove_leftovers(found, previous)
            return Ready(settings, access, previous)
        if not is_done:
            refuse_another(held, settings)
        refuse_changed_inputs(held, access)
        code, shape = _code_now(held)
        spec = msgspec.structs.replace(stored.replay.spec, shape=shape, skip=skip_rules(settings))
        plan = plan_of(held, settings, access)
        if (code, spec) != (code_of(stored), stored.replay.spec):
            planned = planned_of(plan, stored.plan.started)
            _write(held, msgspec.structs.replace(planned, spec=spec), code)
            return Ready(settings, access, plan=plan)
    return Ready(settings, access, stored=stored, plan=plan)


def _code_now(held: Held) -> tuple[Code, Shape]:
    """Return what workers load from now on, and what it is."""
    code, shape = code_of(held.stored), held.stored.replay.spec.shape
    if code.path is None or not os.path.exists(code.path):
        return code, shape
    refuse_few_files()
    pool = Pool(None, folder_of(held.stored.plan))
    try:
        pool.start(here := msgspec.structs.replace(code, bundle=None))
        now = pool.wait_shape()
    finally:
        pool.close()
    refuse_other_job(held, now)
    if now.digest == shape.digest:
        return code, shape
    return put_code(held.found.place.objects, held.found.run, here, now), now


def _write(held: Held, planned: RunPlanned, code: Code) -> None:
    """Have the journal say what is other; a master that still lives is deposed by that."""
    found, stored = held.found, held.stored
    epoch = stored.replay.epoch + 1
    resumed = resumed_of(planned, epoch, is_replay=held.is_replay, code=code)
    with closing(found.place.reopen_journal(found.run, epoch, stored.records)) as journal:
        journal.append(encode(resumed))
        journal.sync()
