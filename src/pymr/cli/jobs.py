"""`pymr jobs`: the runs that were started from this account."""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from itertools import islice
from typing import Any

import click

from pymr.cli.reach import at_a_glance, usual_access
from pymr.errors import ClusterError, ConfigError, StoreError, StoreUnavailableError
from pymr.observe.quantity import show_kept
from pymr.runner.find import known_run, state_of, unfinished
from pymr.runner.reach import Reaching
from pymr.runner.stored import StoredRun
from pymr.store.access import Access, is_address
from pymr.store.registry import Cluster, RegisteredRun, newest_runs
from pymr.text_form import show_path

_Store = tuple[str | None, str | None, Cluster | None]  # endpoint, region, where it is


@click.command("jobs")
@click.option(
    "-n",
    "--number",
    default=20,
    metavar="N",
    type=click.IntRange(1, sys.maxsize),
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each run.")
def command(number: int, as_json: bool) -> None:
    """List runs, newest first; how each stands is read from its output."""
    access = cache(_access)
    silent: set[_Store] = set()
    rows = [_row(run, access, silent) for run in islice(newest_runs(), number)]
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
            output = show_path(row["output"])
            line = f"{row['name']:<{width}}  {row['state']:<11}  {started}  {output}{kept}"
            click.echo(line)


def _access(cluster: Cluster | None) -> Access:
    return at_a_glance(usual_access(cluster))


def _row(known: RegisteredRun, access: Reaching, silent: set[_Store]) -> dict[str, Any]:
    """Return how a run stands; `silent` are stores that did not answer, which wait for once."""
    store = known.endpoint, known.region, known.cluster
    state, stored = "unreachable", None
    try:
        if store not in silent or not is_address(known.output):
            state, stored = _standing(known, access)
    except StoreUnavailableError:
        silent.add(store)
    except (ClusterError, ConfigError, StoreError):
        pass  # The keys may be another's.
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
        "name": known.name,
        "state": state,
        "started": known.started,
        "output": known.output,
        "run": known.run,
        "resumable": kept is not None,
        "kept": kept,
    }


def _standing(known: RegisteredRun, access: Reaching) -> tuple[str, StoredRun | None]:
    run = known_run(known, access)
    return state_of(run), unfinished(run)


def _kept_line(kept: dict[str, int]) -> str:
    return show_kept(kept["map"], kept["map_tasks"], kept["reduce"], kept["reduce_tasks"])
