"""Takes a run on that was planned for a master: from its store alone, as often as need be.

claim ─► is it done? ─► plan from the journal ─► another life, with workers that join
"""

from __future__ import annotations

import os
import time

import msgspec

from pymr.cluster.crew import HostsCrew, Reception
from pymr.config import Settings
from pymr.core.events import Entry
from pymr.core.limit import PhaseLimits
from pymr.core.spec import Code
from pymr.errors import ConfigError
from pymr.observe.snapshot import Snapshot, fold
from pymr.runner.find import FoundRun
from pymr.runner.life import Life, Observer
from pymr.runner.plan import Plan
from pymr.runner.resume import (
    Held,
    notes_of_change,
    refuse_cancelled,
    refuse_gone,
    remove_leftovers,
)
from pymr.runner.run import remember
from pymr.runner.stored import StoredRun, read_stored
from pymr.store.access import Access
from pymr.task.manifest import Manifest
from pymr.task.output import reclaim_output


def serve_run(  # noqa: PLR0913 - what a master is told
    found: FoundRun,
    settings: Settings,
    access: Access,
    reception: Reception,
    observer: Observer,
    *,
    is_replay: bool = False,
    stored: StoredRun | None = None,
    lease_s: float = PhaseLimits().lease_s,
) -> Manifest:
    """Be a master of the run until it is published, and return the manifest of its output.

    Another master that may still be at work is deposed: its next decision is refused.
    `is_replay`: the run is done, and its bad records are tried again. `stored`: the run, if its
    journal was just read. A worker that is silent for `lease_s` has lost what it holds.

    Raises:
        OutputError: it was cancelled, or its output has become another's.
        RunNotFoundError: nothing is left of it.
        DeposedError: a later master has taken the run on.
        PymrError: the run failed. What it has committed is kept.
    """
    refuse_gone(found)
    refuse_cancelled(found)
    with reclaim_output(found.place, run=found.run, name=found.name, over_living=True) as output:
        previous = output.previous
        if previous is not None and previous.run == found.run and not is_replay:
            remove_leftovers(found, previous)
            return previous
        stored = stored or read_stored(found.place, found.run)
        code = code_of(stored)
        held = Held(found, stored, output, lambda _: access, is_replay)
        plan = plan_of(held, settings, access)
        observer.planned(plan, found.place)
        remember(found.run, found.name, found.place, stored.plan.started, access)
        deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s
        life = Life(plan, settings, output, stored.plan.started, stored, is_replay=is_replay)
        watching = Watching(observer)
        crew = HostsCrew(reception, code, access, watching.snapshot, lease_s=lease_s)
        return life.run(crew, watching, deadline)


class Watching(Observer):
    """Folds the feed for who asks the master how far it is, and passes it on."""

    def __init__(self, observer: Observer) -> None:
        self.snapshot = Snapshot(on="hosts")  # A later master is not told how the run was planned.
        self._observer = observer

    def entry(self, entry: Entry) -> None:
        """Take note of an event."""
        fold(self.snapshot, entry)
        self._observer.entry(entry)

    def tick(self, now: float) -> None:
        """Pass on that time has passed."""
        self._observer.tick(now)


def code_of(stored: StoredRun) -> Code:
    """Return what the workers of a run load.

    Raises:
        ConfigError: the run was not planned for other machines.
    """
    code = stored.replay.code or stored.plan.code
    if code.bundle is None:
        name = stored.replay.spec.name
        raise ConfigError(
            f"run {name} was started for this machine alone, expected one for hosts",
            hint=f"pymr resume {name}",
        )
    return code


def plan_of(held: Held, settings: Settings, access: Access) -> Plan:
    """Return the plan of a run as its journal has it."""
    found, spec, before = held.found, held.stored.replay.spec, held.stored.plan
    notes = notes_of_change(held, spec.shape)
    is_same = os.getcwd() == before.folder
    return Plan(
        spec=spec,
        output=found.output,
        shown_output=before.shown_output if is_same else found.output,
        inputs=before.inputs,
        tasks=before.tasks,
        workers=settings.workers,
        memory_bytes=settings.memory_bytes,
        spool_folder=None,
        warnings=tuple(dict.fromkeys((*before.warnings, *spec.shape.warnings, *notes))),
        alerts=tuple(notes),
        access=access,
    )


def settings_for_master(of_run: Settings, given: Settings) -> Settings:
    """Return the settings a master goes on with: those of the run, reached as this process can."""
    return msgspec.structs.replace(
        of_run,
        endpoint=given.endpoint or of_run.endpoint,
        region=given.region or of_run.region,
        json=given.json,
        quiet=given.quiet,
        verbose=given.verbose,
    )
