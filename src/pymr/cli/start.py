"""`pymr start`: run a job."""

from __future__ import annotations

import signal
from typing import Any

import click

from pymr.cli.failure import internal_error
from pymr.cli.settings import request_of, resolved_settings, run_options
from pymr.errors import InterruptedRunError, PymrError
from pymr.runner.run import run_request


@click.command("start")
@run_options
def start_command(
    worker: str, inputs: tuple[str, ...], params: tuple[str, ...], **flags: Any
) -> int:
    """Run the job in WORKER and leave a committed, sorted, verifiable result."""
    resolved = resolved_settings(flags)
    for warning in resolved.warnings:
        click.echo(f"warning: {warning}", err=True)
    request = request_of(worker, inputs, params, resolved)
    view = _View(request.settings)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        manifest = run_request(request, view)
    except KeyboardInterrupt:
        return _failed(view, InterruptedRunError("interrupted", signal="SIGINT"))
    except PymrError as error:
        return _failed(view, error)
    except Exception as error:  # noqa: BLE001 - what nothing foresaw is a bug with a report
        return _failed(view, internal_error(error))
    view.succeed(manifest)
    return 0
