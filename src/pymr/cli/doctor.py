"""`pymr doctor`: what stands in the way of a run here, each with its remedy."""

from __future__ import annotations

import os

import click

from pymr.cli.findings import finding_lines, verdict
from pymr.doctor.examination import A_STORE, THIS_MACHINE, examine, subject_of
from pymr.doctor.finding import worst_error


@click.command("doctor")
@click.option("--output", metavar="PATH", help="The output folder of the run to come.")
@click.option("--tmp-dir", metavar="PATH", help="Its folder for spills.")
@click.option("--store", metavar="ADDRESS", help="Look at an object store instead: `s3://bucket`.")
@click.option("--endpoint", metavar="URL", help="URL of an S3 store that is not Amazon's.")
@click.option("--region", metavar="NAME", help="Its region.")
@click.option("--on", type=click.Choice(("local", "kubernetes")), help="Look at a cluster instead.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option("--namespace", metavar="NAME", help="Namespace of the cluster.")
@click.option("--workers", metavar="N", help="Workers of the run to come.")
@click.option("--memory", metavar="SIZE", help="What each of them, or this machine, gives it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(as_json: bool, **flags: str | None) -> None:
    """Look for what stands in the way of a run on this machine, and say how to mend it.

    With --store: try for some seconds whether an object store is safe for runs. With
    --on kubernetes: look for what a run in pods needs of a cluster. Nothing is left behind. Exit
    code 0 if a run can start, else the code it would end with.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    subject = subject_of(given, os.environ, os.getcwd(), os.path.expanduser("~"))
    areas, fine = THIS_MACHINE, "a run can start here"
    if subject.settings.on == "kubernetes":
        from pymr.kubernetes.extra import require_extra

        require_extra()
        from pymr.kubernetes.examination import A_CLUSTER

        areas, fine = A_CLUSTER, "a run can start there"
    elif flags["store"] is not None:
        areas, fine = A_STORE, "a run is safe there"
    findings = list(examine(subject, areas))
    error = worst_error(findings)
    if as_json:
        import msgspec

        code = error.exit_code if error else 0
        facts = {"ok": not code, "exit_code": code, "findings": findings}
        click.echo(msgspec.json.encode(facts).decode())
    else:
        lines = [*finding_lines(findings), "", verdict(findings, fine)]
        click.echo("\n".join(lines))
    if error is not None:
        raise error
