"""Names and labels of every object that is ours, in one file.

    minio, minio-pvc          the storage of a namespace, as the seed named it
    pymr-<run>-master         Job: the master. It owns all else of the run
    pymr-<run>                Service: where workers find the master
    pymr-<run>-workers        Job, indexed: the workers; and their disruption budget
    pymr-<run>-master, …-worker   Secrets and NetworkPolicies of either

Objects of a run are found by their labels alone: `app.kubernetes.io/managed-by=pymr` and
`pymr.dev/run=<run id>`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pymr.errors import ConfigError

NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
RUN: Final = "pymr.dev/run"
JOB: Final = "pymr.dev/job"
OURS: Final = "pymr"

STORAGE_NAME: Final = "minio"
STORAGE_CLAIM: Final = "minio-pvc"
STORAGE_SECRET: Final = "minio-root"  # noqa: S105 - its name
STORAGE_PORT: Final = 9000

Component = Literal["master", "worker", "storage"]
Labels = dict[str, str]

_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


def common_labels() -> Labels:
    """Return what all objects carry that are ours."""
    return {NAME: OURS, MANAGED_BY: OURS}


def storage_labels() -> Labels:
    """Return the labels of the storage of a namespace."""
    return {**common_labels(), COMPONENT: "storage"}


def run_labels(run: str, job: str, component: Component | None = None) -> Labels:
    """Return the labels of what belongs to a run of the job.

    Raises:
        ConfigError: the job's name is no value of a label.
    """
    labels = {**common_labels(), RUN: run, JOB: label_value(job)}
    return labels if component is None else {**labels, COMPONENT: component}


def run_selector(run: str, component: Component | None = None) -> Labels:
    """Return the labels by which the parts of a run are found."""
    labels = {MANAGED_BY: OURS, RUN: run}
    return labels if component is None else {**labels, COMPONENT: component}


def is_ours(found: Any) -> bool:
    """Say whether we have made an object, which has the name of one of ours."""
    return bool((found.metadata.labels or {}).get(MANAGED_BY) == OURS)


def label_value(name: str) -> str:
    """Return the name of a job, if a label can have it.

    Raises:
        ConfigError: it cannot.
    """
    if not _VALUE.fullmatch(name):
        raise ConfigError(
            f"name `{name}` cannot be a label of Kubernetes, expected 1 to 63 letters, digits,"
            " `.`, `_` and `-`, the first and last a letter or digit",
            hint="--name wordcount",
        )
    return name


def master_name(run: str) -> str:
    """Return the name of the master's Job, Secret and NetworkPolicy."""
    return f"pymr-{run}-master"


def worker_name(run: str) -> str:
    """Return the name of the workers' Secret and NetworkPolicy."""
    return f"pymr-{run}-worker"


def workers_name(run: str) -> str:
    """Return the name of the workers' Job and disruption budget."""
    return f"pymr-{run}-workers"


def service_name(run: str) -> str:
    """Return the name of the Service of the master."""
    return f"pymr-{run}"


def master_host(run: str, namespace: str) -> str:
    """Return the host name by which workers find the master.

    Without the domain of the cluster, which may have any: the names of its pods are completed.
    """
    return f"{service_name(run)}.{namespace}.svc"


def storage_host(namespace: str) -> str:
    """Return the host name of the storage, inside of the cluster, without its domain."""
    return f"{STORAGE_NAME}.{namespace}.svc"


def storage_endpoint(namespace: str) -> str:
    """Return the URL of the storage of a namespace, as pods reach it."""
    return f"http://{storage_host(namespace)}:{STORAGE_PORT}"
