"""`pymr logs`: what the job's own code has printed."""

from __future__ import annotations

import json
import sys
import time

import click

from pymr.cli.kubernetes import cluster_of, gather_logs
from pymr.cli.reach import reach_options, usual_access
from pymr.core.replay import TaskName
from pymr.runner.find import FoundRun, find_run, history_of, state_of
from pymr.runner.logs import LogFile, logs_of, refuse_absent_attempt, task_of_run
from pymr.text_form import show_lines

FOLLOW_LOOK_S = 0.2  # between looks for what is new


@click.command("logs")
@click.argument("run", metavar="RUN")
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--attempt", "number", metavar="N", type=click.IntRange(min=1), help="One attempt.")
@click.option("--follow", is_flag=True, help="Go on with what is printed, until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each attempt.")
@reach_options
def command(run: str, task: str | None, number: int | None, follow: bool, as_json: bool) -> None:
    """Show what the worker's code, and all that it has started, has printed in RUN.

    By attempt; first what was printed outside of them, when the worker was imported. TASK is
    such as map-0017.
    """
    if follow and as_json:
        raise click.UsageError("--json shows what there is, --follow what comes: choose one")
    found = find_run(run, usual_access)
    if (cluster := cluster_of(found)) is not None:
        gather_logs(found, cluster)
    wanted = None if task is None else task_of_run(found, task)
    if follow:
        _follow(found, wanted, number)
        return
    logs = logs_of(found, wanted, number)
    for log in logs:
        if as_json:
            click.echo(json.dumps(_row(found, log)))
        else:
            _show(found, log, with_title=len(logs) > 1)
    if not logs:
        history = history_of(found)
        if history and number is not None:
            refuse_absent_attempt(found, history, wanted, number)
        if not as_json:
            told = _nothing(task) if history else "its logs are gone"
            click.echo(f"{found.name}: {told}", err=True)


def _follow(found: FoundRun, task: TaskName | None, number: int | None) -> None:
    """Write what is there and what is added, as it comes, while the run works."""
    objects = found.place.objects
    shown: dict[str, int] = {}
    last = ""
    is_running = True
    while is_running:
        is_running = state_of(found) == "running"  # Asked first: then all is there.
        for log in logs_of(found, task, number):
            start = shown.get(log.key, 0)
            if start == log.size:
                continue
            data = objects.get_range(log.key, start, log.size - start)
            shown[log.key] = start + len(data)
            if data and last != log.key:
                click.echo(f"── {log.title} ──")
                last = log.key
            sys.stdout.flush()
            sys.stdout.buffer.write(show_lines(data) if sys.stdout.isatty() else data)
            sys.stdout.buffer.flush()
        if is_running:
            time.sleep(FOLLOW_LOOK_S)


def _nothing(task: str | None) -> str:
    return "nothing was printed" + (f" in {task}" if task else "")


def _row(found: FoundRun, log: LogFile) -> dict[str, object]:
    text = found.place.objects.get(log.key).decode("utf-8", "replace")
    return {
        "task": None if log.attempt is None else str(log.attempt),
        "attempt": None if log.attempt is None else log.attempt.number,
        "worker": log.worker,
        "path": f"{found.output}/{log.key}",
        "text": text,
    }


def _show(found: FoundRun, log: LogFile, *, with_title: bool) -> None:
    """Write one log to stdout: as it is, or escaped where that is a terminal."""
    if with_title:
        click.echo(f"── {log.title} ──")
    data = found.place.objects.get(log.key)
    sys.stdout.flush()
    sys.stdout.buffer.write(show_lines(data) if sys.stdout.isatty() else data)
    if data and not data.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
