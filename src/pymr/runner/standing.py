"""How a run stands, as its place alone can tell it: history, claim and signs of life."""

from __future__ import annotations

import time

from pymr.observe.snapshot import Snapshot
from pymr.observe.standing import MasterStanding, Standing, standing_of
from pymr.runner.find import FoundRun, RunState, owner_of


def stored_standing(found: FoundRun, snapshot: Snapshot, state: RunState) -> Standing:
    """Return how a run stands; `snapshot` is of its history, `state` as the caller knows it.

    Raises:
        StoreError: its store refuses or does not answer.
    """
    if not snapshot.run:  # Its history is gone, or has not come so far.
        snapshot.run, snapshot.name = found.run, found.name
        snapshot.started = found.started
    return standing_of(
        snapshot,
        state=state,
        output=found.output,
        now=time.time(),
        master=_master_of(found),
    )


def _master_of(found: FoundRun) -> MasterStanding | None:
    """Return who works on the run, or did so last."""
    sign = found.place.last_sign(found.run)
    if sign is not None:
        silent_s = max(0.0, time.time() - sign.time)
        return MasterStanding(host=sign.host, pid=sign.pid, address=sign.address, silent_s=silent_s)
    owner = owner_of(found)
    if owner is None:
        return None
    return MasterStanding(host=owner.host, pid=owner.pid)
