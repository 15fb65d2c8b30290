"""The runs of a namespace, by the Jobs of their masters."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from lightkube.resources.batch_v1 import Job

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.trouble import end_of


class KnownRun(NamedTuple):
    """A run whose master's Job is there."""

    run: str
    job: str
    is_over: bool


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
            found.append(KnownRun(run, about.get(labels.JOB, run), end_of(job) is not None))
    return sorted(found)  # Ids are ordered by time.


def refuse_going_on(kube: Kube, *, purge: bool) -> None:
    """Refuse to take the storage away under runs that use it; `purge` is what was asked for.

    Raises:
        ClusterError: one goes on; all are named.
    """
    going_on = [known.job for known in known_runs(kube) if not known.is_over]
    if going_on:
        names = ", ".join(f"`{name}`" for name in going_on)
        here = f"--context {shlex.quote(kube.context)} --namespace {kube.namespace}"
        forced = f"pymr down --force{' --purge' if purge else ''} {here}"
        raise ClusterError(
            f"namespace `{kube.namespace}` has runs that go on: {names}",
            hint=f"pymr cancel {going_on[0]}   or   {forced}",
            runs=going_on,
        )
