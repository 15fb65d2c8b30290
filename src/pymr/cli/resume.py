"""`pymr resume`: take a run on where it stopped."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import click

from pymr.cli.settings import resolved_settings, setting_options
from pymr.cli.view import View
from pymr.config import Settings, change
from pymr.errors import PymrError
from pymr.observe.feed import JsonLines, refused
from pymr.runner.find import find_run
from pymr.runner.resume import restart_run, resume_run
from pymr.task.manifest import Manifest
from pymr.text_form import show_path


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.option("--restart", is_flag=True, help="Keep nothing: do all tasks again.")
@partial(setting_options, is_resume=True)
def command(run: str, restart: bool, **flags: Any) -> int:
    """Go on with RUN where it stopped: killed, interrupted or failed. Finished tasks are kept.

    Settings are those it was started with, unless a flag says otherwise; what the result
    depends on cannot change. The worker file may have been fixed.
    """
    try:
        found = find_run(run)
        now = resolved_settings(flags).settings
    except PymrError as error:
        if flags["json"]:
            JsonLines(sys.stdout.buffer.write)(refused(error, time.time()))
        raise
    view = View(now)

    def changed(before: Settings) -> Settings:
        return change(before, flags, now)

    def work() -> Manifest | None:
        if restart:
            return restart_run(found, changed, view)
        resumed = resume_run(found, changed, view)
        if not resumed.was_done:
            return resumed.manifest
        if not now.quiet:
            where = show_path(found.output)
            bad = resumed.manifest.bad_records
            again = f"; pymr replay {found.name}   tries its bad records again" if bad else ""
            click.echo(f"✓ {found.name} is done: its result is in {where}{again}", err=True)
        return None

    return view.show(work)
