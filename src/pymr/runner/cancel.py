"""Stops a run that works elsewhere on this machine, and gives up what it has kept.

    the mark ─► a living run sees it at its next tick, stops and tidies ─► the claim is free
             ─► what is kept of a run that is not done is removed

The mark stays, so a run that was cancelled is not resumed by mistake. A run that hangs does not
see it; nothing is taken from it while it lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from pymr import names
from pymr.core.events import RunFinished
from pymr.errors import ObjectExistsError, OutputError
from pymr.runner.find import FoundRun, history_of, owner_of
from pymr.runner.life import remove_folder
from pymr.runner.resume import refuse_gone
from pymr.runner.stored import folders_outside
from pymr.store.place import Place
from pymr.task.commit import remove_attempts
from pymr.task.output import reclaim_output

STOP_WAIT_S = 30.0  # for a living run to stop; it looks for the mark twice a second
STORE_STOP_WAIT_S = 45.0  # and until the last sign of life of one that is dead is old
_LOOK_S = 0.1


def cancel_run(found: FoundRun, tell: Callable[[], object] = lambda: None) -> bool:
    """Stop the run, and remove what it has kept; return whether it was running.

    `tell` lets who works on it know of the mark, which it would see a little later.
    Of a replay only itself is stopped: the result that is there stays. May be repeated.

    Raises:
        RunNotFoundError: nothing is left of it.
        OutputError: it is done, or does not stop.
    """
    refuse_gone(found)
    store = found.place.objects
    was_running = owner_of(found) is not None  # Soon it may not be any more.
    with suppress(ObjectExistsError):  # It was asked before.
        store.put_if_absent(names.cancelled_key(found.run), b"")
    tell()
    _wait_for_end(found)
    with reclaim_output(found.place, run=found.run, name=found.name) as output:
        if output.previous is not None and output.previous.run == found.run:
            store.delete(names.cancelled_key(found.run))
            if was_running and _was_stopped(found):
                return True
            raise OutputError(
                f"run {found.name} is done, there is nothing to cancel",
                hint=f"pymr head {found.name}",
            )
        drop(found.place, found.run)
    return was_running


def _was_stopped(found: FoundRun) -> bool:
    """Say whether the last process of a run that is done did not come to its end."""
    last = history_of(found)[-1:]
    is_end = bool(last) and isinstance(last[0].event, RunFinished)
    return not (is_end and last[0].event.error is None)  # type: ignore[union-attr]


def drop(place: Place, run: str) -> None:
    """Remove all that a run has kept; its journal, its history and its logs stay."""
    for folder in folders_outside(place, run):
        remove_folder(folder)
    remove_attempts(place.objects, run)


def _wait_for_end(found: FoundRun) -> None:
    """Wait until the run has given its claim up.

    Raises:
        OutputError: it still does, after STOP_WAIT_S.
    """
    wait_s = STOP_WAIT_S if found.place.folder is not None else STORE_STOP_WAIT_S
    deadline = time.monotonic() + wait_s
    while (owner := owner_of(found)) is not None:
        if time.monotonic() >= deadline:
            raise OutputError(
                f"run {found.name} was asked to stop {wait_s:.0f} s ago, and still runs"
                f" (pid {owner.pid} on {owner.host})",
                hint=f"kill -9 {owner.pid}; pymr cancel {found.name}",
                pid=owner.pid,
            )
        time.sleep(_LOOK_S)
