"""`pymr debug`: the record that failed, alone, in this process."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NoReturn, TextIO

import click

from pymr import errors
from pymr.cli.kubernetes import cluster_of
from pymr.cli.reach import access_to_run, reach_options, usual_access
from pymr.errors import ConfigError, PymrError, UserCodeError
from pymr.observe.quantity import show_many
from pymr.runner.debug import Debugged, Target, open_debug
from pymr.runner.find import find_run, state_of
from pymr.runner.reach import access_to
from pymr.task.blame import user_error
from pymr.task.debugger import debug_after, debug_from, raised_by_user, users_traceback
from pymr.task.trace import traced
from pymr.text_form import show_text

PAIRS_SHOWN = 20


@click.command("debug")
@click.argument("run", metavar="RUN")
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--pdb", "with_pdb", is_flag=True, help="The debugger, where it was raised.")
@click.option("--trace", "with_trace", is_flag=True, help="Each line, and what it changed.")
@click.option("--whole", is_flag=True, help="All of the task, not one record of it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(
    run: str, task: str | None, with_pdb: bool, with_trace: bool, whole: bool, as_json: bool
) -> None:
    """Call the mapper or reducer with the record or key of RUN that failed, here and now.

    TASK is such as map-0017; without it, the first one that failed. The worker file is loaded
    as it is now, so a fix shows: exit code 0. Nothing of the run is changed.
    """
    if with_pdb and (with_trace or as_json):
        raise ConfigError("--pdb goes neither with --trace nor with --json")
    _take_hashes_of_tasks()
    out = _stdout_alone() if as_json else sys.stdout
    faulthandler.enable()  # What ends a task's process ends this one, and says where.
    _raise_exits()
    found = find_run(run, usual_access)
    cluster = cluster_of(found)
    way = access_to if cluster is None else lambda _, settings: access_to_run(settings, cluster)
    debugged = open_debug(found, task, way)
    pairs = _Pairs()
    with tempfile.TemporaryDirectory(prefix="pymr-debug-") as tmp:
        target = debugged.target(pairs.take, tmp, whole=whole)
        if not as_json:
            click.echo("\n".join(_head(debugged, target)))
        error = _make(debugged, target, with_pdb=with_pdb, with_trace=with_trace)
    shown = None if error is None else _as_user_error(error, debugged, target)
    if as_json:
        facts = {"run": found.run, "task": target.task, "what": target.what, **pairs.facts()}
        failed = None if shown is None else errors.to_dict(shown)
        with out:
            click.echo(json.dumps({**facts, "error": failed}, default=repr), file=out)
    else:
        click.echo("\n".join(pairs.lines()))
        _show_end(debugged, target, error, with_pdb=with_pdb)
    if shown is not None:
        raise shown


def _stdout_alone() -> TextIO:
    """Return stdout, which nobody else has from now on: what user code prints goes to stderr."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return own


class _Pairs:
    """What was emitted: the first pairs, and how many."""

    def __init__(self) -> None:
        self._first: list[tuple[str, str]] = []
        self._count = 0

    def take(self, key: str, value: str) -> None:
        self._count += 1
        if self._count <= PAIRS_SHOWN:
            self._first.append((key, value))

    def facts(self) -> dict[str, object]:
        return {
            "emitted": self._count,
            "pairs": [{"key": key, "value": value} for key, value in self._first],
        }

    def lines(self) -> Iterator[str]:
        yield f"emitted {show_many(self._count, 'pair')}"
        for key, value in self._first:
            yield f"    {show_text(key)}  {show_text(value)}"
        if self._count > len(self._first):
            yield f"    … {show_many(self._count - len(self._first), 'pair')} more"


def _head(debugged: Debugged, target: Target) -> Iterator[str]:
    failure = debugged.failure
    if failure is None:
        told = "did not fail"
    else:
        told = f"attempt {failure.attempt.number} failed: {failure.error.message}"
    yield f"task    {target.task} of {debugged.found.name}: {show_text(told)}"
    yield f"feed    {target.what}"
    if debugged.is_changed:
        yield f"code    {show_text(debugged.stored.plan.worker)} has changed since"


def _make(
    debugged: Debugged, target: Target, *, with_pdb: bool, with_trace: bool
) -> BaseException | None:
    """Make the call and return what user code raised."""
    from bdb import BdbQuit

    try:
        with traced(_trace) if with_trace else nullcontext():
            if with_pdb and debugged.failure is None:
                debug_from(target.function, target.run)
            else:
                target.run()
    except (KeyboardInterrupt, BdbQuit):
        raise click.Abort from None
    except PymrError as error:
        if not isinstance(error, UserCodeError):
            raise
        return error
    except BaseException as error:  # noqa: BLE001 - user code may raise anything
        return error
    return None


def _trace(line: str) -> None:
    click.echo(show_text(line), err=True)


def _show_end(
    debugged: Debugged, target: Target, error: BaseException | None, *, with_pdb: bool
) -> None:
    if error is None:
        click.echo("✓ nothing was raised" + _what_next(debugged, target))
        return
    raised = raised_by_user(error)
    lines = traceback.format_exception(type(raised), raised, users_traceback(raised))
    for line in "".join(lines).splitlines():
        click.echo(show_text(line), err=True)
    if with_pdb:
        debug_after(raised)


def _what_next(debugged: Debugged, target: Target) -> str:
    if debugged.failure is None:
        return ""
    if debugged.is_changed:
        return f"; next: {_go_on(debugged)}"
    if target.where:
        return ", though it failed in the run: what came before it may matter; try --whole"
    return ", though it failed in the run"


def _as_user_error(error: BaseException, debugged: Debugged, target: Target) -> PymrError:
    """Return what to end with: the traceback has been shown, so without its frames."""
    name = "reducer" if target.task.startswith("reduce") else "mapper"
    known = (
        error
        if isinstance(error, UserCodeError)
        else user_error(error, name, target.function, **target.where)
    )
    fields = dict(known.fields)
    frames = fields.pop("frames", None)
    hint = known.hint
    if hint is None and frames:
        place = f"{os.path.basename(frames[-1]['file'])}:{frames[-1]['line']}"
        hint = f"fix {place}"
        if debugged.failure is not None:
            hint += f", then   {_go_on(debugged)}"
    return UserCodeError(known.message, hint=hint, **fields)


def _go_on(debugged: Debugged) -> str:
    """Return the command that goes on; functions of a script or notebook are handed in anew."""
    is_by_value = debugged.stored.plan.code.path is None
    name = debugged.found.name
    verb = "replay" if state_of(debugged.found) == "done" else "resume"
    return f'pymr.{verb}("{name}", job=job)' if is_by_value else f"pymr {verb} {name}"


def _raise_exits() -> None:
    """Let user code that ends this process raise instead, so that its line shows."""
    leave, pid = os._exit, os.getpid()

    def exit_or_raise(status: int) -> NoReturn:
        if os.getpid() != pid:  # A child that it has forked may do so.
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = exit_or_raise


def _take_hashes_of_tasks() -> None:
    """Begin again with the hashes of a task process: a set has its order from them."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        environ = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606
