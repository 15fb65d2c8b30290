"""`pymr start`: run a job."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from pymr.cli.settings import (
    detach_error,
    refuse_elsewhere,
    request_of,
    resolved_settings,
    run_options,
)
from pymr.cli.view import View
from pymr.errors import PymrError
from pymr.observe.feed import JsonLines, refused
from pymr.runner.run import run_request


@click.command("start", options_metavar="--input PATH [OPTIONS]")
@click.option(
    "--detach", is_flag=True, help="With --on hosts or kubernetes: go on without this command."
)
@run_options
def start_command(
    worker: str, inputs: tuple[str, ...], params: tuple[str, ...], detach: bool, **flags: Any
) -> int:
    """Run the job in WORKER and leave a committed, sorted, verifiable result."""
    try:
        resolved = resolved_settings(flags)
        request = request_of(worker, inputs, params, resolved)
        if detach and resolved.settings.on == "local":
            raise detach_error()
        refuse_elsewhere(flags, resolved.settings.on)
    except PymrError as error:
        if flags["json"]:
            JsonLines(sys.stdout.buffer.write)(refused(error, time.time()))
        raise
    if resolved.settings.on == "hosts":
        from pymr.cli.hosts import start_on_hosts

        view = View(resolved.settings, tells_events=not detach)
        return start_on_hosts(request, view, detach=detach)
    if resolved.settings.on == "kubernetes":
        from pymr.cli.kubernetes import start_on_kubernetes

        view = View(resolved.settings, tells_events=not detach)
        return start_on_kubernetes(request, resolved, view, detach=detach)
    view = View(resolved.settings)
    return view.show(lambda: run_request(request, view))
