"""How often and how long the tasks of a phase may be tried."""

from __future__ import annotations

import msgspec

LIVE_ATTEMPTS_MAX = 2  # of a task: the first and its backup
HOST_LOSSES_MAX = 20  # `losses_max` of other machines, which come and go: they are no fault of it


class PhaseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long things may be tried."""

    attempts_max: int = 4  # failures of a task; the last one ends the run
    losses_max: int = 4  # lost attempts of a task; so often it is the task, not the machine
    borne_max: int = 10  # failures of a task that are none of its own, for each map task
    crashes_max: int = 4  # of a task's process, where its worker is another one
    unready_losses_max: int = 8  # of a run: workers lost before they asked for a lease
    lease_s: float = 15.0  # without a sign of life
    backup_after: float = 2.0  # times the median duration: back the attempt up; inf: never
    backup_ready: float = 0.75  # fraction of tasks committed before any backup
    backup_floor_s: float = 2.0  # nothing shorter is worth a backup
    attempt_first: int = 1  # number of a task's first attempt; after a resume, a fresh one
    may_scan: bool = False  # bad records may be left out
