"""Starts the pods of a run that is planned, and ends them.

A run in pods is a run on hosts: its master is told what any master is told, and its workers have a
join file. New secrets are made at each launch; those of an earlier one open nothing any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

from pymr.cluster.certificate import new_authority
from pymr.cluster.join import join_file, master_file, new_tokens
from pymr.cluster.master_spec import MasterSpec
from pymr.config import Settings
from pymr.core.events import RunPlanned
from pymr.core.plan import workers_max
from pymr.errors import ClusterError, OutputError
from pymr.kubernetes.credentials import Scope, scoped
from pymr.kubernetes.known_run import delete_run
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.limits import container_limits, fit_cpu
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import SECRETS, Needs
from pymr.kubernetes.objects.policy import MASTER_PORT, METRICS_PORT, OutsideStore
from pymr.kubernetes.objects.run import (
    CERTIFICATES_FILE,
    CREDENTIALS_FILE,
    JOIN_FILE,
    MASTER_FILE,
    MASTER_NEEDS,
    SPEC_FILE,
    WORKER_NEEDS,
    Images,
    RunObjects,
    owner_of,
)
from pymr.kubernetes.trouble import end_of
from pymr.observe.quantity import show_many
from pymr.runner.find import FoundRun
from pymr.runner.stored import StoredPlan, read_head
from pymr.store.access import Access, is_address
from pymr.store.credentials import credentials_text

WORKER_KEYS_FILE: Final = "worker-credentials"  # what workers are given; both roles have it
PODS_GONE_S: Final = 90.0  # for pods to end: they have GRACE_S to do it in order
HURRY_S: Final = 2  # for a worker's pod to end
END_LOOK_S: Final = 1.0

Say = Callable[[str], None]


class StoreOfRun(NamedTuple):
    """The store of a run, from both sides of the cluster's border."""

    here: Access  # as this machine reaches it, with its owner's keys
    endpoint: str | None  # as pods reach it
    outside: OutsideStore | None = None  # None: it is the namespace's own

    @property
    def has_keys(self) -> bool:
        """Whether pods are given keys; else they have what their cluster gives them."""
        return self.outside is None or self.here.access_key_id is not None


def launch(  # noqa: PLR0913 - what pods are made of
    kube: Kube,
    found: FoundRun,
    settings: Settings,
    images: Images,
    store: StoreOfRun,
    say: Say,
    *,
    is_replay: bool = False,
) -> None:
    """Have the cluster start the master and the workers of a run, and say how many.

    Raises:
        ClusterError: it refuses one of the objects; then none is left.
        StoreUnavailableError: the store does not answer.
        ConfigError: the name of the job is no label, or the output too long.
    """
    planned, plan = read_head(found.place, found.run)
    workers = workers_of(planned, settings, say)
    spec = _spec(found, settings, store, workers, is_replay=is_replay)
    keys = keys_of(store, Scope(found.run, found.output, addresses_of(plan)), say)
    objects = _objects(kube, found, spec, images, store, keys)
    master = objects.master_job(suspended=True)
    try:
        # The owner comes first, and waits: so all that is made goes with it.
        owner = owner_of(kube.apply(master))
        kube.apply_all(objects.parts(owner))
        kube.patch(Job, labels.master_name(found.run), {"spec": {"suspend": False}})
    except BaseException:
        delete_run(kube, found.run)
        raise
    many = show_many(workers, "worker")
    say(f"{many} and a master in namespace {kube.namespace} of {kube.context}")


def workers_of(planned: RunPlanned, settings: Settings, say: Say) -> int:
    """Return how many pods of workers a run is given: none that would have nothing to do."""
    slots = settings.slots or 1
    useful = workers_max(planned.map_tasks, planned.spec.reducers, slots)
    if settings.workers <= useful:
        return settings.workers
    tasks = show_many(max(planned.map_tasks, planned.spec.reducers), "task")
    at_once = "" if slots == 1 else f", and each does {slots} at once"
    say(f"workers is {settings.workers}, going on with {useful}: a phase has {tasks}{at_once}")
    return useful


def addresses_of(plan: StoredPlan) -> tuple[str, ...]:
    """Return where the inputs of a run are that lie in a store."""
    paths = (os.fsdecode(file.path) for file in plan.inputs)
    return tuple(path for path in paths if is_address(path))


def _spec(
    found: FoundRun, settings: Settings, store: StoreOfRun, workers: int, *, is_replay: bool
) -> MasterSpec:
    """Return what the master is told; no secret is in it."""
    return MasterSpec(
        output=found.output,
        run=found.run,
        endpoint=store.endpoint,
        region=store.here.region,
        secrets=f"{SECRETS}/{MASTER_FILE}",
        listen=f"[::]:{MASTER_PORT}",
        join_file=None,
        workers=workers,
        worker_wait_s=settings.worker_wait_s,
        worker_keys=f"{SECRETS}/{WORKER_KEYS_FILE}" if store.has_keys else None,
        is_replay=is_replay,
        settings=msgspec.structs.replace(
            settings, metrics=f"[::]:{METRICS_PORT}", endpoint=store.endpoint, tmp_dir=None
        ),
    )


def _objects(
    kube: Kube,
    found: FoundRun,
    spec: MasterSpec,
    images: Images,
    store: StoreOfRun,
    keys: PodKeys,
) -> RunObjects:
    assert spec.settings is not None, "a pod has no settings of its own"
    authority, tokens = new_authority(found.run), new_tokens()
    address = f"{labels.master_host(found.run, kube.namespace)}:{MASTER_PORT}"
    join = join_file(authority, tokens, "worker", (address,))
    limits = container_limits(kube)
    return RunObjects(
        run=found.run,
        job=found.name,
        namespace=kube.namespace,
        images=images,
        workers=spec.workers,
        master_files={
            SPEC_FILE: msgspec.json.encode(spec),
            MASTER_FILE: msgspec.json.encode(master_file(authority, tokens)),
            **keys.master,
            **certificates(store.here),
        },
        worker_files={JOIN_FILE: msgspec.json.encode(join), **keys.worker},
        endpoint=store.endpoint,
        region=store.here.region,
        outside_store=store.outside,
        is_requester_paying=store.here.is_requester_paying,
        slots=spec.settings.slots or 1,
        master_needs=fit_cpu(MASTER_NEEDS, limits),
        worker_needs=fit_cpu(_needs(spec.settings), limits),
        timeout_s=spec.settings.timeout_s,
    )


class PodKeys(NamedTuple):
    """Files with keys of the store, by name, of either role."""

    master: dict[str, bytes]
    worker: dict[str, bytes]


def keys_of(store: StoreOfRun, scope: Scope, say: Say) -> PodKeys:
    """Return the keys of the pods: of this run and role, if the store makes such; else ours.

    Without keys of ours pods have what their cluster gives them.

    Raises:
        ClusterError: the namespace's own storage makes none.
        StoreUnavailableError: the store does not answer.
    """
    here = store.here
    if not store.has_keys:
        say("pods reach the store by what their cluster gives them: no keys are set here")
        return PodKeys({}, {})
    master = worker = here
    try:
        if here.endpoint is not None:
            master, worker = scoped(here, "master", scope), scoped(here, "worker", scope)
        why = "Amazon's store"
    except ClusterError as error:
        if store.outside is None:
            raise
        why = f"it makes none for a run, `{error.fields['code']}`"
    if worker is here:
        say(f"pods have your keys of the store, with all that they may do ({why})")
    worker_keys = {WORKER_KEYS_FILE: credentials_text(worker).encode()}
    return PodKeys(
        {CREDENTIALS_FILE: credentials_text(master).encode(), **worker_keys}, worker_keys
    )


def certificates(here: Access) -> dict[str, bytes]:
    """Return what the master trusts besides the system's; it tells workers."""
    trusted = here.root_certificates
    return {} if trusted is None else {CERTIFICATES_FILE: trusted.encode()}


def _needs(settings: Settings) -> Needs:
    """Return what a worker's pod is given: the memory that its tasks may use."""
    return Needs(
        cpu_milli=WORKER_NEEDS.cpu_milli,
        memory_bytes=settings.memory_bytes,
        disk_bytes=WORKER_NEEDS.disk_bytes,
        disk_bytes_max=WORKER_NEEDS.disk_bytes_max,
    )


def end(kube: Kube, run: str, *, wait_s: float = PODS_GONE_S) -> bool:
    """Remove what the cluster has of a run, wait until its pods are gone, and say if it had any.

    A master has time to end in order. Workers have not: without one they would wait for another.
    May be repeated.

    Raises:
        ClusterError: refused.
    """
    of_run = labels.run_selector(run)
    deadline = time.monotonic() + wait_s
    # Workers first: a kubelet that has begun to wait for a pod, as long as the pod may take when
    # its Job is deleted, is not moved by a shorter time that comes later.
    _hurried(kube, kube.list(Pod, of_run))
    had_any = delete_run(kube, run)
    if not (left := _hurried(kube, kube.list(Pod, of_run))):
        return had_any
    with News(kube, Wanted(Pod, of_run)) as news:
        while left and time.monotonic() < deadline:
            item = news.next(END_LOOK_S)
            if item is None:  # Some may have gone before the watch began.
                left = _hurried(kube, kube.list(Pod, of_run))
            elif item.what == "DELETED":
                left.discard(item.object.metadata.name)
            else:
                left |= _hurried(kube, [item.object])
    return had_any


def _hurried(kube: Kube, pods: list[Pod]) -> set[str]:
    """Return the names of pods; those of workers are told to be quick."""
    for pod in pods:
        _hurry(kube, pod)
    return {str(pod.metadata.name) for pod in pods if pod.metadata is not None}


def _hurry(kube: Kube, pod: Pod) -> None:
    """Have a worker's pod end soon, if nobody has said so yet."""
    assert pod.metadata is not None, "the cluster's objects have metadata"
    of_pod = pod.metadata.labels or {}
    if of_pod.get(labels.COMPONENT) != "worker" or pod.metadata.name is None:
        return
    if (pod.metadata.deletionGracePeriodSeconds or PODS_GONE_S) > HURRY_S:
        kube.delete(Pod, pod.metadata.name, grace_s=HURRY_S)


def is_launched(kube: Kube, run: str) -> bool:
    """Say whether the cluster has the Job of the master of a run, at work or at its end.

    Raises:
        ClusterError: refused.
    """
    return kube.get(Job, labels.master_name(run)) is not None


def is_at_work(kube: Kube, run: str) -> bool:
    """Say whether the Job of a run's master goes on: one runs, or another is about to.

    Raises:
        ClusterError: refused.
    """
    job = kube.get(Job, labels.master_name(run))
    return job is not None and end_of(job) is None


def refuse_living(kube: Kube, found: FoundRun) -> None:
    """Refuse a run whose master's Job is at work; wait until nothing is left of an earlier one.

    Raises:
        OutputError: it is.
        ClusterError: refused.
    """
    if is_at_work(kube, found.run):
        raise OutputError(
            f"run {found.name} still runs, in namespace `{kube.namespace}`",
            hint=f"pymr attach {found.name}   or first   pymr cancel {found.name}",
        )
    end(kube, found.run)  # A master that is about to end would be taken for the next one.
