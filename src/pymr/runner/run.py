"""One run from request to committed result: plan, claim, journal, run, publish.

The same path for the command line and for `pymr.run`. What differs is who watches.
"""

from __future__ import annotations

import time

from pymr.errors import OutputError
from pymr.observe.quantity import show_kept
from pymr.runner.find import unfinished_in
from pymr.runner.life import Life, Observer, remove_folder
from pymr.runner.local import LocalCrew
from pymr.runner.plan import OUTPUT_FOLDER, Plan, Request, plan_run
from pymr.runner.pool import Pool
from pymr.runner.preflight import looked_over, refuse_few_files, refuse_unsafe_store
from pymr.runner.reach import at_first
from pymr.runner.stored import folders_outside, head_of
from pymr.store.access import Access
from pymr.store.place import Place, open_place
from pymr.store.registry import Cluster, RegisteredRun, register, state_folder
from pymr.task.manifest import Manifest
from pymr.task.output import prepare_output, refuse_taken
from pymr.text_form import show_path


def run_request(request: Request, observer: Observer, *, over: str | None = None) -> Manifest:
    """Run a job to its end and return the manifest of its committed output.

    `over` is the id of an unfinished run whose work may be dropped.

    Raises:
        OutputError: an unfinished run has kept work in the output, for instance.
        PymrError: the run failed; its class says why. The output is as it was, unless the
            field `is_committed` says that the result stands and only its parts are not shown.
    """
    settings, access = request.settings, request.access
    refuse_few_files()
    where = settings.output or settings.store
    if where is not None:
        place = open_place(where, at_first(access))
        refuse_taken(place, overwrite=settings.overwrite or settings.output is None)
        refuse_unsafe_store(place, at_first(access), settings)
    deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s
    pool = Pool(deadline)
    spool_folder = None  # of a run that nobody can resume
    try:
        plan = plan_run(request, pool)
        spool_folder = plan.spool_folder
        plan = looked_over(plan, settings)
        spec, started = plan.spec, time.time()
        place = open_place(plan.output, access)
        if not settings.overwrite:
            refuse_unfinished(plan, place, over)
        outside = _outside_of_others(place)
        with prepare_output(
            place, overwrite=settings.overwrite, run=spec.run, name=spec.name, over=over
        ) as output:
            for folder in outside:  # The runs are gone, with what was in the output.
                if folder != request.spool_folder:
                    remove_folder(folder)
            if not remember(spec.run, spec.name, place, started, access):
                plan = _without_name(plan)
            observer.planned(plan, place)
            life = Life(plan, settings, output, started)
            crew = LocalCrew(pool, settings)
            try:
                return life.run(crew, observer, deadline, lambda p: head_of(request, p, started))
            finally:
                if life.is_resumable:
                    spool_folder = None
    finally:
        pool.close()
        if spool_folder is not None and spool_folder != request.spool_folder:
            remove_folder(spool_folder)


def remember(
    run: str,
    name: str,
    place: Place,
    started: float,
    access: Access,
    cluster: Cluster | None = None,
) -> bool:
    """Put a run into the registry, and where its store is; say whether that was possible."""
    endpoint, region = (access.endpoint, access.region) if place.folder is None else (None, None)
    if cluster is not None and cluster.has_store:
        endpoint = None  # The port that leads there is another one each time.
    return register(RegisteredRun(run, name, str(place), started, endpoint, region, cluster))


def _without_name(plan: Plan) -> Plan:
    """Return the plan with a warning that commands do not find the run by its name."""
    if plan.output.endswith(f"/{OUTPUT_FOLDER}/{plan.spec.name}"):  # Looked for there, too.
        return plan
    return plan.alerted(
        f"runs cannot be listed in {show_path(state_folder())}: name this one to other commands by"
        f" its output, {plan.shown_output}"
    )


def _outside_of_others(place: Place) -> list[str]:
    """Return what runs that are in the output have outside of it."""
    return [folder for run in place.runs() for folder in folders_outside(place, run)]


def refuse_unfinished(plan: Plan, place: Place, over: str | None) -> None:
    """Refuse to drop work that may have taken hours, unless that is asked for."""
    for found, stored in unfinished_in(place):
        earlier = stored.replay
        if found.run != over and earlier.committed:
            maps, reduces = earlier.kept
            kept = show_kept(maps, earlier.map_tasks, reduces, earlier.spec.reducers)
            anew = "--overwrite to begin anew"
            if place.folder is None and place.owner()[0] is not None:  # It could not give it up.
                anew = f"pymr cancel {found.name} and start again"
            raise OutputError(
                f"output `{plan.shown_output}` holds the unfinished run {found.name}: {kept}",
                hint=f"pymr resume {found.name}, or {anew}",
                run=found.run,
            )
