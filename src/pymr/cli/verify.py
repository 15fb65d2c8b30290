"""`pymr verify`: every byte of a result against its manifest."""

from __future__ import annotations

import click

from pymr.errors import IntegrityError
from pymr.observe.quantity import show_bytes, show_count
from pymr.runner.find import find_run
from pymr.store.local import LocalStore
from pymr.task.commit import verify_output
from pymr.task.manifest import read_manifest

DIFFERENCES_SHOWN = 10


@click.command("verify")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(run: str, as_json: bool) -> None:
    """Recompute every digest of RUN and compare it with the manifest.

    Exit code 7 if anything differs; what differs is listed.
    """
    found = find_run(run)
    store = LocalStore(found.output)
    differences = verify_output(store)
    texts = [str(difference) for difference in differences]
    if as_json:
        import json

        click.echo(json.dumps({"run": found.run, "ok": not texts, "differences": texts}))
    if texts:
        for text in texts[:DIFFERENCES_SHOWN]:
            click.echo(f"  {text}", err=True)
        raise IntegrityError(f"{found.name}: {len(texts)} differences from the manifest")
    if not as_json:
        manifest = read_manifest(store)
        click.echo(
            f"✓ {found.name}: {len(manifest.parts)} parts, {show_count(manifest.records)} rows,"
            f" {show_bytes(manifest.bytes)}: every digest is the manifest's"
        )
