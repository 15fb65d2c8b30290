"""`pymr logs`: what the job's own code has printed."""

from __future__ import annotations

import json
import sys

import click

from pymr.runner.find import find_run, history_of
from pymr.runner.logs import LogFile, logs_of
from pymr.text_form import show_lines

READ_BYTES = 1 << 20  # of a file at once; it has not much more


@click.command("logs")
@click.argument("run", metavar="RUN")
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--attempt", "number", metavar="N", type=click.IntRange(min=1), help="One attempt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each attempt.")
def command(run: str, task: str | None, number: int | None, as_json: bool) -> None:
    """Show what the worker's code, and all that it has started, has printed in RUN.

    By attempt; first what was printed outside of them, when the worker was imported. TASK is
    such as map-0017.
    """
    found = find_run(run)
    logs = logs_of(found, task, number)
    for log in logs:
        if as_json:
            click.echo(json.dumps(_row(log)))
        else:
            _show(log, with_title=len(logs) > 1)
    if not logs and not as_json:
        is_gone = not history_of(found)
        click.echo(f"{found.name}: {'its logs are gone' if is_gone else _nothing(task)}", err=True)


def _nothing(task: str | None) -> str:
    return "nothing was printed" + (f" in {task}" if task else "")


def _row(log: LogFile) -> dict[str, object]:
    with open(log.path, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    return {
        "task": None if log.attempt is None else str(log.attempt),
        "attempt": None if log.attempt is None else log.attempt.number,
        "worker": log.worker,
        "path": log.path,
        "text": text,
    }


def _show(log: LogFile, *, with_title: bool) -> None:
    """Write one file to stdout: as it is, or escaped where that is a terminal."""
    if with_title:
        click.echo(f"── {log.title} ──")
    is_terminal = sys.stdout.isatty()
    last = b"\n"
    sys.stdout.flush()
    with open(log.path, "rb") as file:
        while data := file.readline() if is_terminal else file.read(READ_BYTES):
            sys.stdout.buffer.write(show_lines(data) if is_terminal else data)
            last = data[-1:]
    if last != b"\n":
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
