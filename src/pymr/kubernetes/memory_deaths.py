"""Which task it is that ends pods for want of memory. Pure.

A kernel that ends a whole container leaves nobody who could say why: only the pod's status does,
and pods may not ask the API server. So whoever follows a run puts two things together: the pods
that the cluster says were ended (`OOMKilled`), and the attempts that the master says were lost with
a worker of the same host. A worker may be lost for many reasons, and that is not counted; a task
with which two pods have ended so is the reason itself, and would end one pod after the other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final, NamedTuple

from lightkube.resources.core_v1 import Pod
from lightkube.utils.quantity import parse_quantity

from pymr.config.value import spell_size
from pymr.core.spec import Attempt
from pymr.errors import TaskMemoryError
from pymr.kubernetes.objects import labels

POD_DEATHS_MAX: Final = 2  # of pods with the same task, for want of memory
OOM_KILLED: Final = "OOMKilled"
DEATH_LATE_S: Final = 60.0  # between the end of a pod and that of its leases
DEATH_EARLY_S: Final = 5.0  # by which the clocks of node and master may differ


class _Ended(NamedTuple):
    pod: Pod
    host: str
    at: float  # Unix seconds


class _Lost(NamedTuple):
    task: str
    host: str
    at: float


class MemoryDeaths:
    """The pods of a run that ended so, and what was lost with each."""

    def __init__(self) -> None:
        self._pods: dict[str, _Ended] = {}  # by name
        self._lost: list[_Lost] = []

    def take_pod(self, pod: Pod) -> None:
        """Take note of a pod of a worker."""
        if pod.metadata is not None and (ended := _ended(pod)) is not None:
            self._pods[str(pod.metadata.name)] = ended

    def take_lost(self, attempt: Attempt, worker: str, at: float) -> None:
        """Take note that an attempt was lost with its worker, as the master said `at` that time."""
        host, _, _ = worker.rpartition("-")  # The rest was issued by the master.
        self._lost.append(_Lost(str(attempt), host, at))

    def failure(self) -> TaskMemoryError | None:
        """Return the error of a task with which too many pods have ended."""
        if len(self._pods) < POD_DEATHS_MAX:
            return None
        ended: dict[str, dict[str, Pod]] = defaultdict(dict)
        for lost in self._lost:
            for name, each in self._pods.items():
                if each.host == lost.host and -DEATH_LATE_S <= each.at - lost.at <= DEATH_EARLY_S:
                    ended[lost.task][name] = each.pod
        for task, pods in ended.items():
            if len(pods) >= POD_DEATHS_MAX:
                return _error(task, pods)
        return None


def _ended(pod: Pod) -> _Ended | None:
    statuses = (pod.status.containerStatuses if pod.status is not None else None) or ()
    for each in statuses:
        end = each.state.terminated if each.state is not None else None
        is_out = end is not None and end.reason == OOM_KILLED and each.name == "worker"
        if is_out and end is not None and end.finishedAt is not None:
            host = str(pod.spec.hostname) if pod.spec is not None else ""
            return _Ended(pod, host, end.finishedAt.timestamp())
    return None


def _error(task: str, pods: dict[str, Pod]) -> TaskMemoryError:
    names, last = list(pods), next(reversed(pods.values()))
    had, run = _memory_bytes(last), _run_name(last)
    return TaskMemoryError(
        f"{task} was lost with {len(names)} pods that used more memory than the {spell_size(had)}"
        f" that each has, and were killed (`{OOM_KILLED}`): {', '.join(f'`{n}`' for n in names)}",
        hint=f"pymr resume {run} --memory {spell_size(2 * had)}   gives each worker more",
        task=task,
        pods=names,
        used_bytes=had,
        had_bytes=had,
    )


def _memory_bytes(pod: Pod) -> int:
    """Return the memory that a worker's pod may use."""
    containers: list[Any] = list(pod.spec.containers) if pod.spec is not None else []
    for container in containers:
        limits = container.resources.limits if container.resources is not None else None
        if container.name == "worker" and limits and "memory" in limits:
            return int(parse_quantity(limits["memory"]) or 0)
    return 0


def _run_name(pod: Pod) -> str:
    of_pod = (pod.metadata.labels if pod.metadata is not None else None) or {}
    return str(of_pod.get(labels.JOB, "RUN"))
