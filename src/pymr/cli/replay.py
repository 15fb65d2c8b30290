"""`pymr replay`: try records again that were left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from pymr.cli.going_on import going_on, tell_nothing_to_replay
from pymr.cli.hosts import is_on_hosts, resume_on_hosts
from pymr.cli.kubernetes import cluster_of, resume_on_kubernetes
from pymr.cli.settings import setting_options
from pymr.runner.reach import access_with
from pymr.runner.replay import replay_run
from pymr.task.manifest import Manifest


@click.command("replay")
@click.argument("run", metavar="RUN")
@partial(setting_options, is_resume=True)
def command(run: str, **flags: Any) -> int:
    """Try the bad records of RUN again after a fix, and merge what comes of them.

    The result is the same bytes as if they had never failed: map tasks that left records out and
    all reduce tasks are done again. Until that is done the old result stands. Records that are
    still bad stay left out, as far as the settings of RUN or flags given now allow it.
    """
    going = going_on(run, flags)
    if (cluster := cluster_of(going.found)) is not None:
        return resume_on_kubernetes(going, cluster, is_replay=True)

    def work() -> Manifest | None:
        manifest: Manifest | None
        if is_on_hosts(going.found):
            manifest, was_done = resume_on_hosts(going, is_replay=True)
        else:
            manifest, was_done = replay_run(going.found, going.changed, going.view, access_with)
        if not was_done:
            return manifest
        tell_nothing_to_replay(going.found, is_quiet=going.now.quiet)
        return None

    return going.view.show(work)
