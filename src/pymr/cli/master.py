"""`pymr master`: take on a run that was planned for workers on other machines."""

from __future__ import annotations

from typing import Any

import click

from pymr.cli.going_on import tell_done
from pymr.cli.settings import resolved_settings
from pymr.cli.view import View


@click.command("master")
@click.argument("spec", metavar="SPEC")
@click.option("--json", is_flag=True, help="All events, one JSON object a line.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--verbose", is_flag=True, help="Print more.")
def command(spec: str, **flags: Any) -> int:
    """Be the master of the run that the file SPEC names, from its store alone.

    A master that was there before is deposed.
    """
    from pymr.cluster.extra import require_extra

    require_extra()
    from pymr.cluster.master_spec import read_spec
    from pymr.cluster.serve import settings_for_master
    from pymr.cluster.start import serve_spec
    from pymr.runner.find import find_run
    from pymr.runner.reach import access_with
    from pymr.runner.stored import read_plan
    from pymr.task.manifest import Manifest

    told = read_spec(spec)
    given = resolved_settings({**flags, "endpoint": told.endpoint, "region": told.region}).settings
    access = access_with(given)
    found = find_run(told.output, lambda _: access)
    of_run = told.settings or read_plan(found.place, told.run).settings
    settings = settings_for_master(of_run, given)
    view = View(settings)

    def say(line: str) -> None:
        click.echo(f"  {line}", err=True)

    def work() -> Manifest | None:
        made = serve_spec(told, found, settings, access, view, say, is_replay=told.is_replay)
        if view.has_plan:
            return made
        tell_done(found, made, is_quiet=settings.quiet)  # A master before this one has done it.
        return None

    return view.show(work)
