"""Starts the pods of a run that is planned, and ends them.

A run in pods is a run on hosts: its master is told what any master is told, and its workers have a
join file. New secrets are made at each launch; those of an earlier one open nothing any more.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import msgspec
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod

from pymr.cluster.certificate import new_authority
from pymr.cluster.join import join_file, master_file, new_tokens
from pymr.cluster.start import MasterSpec
from pymr.config import Settings
from pymr.errors import ClusterError
from pymr.kubernetes.credentials import Scope, scoped
from pymr.kubernetes.known_run import delete_run
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import SECRETS, Needs
from pymr.kubernetes.objects.policy import MASTER_PORT, METRICS_PORT, OutsideStore
from pymr.kubernetes.objects.run import (
    CREDENTIALS_FILE,
    JOIN_FILE,
    MASTER_FILE,
    SPEC_FILE,
    WORKER_NEEDS,
    Images,
    RunObjects,
    owner_of,
)
from pymr.kubernetes.trouble import end_of
from pymr.runner.find import FoundRun
from pymr.store.access import Access
from pymr.store.credentials import credentials_text

WORKER_KEYS_FILE: Final = "worker-credentials"  # what workers are given; both roles have it
GONE_S: Final = 90.0  # for pods to end: they have GRACE_S to do it in order
HURRY_S: Final = 2  # for a worker's pod to end
LOOK_S: Final = 1.0


class StoreOfRun(NamedTuple):
    """The store of a run, from both sides of the cluster's border."""

    here: Access  # as this machine reaches it, with its owner's keys
    endpoint: str | None  # as pods reach it
    outside: OutsideStore | None = None  # None: it is the namespace's own


def launch(  # noqa: PLR0913 - what pods are made of
    kube: Kube,
    found: FoundRun,
    settings: Settings,
    images: Images,
    store: StoreOfRun,
    inputs: tuple[str, ...],
    *,
    is_replay: bool = False,
) -> None:
    """Have the cluster start the master and the workers of a run.

    Raises:
        ClusterError: it refuses one of the objects; then none is left.
        ConfigError: the name of the job is no label, or the output too long.
    """
    spec = _spec(found, settings, store, is_replay=is_replay)
    objects = _objects(kube, found, spec, images, store, inputs)
    master = objects.master_job(suspended=True)
    try:
        # The owner comes first, and waits: so all that is made goes with it.
        owner = owner_of(kube.apply(master))
        kube.apply_all(objects.parts(owner))
        kube.patch(Job, labels.master_name(found.run), {"spec": {"suspend": False}})
    except BaseException:
        delete_run(kube, found.run)
        raise


def _spec(found: FoundRun, settings: Settings, store: StoreOfRun, *, is_replay: bool) -> MasterSpec:
    """Return what the master is told; no secret is in it."""
    has_keys = store.outside is None or store.here.access_key_id is not None
    return MasterSpec(
        output=found.output,
        run=found.run,
        endpoint=store.endpoint,
        region=store.here.region,
        secrets=f"{SECRETS}/{MASTER_FILE}",
        listen=f"[::]:{MASTER_PORT}",
        join_file=None,
        workers=settings.workers,
        worker_wait_s=settings.worker_wait_s,
        worker_keys=f"{SECRETS}/{WORKER_KEYS_FILE}" if has_keys else None,
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
    inputs: tuple[str, ...],
) -> RunObjects:
    assert spec.settings is not None, "a pod has no settings of its own"
    authority, tokens = new_authority(found.run), new_tokens()
    address = f"{labels.master_host(found.run, kube.namespace)}:{MASTER_PORT}"
    join = join_file(authority, tokens, "worker", (address,))
    keys = _keys(store, Scope(found.run, found.output, inputs))
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
        },
        worker_files={JOIN_FILE: msgspec.json.encode(join), **keys.worker},
        endpoint=store.endpoint,
        region=store.here.region,
        outside_store=store.outside,
        slots=spec.settings.slots or 1,
        worker_needs=_needs(spec.settings),
        timeout_s=spec.settings.timeout_s,
    )


class _Keys(NamedTuple):
    """Files with keys of the store, by name, of either role."""

    master: dict[str, bytes]
    worker: dict[str, bytes]


def _keys(store: StoreOfRun, scope: Scope) -> _Keys:
    """Return the keys of the pods: scoped where the store is ours, else those of the user."""
    if store.outside is not None:
        own = credentials_text(store.here).encode() if store.here.access_key_id else None
        files = {} if own is None else {CREDENTIALS_FILE: own, WORKER_KEYS_FILE: own}
        return _Keys(files, {name: files[name] for name in files if name == WORKER_KEYS_FILE})
    worker = credentials_text(scoped(store.here, "worker", scope)).encode()
    master = credentials_text(scoped(store.here, "master", scope)).encode()
    return _Keys({CREDENTIALS_FILE: master, WORKER_KEYS_FILE: worker}, {WORKER_KEYS_FILE: worker})


def _needs(settings: Settings) -> Needs:
    """Return what a worker's pod is given: the memory that its tasks may use."""
    return Needs(
        cpu_milli=WORKER_NEEDS.cpu_milli,
        memory_bytes=settings.memory_bytes,
        disk_bytes=WORKER_NEEDS.disk_bytes,
        disk_bytes_max=WORKER_NEEDS.disk_bytes_max,
    )


def end(kube: Kube, run: str, *, wait_s: float = GONE_S) -> None:
    """Remove what the cluster has of a run, and wait until its pods are gone. May be repeated.

    A master has time to end in order. Workers have not: without one they would wait for another.

    Raises:
        ClusterError: refused.
    """
    delete_run(kube, run)
    of_run = labels.run_selector(run)
    deadline = time.monotonic() + wait_s
    if not (left := _hurried(kube, kube.list(Pod, of_run))):
        return
    with News(kube, Wanted(Pod, of_run)) as news:
        while left and time.monotonic() < deadline:
            item = news.next(LOOK_S)
            if item is None:  # Some may have gone before the watch began.
                left = _hurried(kube, kube.list(Pod, of_run))
            elif item.what == "DELETED":
                left.discard(item.object.metadata.name)
            else:
                left |= _hurried(kube, [item.object])


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
    if (pod.metadata.deletionGracePeriodSeconds or GONE_S) > HURRY_S:
        kube.delete(Pod, pod.metadata.name, grace_s=HURRY_S)


def is_launched(kube: Kube, run: str) -> bool:
    """Say whether the cluster has the Job of the master of a run, at work or at its end.

    Raises:
        ClusterError: refused.
    """
    return kube.get(Job, labels.master_name(run)) is not None


def refuse_living(kube: Kube, found: FoundRun) -> None:
    """Refuse a run whose master's Job is at work; wait until nothing is left of an earlier one.

    Raises:
        ClusterError: it is, or refused.
    """
    job = kube.get(Job, labels.master_name(found.run))
    if job is not None and end_of(job) is None:
        raise ClusterError(
            f"run {found.name} is at work in namespace `{kube.namespace}`",
            hint=f"pymr attach {found.name}   or first   pymr cancel {found.name}",
        )
    end(kube, found.run)  # A master that is about to end would be taken for the next one.
