"""`pymr worker`: run tasks for a master on another machine."""

from __future__ import annotations

import signal

import click

from pymr.config.setting import WORKERS_MAX
from pymr.errors import ConfigError

WORKER_WAIT = "10m"


@click.command("worker")
@click.option("--join-file", required=True, metavar="PATH", help="What `pymr start` has written.")
@click.option(
    "--slots",
    type=click.IntRange(1, WORKERS_MAX),
    help="Tasks at once.  [default: the cores]",
)
@click.option("--tmp-dir", metavar="PATH", help="Folder for spills.")
@click.option(
    "--master-wait",
    metavar="TIME",
    default=WORKER_WAIT,
    help="Longest time the master may be out of reach.",
    show_default=True,
)
def command(join_file: str, slots: int | None, tmp_dir: str | None, master_wait: str) -> int:
    """Run tasks for the run of a join file until it is over.

    The code comes from the run's store. SIGTERM: finish what runs, and go; the exit code says that
    the run goes on without this worker, so that whoever keeps workers running starts another one.
    """
    from pymr.cluster.extra import require_extra
    from pymr.config.value import DURATION, RefusedValueError, read_value

    require_extra()
    from pymr.cluster.join import read_join_file
    from pymr.cluster.join_run import work_for

    join = read_join_file(join_file, "worker")
    try:
        wait_s = read_value(DURATION, master_wait, typed=False)
    except RefusedValueError as error:
        raise ConfigError(f"--master-wait is {error}") from error
    click.echo(f"worker of run {join.run}, master at {', '.join(join.addresses)}", err=True)
    done = work_for(join, slots=slots, tmp_dir=tmp_dir, wait_s=wait_s, say=_say)
    if done is None or isinstance(done, signal.Signals):
        click.echo("this worker has left; what it held is done by others", err=True)
        return 0 if done is None else 128 + done
    if done.error is None:
        click.echo("the run is done", err=True)
    else:  # Its master tells the whole of it; this worker has done its part.
        click.echo(f"the run has ended: {done.error['message']}", err=True)
    return 0


def _say(line: str) -> None:
    click.echo(f"WARNING {line}", err=True)
