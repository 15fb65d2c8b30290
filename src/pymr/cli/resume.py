"""`pymr resume`: take a run on where it stopped."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from pymr.cli.going_on import going_on, tell_done
from pymr.cli.hosts import is_on_hosts, restart_on_hosts, resume_on_hosts
from pymr.cli.kubernetes import cluster_of, resume_on_kubernetes
from pymr.cli.settings import detach_error, setting_options
from pymr.runner.reach import access_with
from pymr.runner.resume import restart_run, resume_run
from pymr.task.manifest import Manifest


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.option("--restart", is_flag=True, help="Keep nothing: do all tasks again.")
@click.option(
    "--detach", is_flag=True, help="With --on hosts or kubernetes: go on without this command."
)
@partial(setting_options, is_resume=True)
def command(run: str, restart: bool, detach: bool, **flags: Any) -> int:
    """Go on with RUN where it stopped: killed, interrupted or failed. Finished tasks are kept.

    Settings are those it was started with, unless a flag says otherwise; what the result
    depends on cannot change. The worker file may have been fixed.
    """
    going = going_on(run, flags)
    if (cluster := cluster_of(going.found)) is not None:
        return resume_on_kubernetes(going, cluster, detach=detach, restart=restart)

    def work() -> Manifest | None:
        if is_on_hosts(going.found):
            if restart:
                return restart_on_hosts(going, detach=detach)
            manifest, was_done = resume_on_hosts(going, detach=detach)
        elif detach:
            raise detach_error()
        elif restart:
            return restart_run(going.found, going.changed, going.view, access_with)
        else:
            manifest, was_done = resume_run(going.found, going.changed, going.view, access_with)
        if manifest is None or not was_done:
            return manifest
        tell_done(going.found, manifest, is_quiet=going.now.quiet)
        return None

    return going.view.show(work)
