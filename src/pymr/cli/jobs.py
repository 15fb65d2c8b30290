"""`pymr jobs`: the runs that were started from this account."""

from __future__ import annotations

import json
import time
from itertools import islice
from typing import Any

import click

from pymr.observe.quantity import show_kept
from pymr.runner.find import FoundRun, known_run, state_of, unfinished
from pymr.runner.reach import usual_access
from pymr.store.registry import newest_runs


@click.command("jobs")
@click.option(
    "-n", "--number", default=20, metavar="N", type=click.IntRange(min=1), show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each run.")
def command(number: int, as_json: bool) -> None:
    """List runs, newest first; how each stands is read from its output."""
    runs = [known_run(run, usual_access) for run in islice(newest_runs(), number)]
    rows = [_row(run) for run in runs]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif not rows:
        click.echo("no runs yet; next: pymr start --input FILE worker.py", err=True)
    else:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started"]))
            kept = f"  {_kept_line(row['kept'])}" if row["kept"] else ""
            line = f"{row['name']:<{width}}  {row['state']:<11}  {started}  {row['output']}{kept}"
            click.echo(line)


def _row(run: FoundRun) -> dict[str, Any]:
    stored = unfinished(run)
    kept = None
    if stored is not None:
        maps, reduces = stored.replay.kept
        kept = {
            "map": maps,
            "map_tasks": stored.replay.map_tasks,
            "reduce": reduces,
            "reduce_tasks": stored.replay.spec.reducers,
        }
    return {
        "name": run.name,
        "state": state_of(run),
        "started": run.started,
        "output": run.output,
        "run": run.run,
        "resumable": kept is not None,
        "kept": kept,
    }


def _kept_line(kept: dict[str, int]) -> str:
    return show_kept(kept["map"], kept["map_tasks"], kept["reduce"], kept["reduce_tasks"])
