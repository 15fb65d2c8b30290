"""`pymr up`: the storage of a namespace, ready for runs."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import click

from pymr.cli.kube_options import kube_options, open_namespace, say
from pymr.cli.settings import resolved_settings
from pymr.config.value import RefusedValueError, read_value, size
from pymr.errors import ConfigError

_VOLUME = size(1 << 30, 1 << 60, example="10G")


@click.command("up")
@kube_options
@click.option("--minio-image", metavar="IMAGE", help="Instead of one that is built.")
@click.option("--registry", metavar="HOST/PATH", help="Where a built image goes.")
@click.option("--load", metavar="NAME", help="How it comes to the nodes.")
@click.option("--builder", metavar="NAME", help="docker, podman or buildah.")
@click.option("--volume", metavar="SIZE", default="10G", show_default=True, help="Of a new volume.")
@click.option("--storage-class", metavar="NAME", help="Of a new volume.  [default: the cluster's]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(volume: str, storage_class: str | None, as_json: bool, **flags: Any) -> None:
    """Have MinIO in the namespace, with a volume and a bucket; upgrade one that is there.

    `pymr start --on kubernetes` does it by itself, and leaves one that is there as it is. A
    namespace that is missing is made; it lets in hardened pods alone.
    """
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.kubernetes.images.ensure import ensure_storage_image, image_request
    from pymr.kubernetes.storage import StorageWish, ensure_storage

    settings = resolved_settings(flags).settings
    try:
        volume_bytes = read_value(_VOLUME, volume, typed=False)
    except RefusedValueError as error:
        raise ConfigError(f"--volume is {error.seen}, expected {error.expected}") from error
    with open_namespace(settings) as kube:
        wish = StorageWish(
            image=partial(ensure_storage_image, kube, image_request(settings, None), say),
            volume_bytes=volume_bytes,
            storage_class=storage_class,
            is_upgrade=True,
        )
        storage = ensure_storage(kube, wish, say)
        say(f"storage is ready in namespace {kube.namespace}, volume {storage.volume or 'unknown'}")
        say(f"for other S3 clients:   pymr store --namespace {kube.namespace}")
        if as_json:
            told = {
                "context": kube.context,
                "namespace": kube.namespace,
                "endpoint": storage.endpoint,
                "volume": storage.volume,
            }
            click.echo(json.dumps(told))
