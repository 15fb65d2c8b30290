"""`pymr doctor`: what stands in the way of a run here, each with its remedy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby

import click

from pymr.doctor.examination import THIS_MACHINE, examine, subject_of
from pymr.doctor.finding import Finding, worst_error
from pymr.observe.quantity import show_many
from pymr.text_form import show_text

SIGNS = {"ok": "✓", "warning": "!", "broken": "✗"}


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
        click.echo("\n".join(_lines(findings)))
    if error is not None:
        raise error


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.name) for finding in findings)
    for area, members in groupby(findings, lambda finding: finding.area):
        yield area
        for finding in members:
            sign = SIGNS[finding.level]
            yield f"  {sign} {finding.name:<{width}}  {show_text(finding.text)}"
            if finding.remedy is not None:
                yield f"    {'':<{width}}  → {show_text(finding.remedy)}"
    yield ""
    yield _verdict(findings)


def _verdict(findings: list[Finding]) -> str:
    warnings = sum(finding.level == "warning" for finding in findings)
    noted = f", {show_many(warnings, 'warning')}" if warnings else ""
    if broken := sum(finding.level == "broken" for finding in findings):
        return f"✗ {show_many(broken, 'thing')} to mend first{noted}"
    return f"✓ a run can start here{noted}"
