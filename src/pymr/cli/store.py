"""`pymr store`: how any S3 client reaches the storage of a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from pymr.cli.kube_options import kube_options, open_namespace
from pymr.cli.settings import resolved_settings

PORT = 39000  # of this machine, in the line that is printed


@click.command("store")
@kube_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool, **flags: Any) -> None:
    """Print what another S3 client needs: a port-forward to start, and keys. They are secret.

    The keys are those of the storage's owner, made at random by `pymr up`.
    """
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.config.setting import DEFAULT_STORE
    from pymr.kubernetes.reach import known_storage
    from pymr.kubernetes.storage import REGION, target_of

    with open_namespace(resolved_settings(flags).settings) as kube:
        storage = known_storage(kube)
        forward = " ".join(target_of(kube).command(PORT))
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": storage.user,
        "AWS_SECRET_ACCESS_KEY": storage.password,
    }
    if as_json:
        inside = {"endpoint_inside": storage.endpoint, "volume": storage.volume}
        click.echo(json.dumps({"forward": forward, "store": DEFAULT_STORE, **told, **inside}))
        return
    click.echo(f"{forward} &")
    for name, value in told.items():
        click.echo(f"export {name}={value}")
    click.echo(f"# then, for instance:   aws s3 ls {DEFAULT_STORE}/")
