"""`pymr gc`: remove what runs have left that nobody needs."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from pymr.cli.reach import usual_access
from pymr.cluster.run_files import RunFiles
from pymr.errors import PymrError
from pymr.observe.quantity import show_many, show_size
from pymr.runner.find import FoundRun, find_run, known_place, known_run, state_of
from pymr.runner.gc import Leftover, find_leftovers
from pymr.store.place import Place
from pymr.store.registry import newest_runs
from pymr.text_form import show_path, show_text


@click.command("gc")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Remove it; without this it is listed only.")
@click.option(
    "--drop-replay",
    is_flag=True,
    help="Also what only pymr replay needs: map outputs of runs that have left bad records out.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each leftover.")
def command(runs: tuple[str, ...], yes: bool, drop_replay: bool, as_json: bool) -> None:
    """Find what no manifest and no unfinished run needs in the outputs of RUNs, by default all.

    Attempts that were not committed, spills, halves of objects, copies of standard input, and
    map outputs of runs that are done. What a run keeps for `pymr resume` goes by `pymr cancel`;
    what it keeps for `pymr replay` by --drop-replay: a replay does all map tasks again then.
    """
    total: list[Leftover] = []
    named = [find_run(run, usual_access) for run in runs]
    for run in named or _keeping_secrets():  # While the output still tells how they ended.
        if (secrets := _secrets_of(run, remove=yes)) is not None:
            total.append(secrets)
            _show(run.output, secrets, is_removed=yes, as_json=as_json)
    for output, place in _outputs(named).items():
        try:
            found = find_leftovers(place(), remove=yes, drop_replay=drop_replay)
        except PymrError as error:
            if runs:
                raise
            click.echo(f"left alone: {show_text(error.message)}", err=True)
            continue
        total += found
        for leftover in found:
            _show(output, leftover, is_removed=yes, as_json=as_json)
    if not as_json:
        arguments = [*runs, *(["--drop-replay"] if drop_replay else []), "--yes"]
        _show_sum(total, is_removed=yes, removal=f"pymr gc {shlex.join(arguments)}")


def _outputs(named: list[FoundRun]) -> dict[str, Callable[[], Place]]:
    """Return each output once, and what opens it: those of runs that were named, or all."""
    if named:
        return {str(run.place): partial(_same, run.place) for run in named}
    return {run.output: partial(known_place, run, usual_access) for run in newest_runs()}


def _keeping_secrets() -> list[FoundRun]:
    kept = [known for known in newest_runs() if RunFiles(known.run).sizes()]
    return [known_run(known, usual_access) for known in kept]


def _secrets_of(found: FoundRun, *, remove: bool) -> Leftover | None:
    """Return what this account still keeps of a run on hosts that ended elsewhere."""
    files = RunFiles(found.run)
    if not (sizes := files.sizes()):
        return None
    try:
        if state_of(found) not in ("done", "cancelled", "replaced", "damaged", "gone"):
            return None
    except PymrError:
        return None  # Its output will be told of as left alone.
    if remove:
        files.forget()
    return Leftover(
        run=found.run,
        what="secrets of a run that ended",
        path=files.secrets,
        files=len(sizes),
        bytes=sum(sizes),
    )


def _same(place: Place) -> Place:
    return place


def _show(output: str, leftover: Leftover, *, is_removed: bool, as_json: bool) -> None:
    if as_json:
        import json

        row: dict[str, Any] = {
            "output": output,
            "run": leftover.run or None,
            "what": leftover.what,
            "path": show_path(leftover.path),
            "files": leftover.files,
            "bytes": leftover.bytes,
            "removed": is_removed,
        }
        click.echo(json.dumps(row))
        return
    size = show_size(leftover.bytes)
    click.echo(f"{size:>9}  {leftover.what:<27}  {show_path(leftover.path)}")


def _show_sum(total: list[Leftover], *, is_removed: bool, removal: str) -> None:
    """Say how much it is; `removal` is the command that removes the same, and no more."""
    if not total:
        click.echo("nothing to remove", err=True)
        return
    files = show_many(sum(leftover.files for leftover in total), "file")
    size = show_size(sum(leftover.bytes for leftover in total))
    if is_removed:
        click.echo(f"removed {files}, {size}", err=True)
    else:
        click.echo(f"would remove {files}, {size};   next: {show_text(removal)}", err=True)
