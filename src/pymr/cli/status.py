"""`pymr status`: how a run stands now, from its master or from its place alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import msgspec

from pymr.cli.kubernetes import cluster_of, state_in_pods, tell_troubles
from pymr.cli.reach import reach_options, usual_access
from pymr.errors import PymrError
from pymr.observe.feed import read_entries
from pymr.observe.snapshot import Snapshot, fold
from pymr.observe.standing import Standing
from pymr.observe.table import table_lines
from pymr.runner.find import GOING, FoundRun, RunState, find_run, history_of, state_of
from pymr.runner.standing import stored_standing
from pymr.store.registry import Cluster

if TYPE_CHECKING:
    from rich.live import Live

    from pymr.cluster.operator import Operator

WATCH_S = 1.0  # between two looks
LINES_S = 10.0  # … where nobody looks at a terminal


@click.command("status")
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--watch", is_flag=True, help="Go on until the run ends.")
@click.option("--join-file", metavar="PATH", help="The operator's file: ask the master alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each look.")
@reach_options
def command(run: str | None, watch: bool, join_file: str | None, as_json: bool) -> None:
    """Show how far RUN is: phases, tasks, workers and what each does.

    Its master is asked, where this account has started it; else its store is read, which is some
    seconds behind.
    """
    if (run is None) == (join_file is None):
        raise click.UsageError("name a run or the --join-file of its operator: one of both")
    screen = _Screen(as_json=as_json, is_live=watch)
    try:
        if join_file is not None:
            from pymr.cluster.operator import Operator

            _look_by_master(Operator(join_file), screen, watch=watch)
        else:
            assert run is not None, "checked above"
            found = find_run(run, usual_access)
            if (cluster := cluster_of(found)) is not None and not as_json:
                tell_troubles(found, cluster)
            _look_by_place(found, cluster, screen, watch=watch)
    finally:
        screen.close()


def _look_by_master(operator: Operator, screen: _Screen, *, watch: bool) -> None:
    """Show what the master alone tells.

    Raises:
        UnreachableError: it does not answer; when it is watched, that may be its end.
    """
    try:
        screen.show(operator.standing())
        while watch:
            time.sleep(screen.interval_s)
            screen.show(operator.standing())
    finally:
        operator.close()


def _look_by_place(
    found: FoundRun, cluster: Cluster | None, screen: _Screen, *, watch: bool
) -> None:
    """Show what the master tells, if it can be asked, and else the place."""
    ask = _asking(found.run)
    snapshot = Snapshot(on="local" if cluster is None else "kubernetes")

    def standing() -> Standing:
        return stored_standing(found, snapshot, _state(found, cluster))

    if not watch:
        asked = ask()
        if asked is None:
            for entry in history_of(found):
                fold(snapshot, entry)
        screen.show(asked or standing())
        return
    is_first = True

    def wait() -> bool:
        nonlocal is_first
        if is_first:
            is_first = False
            return True
        screen.show(ask() or standing())
        time.sleep(screen.interval_s)
        return _state(found, cluster) in GOING

    for entry in read_entries(found.place.follow_history(found.run, wait)):
        fold(snapshot, entry)
    screen.show(standing())


def _state(found: FoundRun, cluster: Cluster | None) -> RunState:
    return state_of(found) if cluster is None else state_in_pods(found, cluster)


def _asking(run: str) -> Callable[[], Standing | None]:
    """Return what asks the master of a run, as long as there is one that answers."""
    from pymr.cluster.operator import operator_of

    operator = operator_of(run)

    def ask() -> Standing | None:
        nonlocal operator
        if operator is None:
            return None
        try:
            return operator.standing()
        except PymrError:  # It is at its end, or gone: the place knows.
            operator.close()
            operator = None
            return None

    return ask


class _Screen:
    """Shows standings one after the other: in one place of a terminal, or as lines."""

    def __init__(self, *, as_json: bool, is_live: bool) -> None:
        self._as_json = as_json
        self._is_picture = is_live and not as_json and sys.stdout.isatty()
        self._live: Live | None = None
        self._shown = ""
        self.interval_s = WATCH_S if as_json or self._is_picture or not is_live else LINES_S

    def show(self, standing: Standing) -> None:
        """Show how the run stands now."""
        if self._as_json:
            click.echo(msgspec.json.encode(standing).decode())
            return
        text = "\n".join(table_lines(standing))
        if self._is_picture:
            self._draw(text)
        elif text != self._shown:
            click.echo(f"\n{text}" if self._shown else text)
        self._shown = text

    def close(self) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()

    def _draw(self, text: str) -> None:
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            self._live = Live(auto_refresh=False)
            self._live.start()
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
