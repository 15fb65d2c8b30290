"""`--on kubernetes`: a run from its plan to its end, in pods of one namespace.

    storage there ─► a port to it ─► plan, upload ─► pods ─► follow ─► logs kept, pods gone
    images there  ───────────────────────────────────┘

The storage is the namespace's own MinIO, or a store that the user has (`--store`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

import msgspec

from pymr.cluster.ending import ending_told
from pymr.cluster.submit import Look, for_hosts, make_default_store, submit_run
from pymr.config import Resolved, Settings
from pymr.config.setting import DEFAULT_STORE
from pymr.errors import PymrError
from pymr.kubernetes.images.ensure import (
    ImageRequest,
    Supply,
    ensure_images,
    find_supply,
    image_request,
)
from pymr.kubernetes.images.meanwhile import meanwhile
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.launch import StoreOfRun, launch
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.run import WORKER_NEEDS, Images
from pymr.kubernetes.outside import (
    outside_access,
    outside_store,
    refuse_lone_endpoint,
    settings_outside,
)
from pymr.kubernetes.permission import FOR_RUN
from pymr.kubernetes.preflight import make_ready
from pymr.kubernetes.reach import reaching
from pymr.kubernetes.room import look_for_room
from pymr.kubernetes.storage import REGION, StorageWish, ensure_storage
from pymr.runner.cancel_mark import CancelMark
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.runner.plan import Request
from pymr.runner.pool import Pool
from pymr.runner.run import remember
from pymr.runner.stored import read_plan
from pymr.store.access import Access
from pymr.store.registry import Cluster

DEFAULT_SLOTS: Final = 1  # of a worker: a pod is the unit that clusters count

Say = Callable[[str], None]


def settings_of_pods(resolved: Resolved) -> Settings:
    """Return the settings of a run in pods: what nobody has said is not this machine's.

    Raises:
        ConfigError: the output is a folder of this machine, the name can be no label, or it is
            said how a store is reached that is not named.
    """
    settings = resolved.settings
    is_typed = resolved.origin("region") == "flag --region"
    refuse_lone_endpoint(settings, settings.region if is_typed else None)
    if settings.name is not None:
        labels.label_value(settings.name)
    memory_bytes = settings.memory_bytes
    if "memory" not in resolved.origins:
        memory_bytes = WORKER_NEEDS.memory_bytes
    in_pods = msgspec.structs.replace(
        for_hosts(settings), memory_bytes=memory_bytes, slots=settings.slots or DEFAULT_SLOTS
    )
    return in_pods if settings.store is None else settings_outside(in_pods)


def settings_there(in_pods: Settings, kube: Kube, *, has_store: bool) -> Settings:
    """Return the settings of a run in pods of one namespace, whose storage it uses or not."""
    settings = msgspec.structs.replace(in_pods, context=kube.context, namespace=kube.namespace)
    if not has_store:
        return settings
    endpoint = labels.storage_endpoint(kube.namespace)
    return msgspec.structs.replace(settings, endpoint=endpoint, region=REGION)


def is_own_storage(settings: Settings) -> bool:
    """Say whether a run keeps everything in the storage of its namespace."""
    return settings.endpoint == labels.storage_endpoint(settings.namespace or "")


class Ground(NamedTuple):
    """What a run stands on before it is planned."""

    store: StoreOfRun
    supply: Supply  # of its images


@contextmanager
def ground_of_run(
    kube: Kube, settings: Settings, images: ImageRequest, say: Say
) -> Iterator[Ground]:
    """Have the store of a run reached from here, as long as the block lasts, and images to be had.

    Raises:
        StoreError: a store of the user says no, before the cluster is asked for anything.
        ClusterError: the storage is not there, and cannot be made; a right is missing for a run;
            or there is no builder that answers, or no way to the nodes, and one is needed.
        ConfigError: settings contradict each other.
    """
    outside = None if is_own_storage(settings) else outside_access(settings)
    make_ready(kube, FOR_RUN, "run a job", say)
    supply = find_supply(kube, images, say)
    if outside is not None:
        supply.check()
        yield Ground(StoreOfRun(outside, outside.endpoint, outside_store(outside)), supply)
        return
    storage = ensure_storage(kube, StorageWish(image=supply.storage_image), say)
    with reaching(kube, storage, wait_s=settings.storage_wait_s) as arrive:
        supply.check()  # Meanwhile.
        yield Ground(StoreOfRun(arrive(), settings.endpoint), supply)


class Submission(msgspec.Struct, frozen=True):
    """A run that is planned and in its store, and what its pods will be made of."""

    found: FoundRun
    images: Images


def submit(
    kube: Kube,
    request: Request,
    ground: Ground,
    pool: Pool,
    observer: Observer,
    *,
    over: str | None = None,
) -> Submission:
    """Plan a run and put it into its store, while its images are made; `pool` loads its code.

    Raises:
        PymrError: the plan, the upload or an image fails.
    """
    store = ground.store
    asked = msgspec.structs.replace(request, access=store.here, cluster=_cluster(kube, store))
    with meanwhile(ground.supply.images) as made:
        if store.outside is None:
            make_default_store(request.settings, store.here)
        look = _room(kube, request.settings, store)
        found = submit_run(asked, observer, over=over, look=look, pool=pool)
        mark = CancelMark(found.place, found.run)
        with ending_told(found, store.here), found.place.life_signs(found.run, 0):
            return Submission(found, made(mark.look))


def _room(kube: Kube, settings: Settings, store: StoreOfRun) -> Look | None:
    """Return what looks whether a run fits into its storage, if that is the namespace's own."""
    if store.outside is not None:
        return None
    root = settings.store or DEFAULT_STORE
    return partial(look_for_room, namespace=kube.namespace, owner=store.here, root=root)


def _cluster(kube: Kube, store: StoreOfRun) -> Cluster:
    return Cluster(kube.context, kube.namespace, has_store=store.outside is None)


def images_of(settings: Settings, worker: str | None) -> ImageRequest:
    """Return the images that a run asks for; the packages are those that its worker file declares.

    Raises:
        PymrError: the worker file or the file of requirements cannot be read.
    """
    return image_request(settings, worker)


def launch_again(
    kube: Kube,
    found: FoundRun,
    settings: Settings,
    here: Access,
    say: Say,
    *,
    is_replay: bool = False,
) -> None:
    """Start the pods of a run that has stopped.

    Raises:
        PymrError: an image cannot be made, or the cluster refuses.
    """
    code = read_plan(found.place, found.run).code.path
    worker = code if code is not None and os.path.exists(code) else None
    images = ensure_images(kube, images_of(settings, worker), say)
    is_own = is_own_storage(settings)
    store = StoreOfRun(here, settings.endpoint, None if is_own else outside_store(here))
    remember(found.run, found.name, found.place, found.started, here, _cluster(kube, store))
    launch(kube, found, settings, images, store, say, is_replay=is_replay)


def launch_submitted(
    kube: Kube, submission: Submission, settings: Settings, store: StoreOfRun, say: Say
) -> None:
    """Start the pods of a run that was submitted.

    Raises:
        ClusterError: refused; the run is in its store, and can be resumed.
    """
    found = submission.found
    try:
        with ending_told(found, store.here):
            launch(kube, found, settings, submission.images, store, say)
    except PymrError as error:
        if error.hint is None:
            error.hint = f"pymr resume {found.name}"
        raise
