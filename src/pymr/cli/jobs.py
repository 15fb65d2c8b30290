"""`pymr jobs`: the runs that were started from this account."""

from __future__ import annotations

import json
import time
from itertools import islice
from typing import Any

import click

from pymr.runner.find import FoundRun, state_of
from pymr.store.registry import newest_runs


@click.command("jobs")
@click.option(
    "-n", "--number", default=20, metavar="N", type=click.IntRange(min=1), show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each run.")
def command(number: int, as_json: bool) -> None:
    """List runs, newest first; how each stands is read from its output."""
    runs = [
        FoundRun(run.run, run.name, run.output, run.started)
        for run in islice(newest_runs(), number)
    ]
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
            click.echo(f"{row['name']:<{width}}  {row['state']:<11}  {started}  {row['output']}")


def _row(run: FoundRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "state": state_of(run),
        "started": run.started,
        "output": run.output,
        "run": run.run,
    }
