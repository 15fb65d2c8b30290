"""Has the objects of a run there, all of them or none; and finds and removes those of any run."""

from __future__ import annotations

from typing import NamedTuple

from lightkube.resources.batch_v1 import Job

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.run import RunObjects, owner_of


class KnownRun(NamedTuple):
    """A run whose master's Job is there."""

    run: str
    job: str
    is_over: bool


def apply_run(kube: Kube, objects: RunObjects) -> Job:
    """Have all objects of a run there, and let it begin; return the Job of its master.

    The Job comes first, suspended: it owns the others, so that nothing is left behind whatever
    happens in between.

    Raises:
        ClusterError: one was refused; then nothing of the run is there.
        ConfigError: the job has a name that no label can have.
    """
    parts = objects.parts()
    job = kube.apply(objects.master_job(suspended=True))
    try:
        owner = owner_of(job)
        for each in parts:
            each.metadata.ownerReferences = [owner]
        kube.apply_all(parts)
        name = labels.master_name(objects.run)
        return kube.patch(Job, name, {"spec": {"suspend": False}})
    except BaseException:
        delete_run(kube, objects.run)
        raise


def delete_run(kube: Kube, run: str) -> bool:
    """Delete a run's objects, in the background; return whether there were any.

    What it has put into its store stays.

    Raises:
        ClusterError: refused.
    """
    return kube.delete(Job, labels.master_name(run))


def known_runs(kube: Kube) -> list[KnownRun]:
    """Return the runs of the namespace, oldest first.

    Raises:
        ClusterError: refused.
    """
    wanted = {labels.MANAGED_BY: labels.OURS, labels.COMPONENT: "master"}
    found = []
    for job in kube.list(Job, wanted):
        about = job.metadata.labels if job.metadata is not None else None
        run = (about or {}).get(labels.RUN)
        if about is not None and run is not None:
            found.append(KnownRun(run, about.get(labels.JOB, run), is_over(job)))
    return sorted(found)  # Ids are ordered by time.


def is_over(job: Job) -> bool:
    """Say whether a Job is done or has failed."""
    conditions = job.status.conditions if job.status is not None else None
    return any(c.type in ("Complete", "Failed") and c.status == "True" for c in conditions or ())


def refuse_going_on(kube: Kube) -> None:
    """Refuse to take the storage away under runs that use it.

    Raises:
        ClusterError: one goes on; all are named.
    """
    going_on = [known.job for known in known_runs(kube) if not known.is_over]
    if going_on:
        names = ", ".join(f"`{name}`" for name in going_on)
        raise ClusterError(
            f"namespace `{kube.namespace}` has runs that go on: {names}",
            hint=f"pymr cancel {going_on[0]}   or   pymr down --force",
        )
