"""`pymr config`: each setting, its value here, and where that comes from."""

from __future__ import annotations

import os

import click

from pymr.config import SETTINGS, Resolved, resolve


@click.command("config")
@click.option("--profile", metavar="NAME", help="Table [profile.NAME] of the TOML files to use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(profile: str | None, as_json: bool) -> None:
    """Show each setting, its value, and where it comes from.

    A flag goes before a PYMR_ variable, then ./pymr.toml, then ~/.config/pymr/config.toml,
    then the default. Sizes are bytes, times are seconds.
    """
    resolved = resolve({"profile": profile}, os.environ, os.getcwd(), os.path.expanduser("~"))
    click.echo(_as_json(resolved) if as_json else _as_table(resolved))
    for warning in resolved.warnings:
        click.echo(f"warning: {warning}", err=True)


def _as_table(resolved: Resolved) -> str:
    rows = [("setting", "value", "from")]
    rows += [
        (
            setting.name,
            setting.show(getattr(resolved.settings, setting.field)),
            resolved.origin(setting.name),
        )
        for setting in SETTINGS
    ]
    name_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(
        f"{name:<{name_width}}  {value:<{value_width}}  {origin}" for name, value, origin in rows
    )


def _as_json(resolved: Resolved) -> str:
    import msgspec

    return msgspec.json.encode(
        {
            setting.name: {
                "value": getattr(resolved.settings, setting.field),
                "unit": setting.unit,
                "from": resolved.origin(setting.name),
            }
            for setting in SETTINGS
        }
    ).decode()
