"""`pymr start --on hosts`: plan here, be the master, and say how workers join."""

from __future__ import annotations

import json

import click
import msgspec

from pymr.cli.view import View
from pymr.cluster.extra import require_extra
from pymr.config import Settings
from pymr.runner.find import FoundRun
from pymr.runner.plan import Request
from pymr.runner.reach import access_with
from pymr.store.access import Access
from pymr.task.manifest import Manifest
from pymr.text_form import show_path


def start_on_hosts(request: Request, *, detach: bool) -> int:
    """Run a job on workers that join; return the exit code.

    With `detach` the run is left to a master in the background, and one object is printed.
    """
    view = View(request.settings, tells_events=not detach)
    code = 0

    def work() -> Manifest | None:
        nonlocal code
        require_extra()
        from pymr.cluster.start import refuse_join_file, serve_here
        from pymr.cluster.submit import for_hosts, submit_run

        settings = for_hosts(request.settings)
        refuse_join_file(settings)
        access = access_with(settings)
        asked = msgspec.structs.replace(request, settings=settings, access=access)
        found = submit_run(asked, view)
        if not detach:
            return serve_here(found, settings, access, view, _say)
        code = _leave(found, settings, access)
        return None

    return view.show(work) or code


def _leave(found: FoundRun, settings: Settings, access: Access) -> int:
    """Leave the run to a master in the background, and say where it is; return the exit code."""
    from pymr.cluster.start import detach, join_path

    left = detach(found, settings, access)
    if left.code:
        click.echo(left.last_words.rstrip("\n"), err=True)
        return left.code
    join = join_path(settings, found.name)
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
        _say(f"on the other machines:   pymr worker --join-file {show_path(join)}")
        _say(f"to see it:   pymr status {found.name} --watch   or   pymr attach {found.name}")
        _say(f"to stop it:   pymr cancel {found.name}")
        _say(f"its log:   {show_path(left.log)}")
    return 0


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)
