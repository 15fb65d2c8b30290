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
from pymr.core.spec import Code
from pymr.errors import ConfigError, OutputError
from pymr.names import cancelled_key
from pymr.observe.snapshot import Snapshot, fold
from pymr.runner.find import FoundRun
from pymr.runner.life import Life, Observer
from pymr.runner.plan import Plan
from pymr.runner.resume import refuse_gone, remove_leftovers
from pymr.runner.run import remember
from pymr.runner.stored import StoredRun, read_stored
from pymr.store.access import Access
from pymr.store.base import is_there
from pymr.task.manifest import Manifest
from pymr.task.output import reclaim_output


def serve_run(
    found: FoundRun, settings: Settings, access: Access, reception: Reception, observer: Observer
) -> Manifest:
    """Be a master of the run until it is published, and return the manifest of its output.

    Another master that may still be at work is deposed: its next decision is refused.

    Raises:
        OutputError: it was cancelled, or its output has become another's.
        RunNotFoundError: nothing is left of it.
        DeposedError: a later master has taken the run on.
        PymrError: the run failed. What it has committed is kept.
    """
    refuse_gone(found)
    if is_there(found.place.objects, cancelled_key(found.run)):
        raise OutputError(f"run {found.name} was cancelled: nothing of it is kept")
    with reclaim_output(found.place, run=found.run, name=found.name, over_living=True) as output:
        if output.previous is not None and output.previous.run == found.run:
            remove_leftovers(found, output.previous)
            return output.previous
        stored = read_stored(found.place, found.run)
        code = code_of(stored)
        plan = plan_of(found, stored, settings, access)
        observer.planned(plan, found.place)
        remember(found.run, found.name, found.place, stored.plan.started, access)
        deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s
        life = Life(plan, settings, output, stored.plan.started, stored)
        watching = Watching(observer)
        crew = HostsCrew(reception, code, access, watching.snapshot)
        return life.run(crew, watching, deadline)


class Watching(Observer):
    """Folds the feed for who asks the master how far it is, and passes it on."""

    def __init__(self, observer: Observer) -> None:
        self.snapshot = Snapshot()
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


def plan_of(found: FoundRun, stored: StoredRun, settings: Settings, access: Access) -> Plan:
    """Return the plan of a run as its journal has it."""
    before = stored.plan
    is_same = os.getcwd() == before.folder
    return Plan(
        spec=stored.replay.spec,
        output=found.output,
        shown_output=before.shown_output if is_same else found.output,
        inputs=before.inputs,
        tasks=before.tasks,
        workers=settings.workers,
        memory_bytes=settings.memory_bytes,
        spool_folder=None,
        warnings=before.warnings,
        access=access,
    )


def settings_for_master(stored: StoredRun, given: Settings) -> Settings:
    """Return the settings a master goes on with: those of the run, reached as this process can."""
    return msgspec.structs.replace(
        stored.plan.settings,
        endpoint=given.endpoint or stored.plan.settings.endpoint,
        region=given.region or stored.plan.settings.region,
        json=given.json,
        quiet=given.quiet,
        verbose=given.verbose,
    )
