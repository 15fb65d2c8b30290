"""`pymr start --on hosts`: plan here, be the master, and say how workers join."""

from __future__ import annotations

import click
import msgspec

from pymr.cli.view import View
from pymr.cluster.extra import require_extra
from pymr.runner.plan import Request
from pymr.task.manifest import Manifest


def start_on_hosts(request: Request, view: View, *, detach: bool) -> int:
    """Run a job on workers that join; return the exit code."""

    def work() -> Manifest | None:
        require_extra()
        from pymr.cluster import start
        from pymr.cluster.submit import for_hosts, submit_run
        from pymr.runner.reach import access_with

        settings = for_hosts(request.settings)
        access = access_with(settings)
        asked = msgspec.structs.replace(request, settings=settings, access=access)
        found = submit_run(asked, view)
        if not detach:
            return start.serve_here(found, settings, access, view, _say)
        pid, log = start.detach(found, settings, access)
        _say(f"{found.name} goes on in the background: process {pid}, log {log}")
        join = start.join_path(settings, found.name)
        _say(f"on the other machines:   pymr worker --join-file {join}")
        _say(f"to see it:   pymr attach {found.name}")
        return None

    return view.show(work)


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)
