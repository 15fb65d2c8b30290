"""A check from request to findings: plan, sample, trials in two processes, forecast."""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from pymr.check.forecast import Forecast, Whole, forecast
from pymr.check.observation import Observation, observe, scale_of
from pymr.check.verdict import Seen, findings
from pymr.core.sample import is_combined, trial_splits
from pymr.doctor.finding import Finding
from pymr.runner.plan import Plan, Request, plan_run, temporary_folder
from pymr.runner.pool import Pool
from pymr.store.access import is_address
from pymr.store.probe import existing_folder


class Outcome(NamedTuple):
    """What a check has to say."""

    findings: list[Finding]
    forecast: Forecast
    rows: tuple[str, ...]  # the first that the job would emit, for people
    warnings: tuple[str, ...]


def try_job(request: Request, deadline: float | None) -> Outcome:
    """Return what the job of `request` does with a sample, and would do with all of its input.

    Raises:
        PymrError: as a run with the same arguments would, on the sample.
    """
    settings = request.settings
    pool = Pool(deadline)
    plan: Plan | None = None
    tmp = ""
    try:
        plan = plan_run(request, pool)
        tmp = os.path.abspath(f"{temporary_folder(settings)}/pymr-check-{plan.spec.run}")
        splits = trial_splits(plan.inputs, whole=plan.maps_whole_files)
        observation = observe(plan, splits, pool, tmp, deadline, settings.task_timeout_s)
    finally:
        pool.close()
        for folder in (tmp, plan.spool_folder if plan else None):
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
    return _outcome(plan, observation)


def _outcome(plan: Plan, observation: Observation) -> Outcome:
    spec = plan.spec
    whole = Whole(
        factor=scale_of(plan.inputs, observation),
        map_tasks=len(plan.tasks),
        reduce_tasks=spec.reducers,
        workers=plan.workers,
        spill_bytes_max=spec.limits.spill_bytes_max,
        is_combined=spec.reducers > 0 and is_combined(spec.shape),
    )
    cast = forecast(observation.maps, observation.reduce, whole)
    seen = Seen(plan, observation, cast, _free_bytes(plan.output))
    return Outcome(findings(seen), cast, _examples(plan, observation), plan.warnings)


def _examples(plan: Plan, observation: Observation) -> tuple[str, ...]:
    if plan.spec.reducers:
        return observation.reduce.examples
    return next((trial.examples for trial in observation.maps if trial.examples), ())


def _free_bytes(output: str) -> int | None:
    if is_address(output):
        return None
    try:
        seen = os.statvfs(existing_folder(output))
    except OSError:
        return None
    return seen.f_bavail * seen.f_frsize
