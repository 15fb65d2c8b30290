"""What is seen of a run's pods, and what it comes to: pure, events of a watch in, words out.

A run goes on with the workers it has. It comes to nothing when its master cannot start, or when no
worker ever could; how long that is waited for depends on what is in the way (`kubernetes.trouble`).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from lightkube.models.core_v1 import ContainerStateTerminated
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from pymr.errors import ClusterError, IncompleteError, PymrError
from pymr.kubernetes.memory_deaths import MemoryDeaths
from pymr.kubernetes.objects import labels
from pymr.kubernetes.refusal import Told
from pymr.kubernetes.trouble import (
    Trouble,
    end_of,
    event_trouble,
    exit_of,
    has_ended,
    is_later,
    is_running,
    pod_trouble,
    while_running,
)

RUN_GONE_S: Final = 5.0  # for the end of a run that was cancelled to be read
SAY_AFTER_S: Final = 5.0  # what mends itself sooner was none: a Secret comes after its pod
SAY_AGAIN_S: Final = 30.0  # the same trouble, while it lasts
_HAPPENED: Final = ("memory", "crash", "evicted")  # and does not last: said at once
Part = Literal["master", "worker"]


class Noticed(NamedTuple):
    """A trouble of a pod or Job, and since when it is known."""

    part: Part
    name: str
    trouble: Trouble
    since: float


class Sight:
    """The pods and Jobs of one run as they were told last. `now` is of one steady clock.

    A trouble is said when it has lasted for `say_after_s`.
    """

    def __init__(
        self, run: str, told: Told, *, schedule_timeout_s: float, say_after_s: float = SAY_AFTER_S
    ) -> None:
        self._told = told
        self._names: dict[str, Part] = {
            labels.master_name(run): "master",
            labels.workers_name(run): "worker",
        }
        self._schedule_timeout_s = schedule_timeout_s
        self._say_after_s = say_after_s
        self.deaths = MemoryDeaths()
        self._pods: dict[str, Pod] = {}
        self._jobs: dict[Part, Job] = {}
        self._noticed: dict[str, Noticed] = {}  # by the name of a pod or Job
        self._said: dict[tuple[Part, str], float] = {}
        self._has_run: set[Part] = set()
        self._gone_since: float | None = None  # the master's Job

    def take_pod(self, change: str, pod: Pod, now: float) -> None:
        """Take note of what a watch says of a pod."""
        name = _name(pod)
        part = _part(pod)
        if part is None:
            return
        if change == "DELETED":
            self._pods.pop(name, None)
            self._noticed.pop(name, None)
            return
        self._pods[name] = pod
        if part == "worker":
            self.deaths.take_pod(pod)
        if is_running(pod):
            self._has_run.add(part)
        self._notice(part, name, pod_trouble(pod, self._told), now)

    def take_job(self, change: str, job: Job, now: float) -> None:
        """Take note of what a watch says of a Job: that its pods could be made, for instance."""
        part = self._names.get(_name(job))
        if part is None:
            return
        assert job.metadata is not None, "the cluster's objects have metadata"
        is_gone = change == "DELETED" or job.metadata.deletionTimestamp is not None
        if part == "master":
            self._gone_since = (self._gone_since or now) if is_gone else None
        if change == "DELETED":
            self._jobs.pop(part, None)
            return
        self._jobs[part] = job
        wanted = (job.spec.parallelism or 0) if job.spec is not None else 0
        made = (job.status.active or 0) if job.status is not None else 0
        if made >= wanted > 0:
            self._notice(part, _name(job), None, now)

    def take_event(self, event: Event, now: float) -> None:
        """Take note of an event of one of the Jobs or pods."""
        name = event.involvedObject.name or ""
        part = self._names.get(name)
        pod = self._pods.get(name)
        if part is None and pod is not None:
            part = _part(pod)
            if has_ended(pod):
                return
        trouble = event_trouble(event, self._told)
        if trouble is not None and pod is not None and is_running(pod):
            trouble = while_running(trouble) if is_later(event, pod) else None
        if part is not None and trouble is not None:
            self._notice(part, name, trouble, now)

    def _notice(self, part: Part, name: str, trouble: Trouble | None, now: float) -> None:
        if trouble is None:
            self._noticed.pop(name, None)
            return
        before = self._noticed.get(name)
        is_same = before is not None and before.trouble.kind == trouble.kind
        since = before.since if before is not None and is_same else now
        self._noticed[name] = Noticed(part, name, trouble, since)

    @property
    def workers_running(self) -> int:
        """How many workers run now."""
        return sum(_part(pod) == "worker" and is_running(pod) for pod in self._pods.values())

    @property
    def is_without_master(self) -> bool:
        """Whether a master has run, and none runs now."""
        masters = [pod for pod in self._pods.values() if _part(pod) == "master"]
        return "master" in self._has_run and not any(map(_runs_on, masters))

    @property
    def has_master_run(self) -> bool:
        """Whether a master has run."""
        return "master" in self._has_run

    @property
    def pods(self) -> list[str]:
        """The names of the pods that are there."""
        return sorted(self._pods)

    def master_end(self) -> str | None:
        """Return how the master's Job has ended: `Complete` or `Failed`; None: it has not."""
        return end_of(self._jobs.get("master"))

    def last_master(self) -> ContainerStateTerminated | None:
        """Return how the master has ended that ended last; None: nobody knows of one."""
        masters = [pod for pod in self._pods.values() if _part(pod) == "master"]
        ends = [end for pod in masters if (end := exit_of(pod, "master")) is not None]
        return max(ends, key=lambda end: str(end.finishedAt), default=None)

    def news(self, now: float) -> list[str]:
        """Return what there is to say now: each trouble that stays, and again while it lasts.

        Of many workers with the same trouble one is named.
        """
        said = []
        for key, each in self._by_kind().items():
            if each.trouble.kind not in _HAPPENED and now - each.since < self._say_after_s:
                continue
            if now - self._said.get(key, -SAY_AGAIN_S) >= SAY_AGAIN_S:
                self._said[key] = now
                said.append(f"{_called(each)}: {each.trouble.text}")
        return said

    def failure(self, now: float) -> PymrError | None:
        """Return why the run comes to nothing; None: it may yet."""
        if self._gone_since is not None and now - self._gone_since >= RUN_GONE_S:
            return deleted(self._told)
        if (out_of_memory := self.deaths.failure()) is not None:
            return out_of_memory
        for each in self._by_kind().values():
            if each.part in self._has_run:
                continue
            patience_s = min(each.trouble.patience_s, self._schedule_timeout_s)
            if each.trouble.kind in _HAPPENED:
                continue  # The Job makes another, and says when it does so no more.
            if now - each.since >= patience_s:
                return ClusterError(
                    f"{_called(each)} does not start: {each.trouble.text}",
                    hint=each.trouble.hint,
                    kind=each.trouble.kind,
                )
        return None

    def _by_kind(self) -> dict[tuple[Part, str], Noticed]:
        found: dict[tuple[Part, str], Noticed] = {}
        for each in sorted(self._noticed.values(), key=lambda noticed: noticed.since):
            found.setdefault((each.part, each.trouble.kind), each)
        return found


def deleted(told: Told) -> IncompleteError:
    """Return what it means that nothing is left of a run in the cluster: it can be resumed."""
    return IncompleteError(
        f"the run was deleted from the cluster, or its namespace `{told.namespace}`"
    )


def _called(noticed: Noticed) -> str:
    return f"the {noticed.part} (`{noticed.name}`)"


def _runs_on(pod: Pod) -> bool:
    """Say whether a pod runs, and was not told to end."""
    is_leaving = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
    return is_running(pod) and not is_leaving


def _part(pod: Pod) -> Part | None:
    of_pod = (pod.metadata.labels or {}) if pod.metadata is not None else {}
    component = of_pod.get(labels.COMPONENT)
    return component if component in ("master", "worker") else None


def _name(thing: Pod | Job) -> str:
    assert thing.metadata is not None, "the cluster's objects have metadata"
    return str(thing.metadata.name)
