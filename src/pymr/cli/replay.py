"""`pymr replay`: try records again that were left out."""

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
from pymr.runner.replay import replay_run
from pymr.task.manifest import Manifest
from pymr.text_form import show_text


@click.command("replay")
@click.argument("run", metavar="RUN")
@partial(setting_options, is_resume=True)
def command(run: str, **flags: Any) -> int:
    """Try the bad records of RUN again after a fix, and merge what comes of them.

    The result is the same bytes as if they had never failed: map tasks that left records out and
    all reduce tasks are done again. Until that is done the old result stands. Records that are
    still bad stay left out, as far as the settings of RUN or flags given now allow it.
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
        replayed = replay_run(found, changed, view)
        if not replayed.was_done:
            return replayed.manifest
        if not now.quiet:
            name = show_text(found.name)
            click.echo(f"✓ {name} has no bad records: there is nothing to try again", err=True)
        return None

    return view.show(work)
