"""`pymr attach`: follow a run that was started elsewhere on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice

import click

from pymr import errors
from pymr.cli.failure import fail
from pymr.cli.kubernetes import cluster_of, entries_in_pods
from pymr.cli.reach import reach_options, usual_access
from pymr.cluster.ending import is_moved
from pymr.core.events import Entry, RunFinished
from pymr.errors import IncompleteError, PymrError
from pymr.observe.feed import JsonLines, read_entries
from pymr.observe.progress import ProgressView
from pymr.runner.find import (
    FoundRun,
    committed_manifest,
    find_run,
    no_history,
    owner_of,
    state_of,
)

EXIT_DETACHED = 130
LOOK_S = 0.2  # between looks for what is new
ROWS_SHOWN = 3


@click.command("attach")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="All events, one JSON object a line.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@reach_options
def command(run: str, as_json: bool, quiet: bool) -> int:
    """Follow RUN to its end, and exit with its exit code. Ctrl-C leaves it running."""
    found = find_run(run, usual_access)
    view = ProgressView(sys.stderr, is_terminal=sys.stderr.isatty(), quiet=quiet)
    view.show_plan(found.output)
    try:
        with ExitStack() as stack:
            told = None
            if (cluster := cluster_of(found)) is not None:
                view.snapshot.on = "kubernetes"
                told = stack.enter_context(entries_in_pods(found, cluster, view.tick))
            is_in_pods = told is not None
            if told is None:
                looked = found.place.follow_history(found.run, _looking(found, view))
                told = read_entries(looked)
            error = _follow(found, view, told, is_in_pods=is_in_pods, as_json=as_json)
    except KeyboardInterrupt:
        view.close()
        click.echo(f"\n{found.name} goes on; to see it again:   pymr attach {run}", err=True)
        return EXIT_DETACHED
    view.close()
    if error is not None:
        if state_of(found) == "cancelled":  # Maybe after it had ended so: nothing of it is kept.
            error.fields["is_cancelled"] = True
            error.hint = f"pymr resume {found.name} --restart   does all tasks again"
        return fail(error, name=found.name, snapshot=view.snapshot)
    if not quiet:
        _show_success(found, view)
    return 0


def _looking(found: FoundRun, view: ProgressView) -> Callable[[], bool]:
    """Return what waits for more to come, and says whether it may: while the run is at work."""
    is_first = True

    def wait() -> bool:
        nonlocal is_first
        if not is_first:
            time.sleep(LOOK_S)
        is_first = False
        view.tick(time.monotonic())
        return owner_of(found) is not None

    return wait


def _follow(
    found: FoundRun,
    view: ProgressView,
    told: Iterator[Entry],
    *,
    is_in_pods: bool,
    as_json: bool,
) -> PymrError | None:
    """Show what happens until the run has ended, and return the error that it ended with.

    Where another master comes by itself, the end of one is none of the run.
    """
    write = JsonLines(sys.stdout.buffer.write) if as_json else None
    last = None
    for entry in told:
        if not (is_in_pods and is_moved(entry)):
            view.entry(entry)
        if write is not None:
            write(entry)
            sys.stdout.buffer.flush()
        last = entry.event
    if last is None:
        raise no_history(found)
    if isinstance(last, RunFinished):
        return None if last.error is None else errors.from_dict(last.error)
    return IncompleteError("it ended without a word: killed, or the machine went down")


def _show_success(found: FoundRun, view: ProgressView) -> None:
    from pymr.observe.summary import render_success
    from pymr.runner.result import Result

    manifest = committed_manifest(found.place)
    if manifest is None or manifest.run != found.run:
        is_damaged = state_of(found) == "damaged"
        what = f"is damaged; next: pymr verify {found.name}" if is_damaged else "was replaced since"
        click.echo(f"✓ {found.name} was done; its result {what}", err=True)
        return
    first_rows: list[bytes] = []
    with suppress(PymrError):
        first_rows = list(islice(Result(found.place).first_part_rows(), ROWS_SHOWN))
    click.echo(render_success(manifest, view.snapshot, found.output, first_rows), err=True)
