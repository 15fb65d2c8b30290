"""`pymr render`: the objects of a run and of its storage, as YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from pymr.cli.kube_options import kube_options
from pymr.cli.settings import resolved_settings

if TYPE_CHECKING:
    from pymr.config import Settings
    from pymr.kubernetes.launch import StoreOfRun

PARTS = ("namespace", "role", "storage", "run")


@click.command("render")
@click.argument("worker", metavar="[WORKER]", required=False)
@kube_options
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Only this; may be given several times.  [default: all but role; storage without --store]",
)
@click.option("--secrets", is_flag=True, help="With the root keys of new storage, made at random.")
@click.option("--workers", metavar="N", help="Pods of workers.")
@click.option("--slots", metavar="N", help="Tasks at once of each.")
@click.option("--memory", metavar="SIZE", help="Of each worker.")
@click.option("--name", metavar="NAME", help="Name of the job.")
@click.option("--store", metavar="ADDRESS", help="A store that is used instead of MinIO.")
@click.option("--endpoint", metavar="URL", help="URL of that store, if it is not Amazon's.")
@click.option("--region", metavar="NAME", help="Its region.")
@click.option("--timeout", metavar="TIME", help="Longest time the run may take.")
@click.option("--master-image", metavar="IMAGE", help="Instead of one that is built.")
@click.option("--worker-image", metavar="IMAGE", help="Instead of one that is built.")
@click.option("--minio-image", metavar="IMAGE", help="Instead of one that is built.")
@click.option("--requirements", metavar="PATH", help="Packages of workers.")
def command(worker: str | None, parts: tuple[str, ...], secrets: bool, **flags: Any) -> None:
    """Print all objects of a run of WORKER, and of the storage, for `kubectl apply` or for review.

    Nothing is asked of a cluster. What a run's Secrets hold, `pymr start --on kubernetes` makes
    when it plans the run; applied without, its pods wait for them.
    """
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.kubernetes.objects.manifest import manifest
    from pymr.kubernetes.outside import refuse_lone_endpoint
    from pymr.kubernetes.permission import FOR_LOOKS, FOR_REMOVAL, FOR_RUN, FOR_STORAGE, role_of
    from pymr.kubernetes.preflight import namespace_of

    settings = resolved_settings(flags).settings
    refuse_lone_endpoint(settings, flags["region"])
    namespace = settings.namespace or _namespace_of_context(settings.context)
    left_out = ("role",) if settings.store is None else ("role", "storage")
    wanted = parts or tuple(part for part in PARTS if part not in left_out)
    objects: list[Any] = []
    if "namespace" in wanted and namespace != "default":  # Its labels are for everybody's pods.
        objects.append(namespace_of(namespace))
    if "role" in wanted:
        objects.append(role_of((*FOR_STORAGE, *FOR_RUN, *FOR_REMOVAL, *FOR_LOOKS)))
    if "storage" in wanted:
        objects += _storage(settings)
    if "run" in wanted:
        objects += _run(settings, worker, namespace, has_memory=flags["memory"] is not None)
    click.echo(manifest(objects, namespace=namespace, secrets=secrets), nl=False)


def _namespace_of_context(context: str | None) -> str:
    from pymr.errors import ClusterError
    from pymr.kubernetes.kubeconfig import DEFAULT_NAMESPACE, read_context

    try:
        return read_context(context).namespace
    except ClusterError:
        if context is not None:
            raise
        return DEFAULT_NAMESPACE  # There is no cluster; none is needed.


def _storage(settings: Settings) -> list[Any]:
    from pymr.kubernetes.images.context import minio_context
    from pymr.kubernetes.images.wheel import own_architecture
    from pymr.kubernetes.objects.storage import StorageObjects
    from pymr.kubernetes.storage import new_credential

    user, password = new_credential()
    image = settings.minio_image or minio_context(own_architecture()).image
    return StorageObjects(image=image, user=user, password=password).render()


def _store(settings: Settings, namespace: str) -> StoreOfRun:
    """Return the store of a run as `start` would find it, which is not asked for anything."""
    from pymr.kubernetes.launch import StoreOfRun
    from pymr.kubernetes.objects.labels import storage_endpoint
    from pymr.kubernetes.outside import outside_store
    from pymr.kubernetes.storage import REGION
    from pymr.runner.reach import access_with
    from pymr.store.access import Access

    if settings.store is None:
        return StoreOfRun(Access(region=REGION), storage_endpoint(namespace))
    here = access_with(settings)
    return StoreOfRun(here, here.endpoint, outside_store(here))


def _run(settings: Settings, worker: str | None, namespace: str, *, has_memory: bool) -> list[Any]:
    from dataclasses import replace

    from pymr.kubernetes.images.context import master_context, worker_context
    from pymr.kubernetes.images.packages import read_packages
    from pymr.kubernetes.images.wheel import own_architecture
    from pymr.kubernetes.launch import certificates
    from pymr.kubernetes.objects.run import CREDENTIALS_FILE, WORKER_NEEDS, Images, RunObjects
    from pymr.names import new_run_id

    store = _store(settings, namespace)
    keys = {CREDENTIALS_FILE: b""} if store.has_keys else {}
    kind = own_architecture()
    packages = read_packages(worker, settings.requirements)
    stem = os.path.splitext(os.path.basename(worker or "job"))[0]
    needs = WORKER_NEEDS
    if has_memory:
        needs = replace(needs, memory_bytes=settings.memory_bytes)
    return RunObjects(
        run=new_run_id(),
        job=settings.name or stem,
        namespace=namespace,
        images=Images(
            master=settings.master_image or master_context(kind).image,
            worker=settings.worker_image or worker_context(kind, packages).image,
        ),
        workers=settings.workers,
        master_files={**keys, **certificates(store.here)},
        worker_files={},
        endpoint=store.endpoint,
        region=store.here.region,
        outside_store=store.outside,
        is_requester_paying=store.here.is_requester_paying,
        slots=settings.slots or 1,
        worker_needs=needs,
        timeout_s=settings.timeout_s,
    ).render()
