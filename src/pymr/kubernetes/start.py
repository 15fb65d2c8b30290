"""`--on kubernetes`: a run from its plan to its end, in pods of one namespace.

    storage there ─► a port to it ─► plan, upload ─► pods ─► follow ─► logs kept, pods gone
    images there  ───────────────────────────────────┘

The storage is the namespace's own MinIO, or a store that the user has (`--store`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pymr.cluster.submit import for_hosts, make_default_store, submit_run
from pymr.config import Resolved, Settings
from pymr.errors import PymrError
from pymr.kubernetes.images.ensure import (
    ImageRequest,
    ensure_images,
    ensure_storage_image,
    find_supply,
    image_request,
)
from pymr.kubernetes.images.meanwhile import meanwhile
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.launch import StoreOfRun, launch
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.policy import STORAGE_PORT, OutsideStore
from pymr.kubernetes.objects.run import WORKER_NEEDS, Images
from pymr.kubernetes.permission import FOR_RUN
from pymr.kubernetes.preflight import make_ready
from pymr.kubernetes.reach import reached
from pymr.kubernetes.storage import REGION, StorageWish, ensure_storage
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.runner.plan import Request
from pymr.runner.reach import access_with
from pymr.runner.stored import read_plan
from pymr.store.access import Access, is_address
from pymr.store.registry import Cluster, RegisteredRun, register

DEFAULT_SLOTS: Final = 1  # of a worker: a pod is the unit that clusters count
_PORTS: Final = {"http": 80, "https": 443}

Say = Callable[[str], None]


def for_kubernetes(resolved: Resolved, kube: Kube) -> Settings:
    """Return the settings of a run in pods: what nobody has said is not this machine's.

    Raises:
        ConfigError: the output is a folder of this machine, or the name can be no label.
    """
    settings = resolved.settings
    if settings.name is not None:
        labels.label_value(settings.name)
    is_own = settings.store is None
    memory_bytes = settings.memory_bytes
    if "memory" not in resolved.origins:
        memory_bytes = WORKER_NEEDS.memory_bytes
    return msgspec.structs.replace(
        for_hosts(settings),
        memory_bytes=memory_bytes,
        slots=settings.slots or DEFAULT_SLOTS,
        context=kube.context,
        namespace=kube.namespace,
        endpoint=storage_endpoint(kube.namespace) if is_own else settings.endpoint,
        region=REGION if is_own else settings.region,
    )


def storage_endpoint(namespace: str) -> str:
    """Return the URL of the storage of a namespace, as pods reach it."""
    return f"http://{labels.storage_host(namespace)}:{STORAGE_PORT}"


def is_own_storage(settings: Settings) -> bool:
    """Say whether a run keeps everything in the storage of its namespace."""
    return settings.endpoint == storage_endpoint(settings.namespace or "")


@contextmanager
def store_of_run(
    kube: Kube, settings: Settings, images: ImageRequest, say: Say
) -> Iterator[StoreOfRun]:
    """Have the store of a run reached from here, as long as the block lasts.

    Raises:
        ClusterError: the storage is not there, and cannot be made; or a right is missing for a run.
    """
    make_ready(kube, FOR_RUN, "run a job", say)
    if not is_own_storage(settings):
        here = access_with(settings)
        yield StoreOfRun(here, here.endpoint, outside_store(here))
        return

    def image() -> str:
        return ensure_storage_image(kube, images, say)

    storage = ensure_storage(kube, StorageWish(image=image), say)
    with reached(kube, storage, wait_s=settings.storage_wait_s) as here:
        yield StoreOfRun(here, settings.endpoint)


def outside_store(access: Access) -> OutsideStore:
    """Return what policies know of a store that is outside of the cluster."""
    parts = urlsplit(access.endpoint or "https://")
    return OutsideStore(parts.port or _PORTS.get(parts.scheme, _PORTS["https"]))


class Submission(msgspec.Struct, frozen=True):
    """A run that is planned and in its store, and what its pods will be made of."""

    found: FoundRun
    images: Images
    inputs: tuple[str, ...]


def submit(  # noqa: PLR0913 - what a run is made of
    kube: Kube,
    request: Request,
    store: StoreOfRun,
    images: ImageRequest,
    observer: Observer,
    say: Say,
    *,
    over: str | None = None,
) -> Submission:
    """Plan a run and put it into its store, while its images are made.

    Raises:
        PymrError: the plan, the upload or an image fails.
    """
    asked = msgspec.structs.replace(request, access=store.here)
    with meanwhile(find_supply(kube, images, say).images) as made:
        if store.outside is None:
            make_default_store(request.settings, store.here)
        found = submit_run(asked, observer, over=over)
        remember(kube, found, store)
        return Submission(found, made(), inputs_of(found))


def inputs_of(found: FoundRun) -> tuple[str, ...]:
    """Return where the inputs of a run are: addresses."""
    paths = (os.fsdecode(file.path) for file in read_plan(found.place, found.run).inputs)
    return tuple(path for path in paths if is_address(path))


def remember(kube: Kube, found: FoundRun, store: StoreOfRun) -> None:
    """Put a run into the registry, and where its cluster is; best effort."""
    has_store = store.outside is None
    endpoint = None if has_store else store.here.endpoint
    cluster = Cluster(kube.context, kube.namespace, has_store)
    register(
        RegisteredRun(
            found.run, found.name, found.output, found.started, endpoint, store.here.region, cluster
        )
    )


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
    remember(kube, found, store)
    launch(kube, found, settings, images, store, inputs_of(found), is_replay=is_replay)


def launch_submitted(
    kube: Kube, submission: Submission, settings: Settings, store: StoreOfRun
) -> None:
    """Start the pods of a run that was submitted.

    Raises:
        ClusterError: refused; the run is in its store, and can be resumed.
    """
    try:
        launch(kube, submission.found, settings, submission.images, store, submission.inputs)
    except PymrError as error:
        if error.hint is None:
            error.hint = f"pymr resume {submission.found.name}"
        raise
