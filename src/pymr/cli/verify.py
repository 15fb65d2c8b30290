"""`pymr verify`: every byte of a result against its manifest."""

from __future__ import annotations

import click

from pymr.cli.reach import reach_options, usual_access
from pymr.errors import IntegrityError
from pymr.names import STATE, SUCCESS
from pymr.observe.quantity import show_many, show_size
from pymr.runner.find import find_run
from pymr.task.commit import Difference, verify_output
from pymr.task.manifest import read_manifest

DIFFERENCES_SHOWN = 10


@click.command("verify")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(run: str, as_json: bool) -> None:
    """Recompute every digest of RUN and compare it with the manifest.

    Exit code 7 if anything differs; what differs is listed.
    """
    found = find_run(run, usual_access)
    store = found.place.objects
    differences = verify_output(store)
    texts = [str(difference) for difference in differences]
    if as_json:
        import json

        click.echo(json.dumps({"run": found.run, "ok": not texts, "differences": texts}))
    if texts:
        for text in texts[:DIFFERENCES_SHOWN]:
            click.echo(f"  {text}", err=True)
        raise IntegrityError(
            f"{found.name}: {show_many(len(texts), 'difference')} from the manifest",
            hint=_hint(found.name, differences),
        )
    if not as_json:
        manifest = read_manifest(store)
        click.echo(
            f"✓ {found.name}: {show_many(len(manifest.parts), 'part')},"
            f" {show_many(manifest.records, 'row')},"
            f" {show_size(manifest.bytes)}: every digest is the manifest's"
        )


def _hint(name: str, differences: list[Difference]) -> str | None:
    """Return what helps a run that was stopped between its manifest and its `_SUCCESS`."""
    keys = [difference.key for difference in differences]
    if SUCCESS in keys and not any(key.startswith(f"{STATE}/") for key in keys):
        return f"`pymr resume {name}` shows the parts that were committed"
    return None
