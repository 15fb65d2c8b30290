"""`pymr check`: a job on a sample of its input, before it runs on all of it."""

from __future__ import annotations

import time
from typing import Any

import click

from pymr.cli.as_started import as_started
from pymr.cli.findings import finding_lines, verdict
from pymr.cli.settings import request_of, resolved_settings, run_options
from pymr.doctor.finding import worst_error
from pymr.text_form import show_text


@click.command("check", options_metavar="--input PATH [OPTIONS]")
@run_options
def command(worker: str, inputs: tuple[str, ...], params: tuple[str, ...], **flags: Any) -> None:
    """Try the job in WORKER on a sample of its input, and say what a run would do.

    The mapper and the reducer are called twice, in two processes, and the combiner in three
    ways; what differs breaks a law (exit code 2). Nothing is written.
    """
    from pymr.check.trial_run import try_job

    resolved = resolved_settings(flags)
    settings = resolved.settings
    deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s
    request = as_started(request_of(worker, inputs, params, resolved), resolved, flags)
    outcome = try_job(request, deadline)
    findings = outcome.findings
    error = worst_error(findings)
    if settings.json:
        import msgspec

        code = error.exit_code if error else 0
        facts = {
            "ok": not code,
            "exit_code": code,
            "findings": findings,
            "forecast": outcome.forecast,
            "rows": outcome.rows,
            "warnings": outcome.warnings,
        }
        click.echo(msgspec.json.encode(facts).decode("utf-8", "replace"))
    else:
        lines = [*finding_lines(findings), "would emit, on the sample"]
        lines += [f"    {show_text(row)}" for row in outcome.rows] or ["    nothing"]
        click.echo("\n".join([*lines, "", verdict(findings, "the job keeps its laws")]))
        for warning in outcome.warnings:
            click.echo(f"warning: {warning}", err=True)
    if error is not None:
        raise error
