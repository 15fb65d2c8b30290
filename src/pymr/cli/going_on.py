"""What the commands share that take a known run on: which one, with which settings, shown how."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any, NamedTuple

import click

from pymr.cli.reach import access_to_run
from pymr.cli.settings import refuse_elsewhere, resolved_settings
from pymr.cli.view import View
from pymr.config import Settings, change
from pymr.errors import PymrError
from pymr.observe.feed import JsonLines, refused
from pymr.runner.find import FoundRun, find_run
from pymr.task.manifest import Manifest
from pymr.text_form import show_path, show_text


class GoingOn(NamedTuple):
    """A run that a command takes on; `now` are the settings of this process."""

    found: FoundRun
    now: Settings
    view: View
    flags: dict[str, Any]

    def changed(self, before: Settings) -> Settings:
        """Return the settings that it goes on with, of those it had `before`.

        Raises:
            ConfigError: a flag would change what is frozen, or is for runs elsewhere.
        """
        refuse_elsewhere(self.flags, before.on, is_resume=True)
        return change(before, self.flags, self.now)


def going_on(run: str, flags: dict[str, Any]) -> GoingOn:
    """Find the run; what is wrong is told under `--json`, too.

    Raises:
        PymrError: no such run, or a flag that cannot be.
    """
    try:
        now = resolved_settings(flags).settings
        found = find_run(run, partial(access_to_run, now))
    except PymrError as error:
        if flags["json"]:
            JsonLines(sys.stdout.buffer.write)(refused(error, time.time()))
        raise
    return GoingOn(found, now, View(now), flags)


def tell_nothing_to_replay(found: FoundRun, *, is_quiet: bool) -> None:
    """Say that a run has no bad records, unless nothing is to be said."""
    if not is_quiet:
        name = show_text(found.name)
        click.echo(f"✓ {name} has no bad records: there is nothing to try again", err=True)


def tell_done(found: FoundRun, manifest: Manifest, *, is_quiet: bool) -> None:
    """Say that there is nothing left to do of a run, unless nothing is to be said."""
    if is_quiet:
        return
    bad = manifest.bad_records
    again = f"; pymr replay {found.name}   tries its bad records again" if bad else ""
    told = f"✓ {found.name} is done: its result is in {show_path(found.output)}{again}"
    click.echo(told, err=True)
