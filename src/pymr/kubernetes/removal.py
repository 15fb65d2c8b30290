"""Takes down what is ours in a namespace: runs, storage, and its data if that is asked for."""

from __future__ import annotations

import time
from typing import Any, Final

from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy

from pymr.errors import ClusterError
from pymr.kubernetes.known_run import known_runs, refuse_going_on
from pymr.kubernetes.kube import Kube, kind_name
from pymr.kubernetes.launch import end
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.permission import FOR_REMOVAL, require

DOWN_S: Final = 120.0  # pods have 75 s to end
DOWN_LOOK_S: Final = 1.0
_STORAGE: Final = (
    (StatefulSet, labels.STORAGE_NAME),
    (Service, labels.STORAGE_NAME),
    (NetworkPolicy, labels.STORAGE_NAME),
)
_DATA: Final = (
    (PersistentVolumeClaim, labels.STORAGE_CLAIM),
    (Secret, labels.STORAGE_SECRET),
)


def take_down(kube: Kube, *, purge: bool, force: bool) -> list[str]:
    """Remove runs and storage, and return what was removed, when it is gone. May be repeated.

    The volume and its keys stay, for the next `up`, unless `purge`.

    Raises:
        ClusterError: a run goes on, unless `force`; refused; or pods do not end in time.
    """
    require(kube, FOR_REMOVAL, "remove what is ours")
    if not force:
        refuse_going_on(kube, purge=purge)
    removed = [
        f"run {known.job}" for known in known_runs(kube) if end(kube, known.run, wait_s=DOWN_S)
    ]
    for kind, name in (*_STORAGE, *(_DATA if purge else ())):
        found = kube.get(kind, name)
        if found is not None and labels.is_ours(found) and kube.delete(kind, name):
            removed.append(f"{kind_name(kind)} {name}")
    if removed:
        _wait_gone(kube, purge=purge)
    return removed


def _wait_gone(kube: Kube, *, purge: bool) -> None:
    """Return when nothing of it is left: an `up` that comes at once must not find half of it."""
    ours = {labels.MANAGED_BY: labels.OURS}
    kinds: tuple[type[Any], ...] = (Pod, Job, StatefulSet)
    if purge:
        kinds = (*kinds, PersistentVolumeClaim)
    deadline = time.monotonic() + DOWN_S
    with News(kube, *(Wanted(kind, labels=ours) for kind in kinds)) as news:
        while left := _left(kube, kinds):
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"not gone after {DOWN_S:.0f} s in namespace `{kube.namespace}`:"
                    f" {', '.join(left)}",
                    hint=kube.told.kubectl(f"get pods -l {labels.MANAGED_BY}={labels.OURS}"),
                )
            while (item := news.next(DOWN_LOOK_S)) is not None and item.what != "DELETED":
                pass


def _left(kube: Kube, kinds: tuple[type[Any], ...]) -> list[str]:
    ours = {labels.MANAGED_BY: labels.OURS}
    return [
        f"{kind_name(kind)} {each.metadata.name}"
        for kind in kinds
        for each in kube.list(kind, ours)
    ]
