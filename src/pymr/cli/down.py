"""`pymr down`: take down what is ours in a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from pymr.cli.kube_options import kube_options, open_namespace, say
from pymr.cli.settings import resolved_settings


@click.command("down")
@kube_options
@click.option("--purge", is_flag=True, help="The volume with all data, and its keys, too.")
@click.option("--force", is_flag=True, help="Even while runs go on: they are ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(purge: bool, force: bool, as_json: bool, **flags: Any) -> None:
    """Remove MinIO and the pods of runs from the namespace; data stays for the next `pymr up`.

    Runs that were ended by --force go on with `pymr resume`, unless their data is gone. The
    namespace itself stays.
    """
    from pymr.kubernetes.extra import require_extra

    require_extra()
    from pymr.kubernetes.removal import take_down

    with open_namespace(resolved_settings(flags).settings) as kube:
        removed = take_down(kube, purge=purge, force=force)
        for what in removed:
            say(f"removed {what}")
        if not removed:
            say(f"nothing of PyMR in namespace {kube.namespace}")
        elif not purge:
            say("data stays in the volume minio-pvc;   pymr down --purge   removes it")
        if as_json:
            told = {"context": kube.context, "namespace": kube.namespace, "removed": removed}
            click.echo(json.dumps(told))
