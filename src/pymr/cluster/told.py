"""What a master tells an operator of its run: the fold of its feed, and whom it has heard."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec

from pymr.cluster.roster import Roster
from pymr.observe.snapshot import Snapshot
from pymr.observe.standing import (
    WORKERS_TOLD_MAX,
    MasterStanding,
    WorkerStanding,
    running_by_worker,
    standing_of,
    worker_standing,
)


def told_standing(
    snapshot: Snapshot, roster: Roster, *, output: str, address: str
) -> dict[str, Any]:
    """Return how the run stands, in plain values (`observe.standing.Standing`)."""
    master = MasterStanding(host=os.uname().nodename, pid=os.getpid(), address=address)
    told = standing_of(
        snapshot,
        state="running",
        output=output,
        now=time.time(),
        told_by="master",
        master=master,
    )
    told = msgspec.structs.replace(
        told,
        worker_count=len(roster.connected),
        slots=roster.slots,
        workers=_workers(snapshot, roster),
    )
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def _workers(snapshot: Snapshot, roster: Roster) -> tuple[WorkerStanding, ...]:
    running, now = running_by_worker(snapshot), time.monotonic()
    return tuple(
        worker_standing(
            each.name, each.host, each.slots, running.get(each.name, []), now - each.heard
        )
        for each in roster.connected[:WORKERS_TOLD_MAX]
    )
