"""What counts only once it stands in the journal."""

from __future__ import annotations

import msgspec

from pymr.core.event import Event
from pymr.core.spec import Code, JobSpec, Receipt

JOURNAL_VERSION = 1  # of the records of a journal; another one is not resumed


class RunPlanned(Event, frozen=True):
    """The run begins. First record of a journal, whose format is `journal`."""

    spec: JobSpec
    map_tasks: int
    input_files: int
    input_bytes: int
    journal: int = JOURNAL_VERSION
    epoch: int = 1  # of the process that planned it; 0: it leaves the work to a master
    started: float | None = None  # when the run began, Unix seconds; None: as this was recorded


class RunResumed(Event, frozen=True):
    """A later process takes the run on: the `epoch`-th, from 1.

    `spec` has the shape of the code as it is now, and what may be left out; it is else that of the
    plan. `is_replay`: the run was done, and its bad records are tried again. `code`: what workers
    on other machines load from now on; None: what they loaded before. `started` is when the run
    began, as in the plan.
    """

    spec: JobSpec
    map_tasks: int
    input_files: int
    input_bytes: int
    epoch: int
    is_replay: bool = False
    code: Code | None = None
    started: float | None = None


class TaskCommitted(Event, frozen=True):
    """The output of an attempt is the output of its task, from now on."""

    receipt: Receipt


class TaskInvalidated(Event, frozen=True):
    """A committed output is lost or damaged: its task is open again. `reason` is for people.

    `is_replay`: it is there, but made without bad records; what comes now may be another one.
    """

    receipt: Receipt
    reason: str
    is_replay: bool = False


Decision = RunPlanned | RunResumed | TaskCommitted | TaskInvalidated


def encode(decision: Decision) -> bytes:
    """Return a decision as one line of JSON, as it stands in a journal."""
    return msgspec.json.encode(decision)
