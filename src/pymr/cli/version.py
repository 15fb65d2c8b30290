"""`pymr version`."""

from __future__ import annotations

import platform

import click


def versions() -> dict[str, str]:
    """Return what a report of a bug should name."""
    import pymr

    return {
        "pymr": pymr.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def version_lines() -> list[str]:
    """Return the versions, a line each."""
    return [f"{name} {value}" for name, value in versions().items()]


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(as_json: bool) -> None:
    """Print the versions of PyMR, Python and the system."""
    if as_json:
        import json

        click.echo(json.dumps(versions()))
    else:
        click.echo("\n".join(version_lines()))
