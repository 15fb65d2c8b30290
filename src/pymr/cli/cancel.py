"""`pymr cancel`: stop a run, and give up what it has kept."""

from __future__ import annotations

import click

from pymr.cli.kubernetes import cluster_of, end_pods
from pymr.cli.reach import reach_options, usual_access
from pymr.runner.cancel import cancel_run
from pymr.runner.find import find_run, state_of


@click.command("cancel")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(run: str, as_json: bool) -> None:
    """Stop RUN, wherever it runs, and remove what it has finished so far.

    Of a run that has stopped already, what it keeps for a resume is removed.
    """
    from pymr.cluster.operator import forget_run, tell_cancel

    found = find_run(run, usual_access)
    was_running = cancel_run(found, lambda: tell_cancel(found.run))
    if (cluster := cluster_of(found)) is not None:
        end_pods(found, cluster)
    if state_of(found) == "cancelled":
        forget_run(found.run)
    if as_json:
        import json

        click.echo(json.dumps({"run": found.run, "name": found.name, "was_running": was_running}))
    else:
        what = "is stopped" if was_running else "is cancelled"
        is_replay = state_of(found) == "done"
        kept = "its result is as it was before" if is_replay else "nothing of it is kept"
        click.echo(f"✓ {found.name} {what}; {kept}", err=True)
