"""`pymr doctor`: what stands in the way of a run here, each with its remedy."""

from __future__ import annotations

import os

import click

from pymr.cli.findings import finding_lines, verdict
from pymr.doctor.examination import THIS_MACHINE, examine, subject_of
from pymr.doctor.finding import worst_error


@click.command("doctor")
@click.option("--output", metavar="PATH", help="The output folder of the run to come.")
@click.option("--tmp-dir", metavar="PATH", help="Its folder for spills.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(output: str | None, tmp_dir: str | None, as_json: bool) -> None:
    """Look for what stands in the way of a run on this machine, and say how to mend it.

    Nothing is left behind. Exit code 0 if a run can start, else the code it would end with.
    """
    flags = {"output": output, "tmp_dir": tmp_dir}
    subject = subject_of(flags, os.environ, os.getcwd(), os.path.expanduser("~"))
    findings = list(examine(subject, THIS_MACHINE))
    error = worst_error(findings)
    if as_json:
        import msgspec

        code = error.exit_code if error else 0
        facts = {"ok": not code, "exit_code": code, "findings": findings}
        click.echo(msgspec.json.encode(facts).decode())
    else:
        lines = [*finding_lines(findings), "", verdict(findings, "a run can start here")]
        click.echo("\n".join(lines))
    if error is not None:
        raise error
