"""`pymr verify`: every byte of a result against its manifest."""

from __future__ import annotations

import click

from pymr.cli.reach import reach_options
from pymr.cli.result import find_result
from pymr.errors import IntegrityError
from pymr.names import MANIFEST, STATE, SUCCESS
from pymr.observe.quantity import show_many, show_size
from pymr.task.commit import Difference, verify_output

DIFFERENCES_SHOWN = 10


@click.command("verify")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(run: str, as_json: bool) -> None:
    """Recompute every digest of RUN and compare it with the manifest.

    Exit code 7 if anything differs; what differs is listed.
    """
    found, result = find_result(run)
    differences = verify_output(found.place.objects)
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
        manifest = result.manifest
        click.echo(
            f"✓ {found.name}: {show_many(len(manifest.parts), 'part')},"
            f" {show_many(manifest.records, 'row')},"
            f" {show_size(manifest.bytes)}: every digest is the manifest's"
        )


def _hint(name: str, differences: list[Difference]) -> str:
    """Return what helps, by whether what was committed is whole, and was ever shown."""
    keys = [difference.key for difference in differences]
    if MANIFEST in keys:  # Nobody can say what it is that would be replaced.
        return "pymr start   with another --output"
    if any(key.startswith(f"{STATE}/") for key in keys):
        return "pymr start --overwrite   with its arguments does it anew"
    if SUCCESS in keys and all(difference.is_missing for difference in differences):
        return f"pymr resume {name}   shows the parts that were committed"
    return f"pymr cp {name} FOLDER   copies the parts as they were committed"
