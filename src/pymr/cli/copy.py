"""`pymr cp`: the parts of a result, checked on the way, in a folder of the user's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from pymr.cli.reach import reach_options
from pymr.cli.result import find_result
from pymr.errors import ConfigError, OutputError, ResourceError
from pymr.observe.quantity import show_many
from pymr.runner.result import Result
from pymr.store.access import is_address
from pymr.store.disk import FULL
from pymr.task.manifest import ManifestPart


@click.command("cp")
@click.argument("run", metavar="RUN")
@click.argument("target", metavar="FOLDER")
@click.option("--overwrite", is_flag=True, help="Replace parts that are there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(run: str, target: str, overwrite: bool, as_json: bool) -> None:
    """Copy the parts of RUN into FOLDER; each is checked against the manifest."""
    if is_address(target):
        raise ConfigError(
            f"`{target}` is an address, expected a folder of this machine",
            hint="pymr cp RUN FOLDER   and then what copies into that store: aws s3 cp, mc, rclone",
        )
    if not target:
        raise ConfigError("FOLDER is empty, expected the name of a folder", hint="pymr cp RUN .")
    _, result = find_result(run)
    parts = result.manifest.parts
    folder = Path(target)
    _prepare(folder, parts, overwrite=overwrite)
    for part in parts:
        _copy(result, part, folder / part.name)
    if as_json:
        import json

        click.echo(json.dumps({"folder": str(folder), "parts": [part.name for part in parts]}))
    else:
        click.echo(f"copied {show_many(len(parts), 'part')} to {target}", err=True)


def _prepare(folder: Path, parts: tuple[ManifestPart, ...], *, overwrite: bool) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise OutputError(f"`{folder}` is no folder", hint="name another one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder `{folder}`: {error.strerror}") from error
    present = [part.name for part in parts if (folder / part.name).exists()]
    if present and not overwrite:
        raise OutputError(
            f"`{folder}` already has {', '.join(present[:5])}; nothing was copied",
            hint="add --overwrite, or name another folder",
        )


def _copy(result: Result, part: ManifestPart, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.writelines(result.chunks(part))  # which are checked at their end
        temporary.replace(target)
    except OSError as error:
        said = f"cannot write `{target}`: {error.strerror}"
        if error.errno in FULL:
            raise ResourceError(said, hint="free space there, or name another folder") from error
        raise OutputError(said) from error
    finally:
        with suppress(OSError):  # A file system that can only be read has none.
            temporary.unlink()
