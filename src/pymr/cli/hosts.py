"""Runs on workers that join: begun, or taken on again; and what a user is told of how to join."""

from __future__ import annotations

import json

import click
import msgspec

from pymr.cli.going_on import GoingOn
from pymr.cli.view import View
from pymr.cluster.extra import require_extra
from pymr.config import Settings
from pymr.errors import PymrError
from pymr.runner.find import FoundRun
from pymr.runner.plan import Request
from pymr.runner.reach import access_with
from pymr.runner.stored import read_plan
from pymr.store.access import Access
from pymr.task.manifest import Manifest
from pymr.text_form import show_path


def start_on_hosts(request: Request, view: View, *, detach: bool) -> int:
    """Run a job on workers that join; return the exit code."""
    return view.show(lambda: _start(request, view, detach=detach, over=None))


def is_on_hosts(found: FoundRun) -> bool:
    """Say whether a run is one of workers that join; if nobody knows, it is none."""
    if found.place.folder is not None:
        return False
    try:
        return read_plan(found.place, found.run).settings.on == "hosts"
    except PymrError:  # Whoever wants more of it is told.
        return False


def restart_on_hosts(going: GoingOn, *, detach: bool) -> Manifest | None:
    """Do all of a run again, under another id."""
    from pymr.runner.resume import asked_again

    again = asked_again(going.found, going.changed, access_with)
    return _start(again, going.view, detach=detach, over=going.found.run)


def resume_on_hosts(
    going: GoingOn, *, detach: bool = False, is_replay: bool = False
) -> tuple[Manifest | None, bool]:
    """Go on with a run, or try its bad records again; return its result, and if it was done.

    The result is None with `detach`.
    """
    require_extra()
    from pymr.cluster import start
    from pymr.cluster.resume import make_ready

    found, view = going.found, going.view
    ready = make_ready(found, going.changed, access_with, is_replay=is_replay)
    if ready.result is not None:
        return ready.result, True
    if detach:
        _detach(found, ready.settings, ready.access)
        return None, False
    manifest = start.serve_here(
        found,
        ready.settings,
        ready.access,
        view,
        _say,
        is_replay=is_replay,
        stored=ready.stored,
    )
    return manifest, False


def _start(request: Request, view: View, *, detach: bool, over: str | None) -> Manifest | None:
    require_extra()
    from pymr.cluster import start
    from pymr.cluster.ending import ending_told
    from pymr.cluster.submit import for_hosts, make_default_store, submit_run
    from pymr.config.setting import DEFAULT_STORE

    settings = for_hosts(request.settings)
    if over is None:
        start.refuse_join_file(settings)
    access = access_with(settings)
    if request.settings.store is None and make_default_store(settings, access):
        _say(f"{DEFAULT_STORE} was not there: it is made")
    asked = msgspec.structs.replace(request, settings=settings, access=access)
    found = submit_run(asked, view, over=over)
    if not detach:
        with ending_told(found, access):
            return start.serve_here(found, settings, access, view, _say)
    _detach(found, settings, access)
    return None


def _detach(found: FoundRun, settings: Settings, access: Access) -> None:
    """Leave the run to a master in the background, and say where that is."""
    from pymr.cluster import start

    left = start.detach(found, settings, access)
    join = start.join_path(settings, found.name)
    if settings.json:
        told = {
            "run": found.run,
            "name": found.name,
            "output": found.output,
            "pid": left.pid,
            "addresses": left.addresses,
            "join_file": join,
            "log": left.log,
        }
        click.echo(json.dumps(told))
    if not settings.quiet:
        _say(f"{found.name} goes on in the background: process {left.pid}")
        for line in start.join_lines(join, left.addresses):
            _say(line)
        _say(f"to see it:   pymr status {found.name} --watch   or   pymr attach {found.name}")
        _say(f"to stop it:   pymr cancel {found.name}")
        _say(f"its log:   {show_path(left.log)}")


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)
