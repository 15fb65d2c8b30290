"""Events in, commands out: the whole vocabulary of a run.

    Event ─► Job.handle ─► [Command] ─► the edge performs it ─► Event …

Three families, one schema:
- *reports*: what the edge tells the core (`LeaseAsked`, `Finished`, …); `now` is a
  monotonic time in seconds, the only clock the core sees;
- *decisions*: `Journal(decision)` asks the edge to write it durably, and then to hand the
  same decision back to `Job.handle`; only then does it count. `replay` says what a journal
  holds, and a later `Job` takes on from there;
- *notes*: `Note(event)` is for people and views; losing one loses nothing.

Everything that stands in the feed is wrapped in an `Entry` with `v`, `seq` and `time`.
Fields are only ever added within a version.
"""

from __future__ import annotations

import msgspec

from pymr.core.commands import Abort, Command, Grant, Journal, Keep, Note, Publish, Revoke, Verify
from pymr.core.decisions import (
    JOURNAL_VERSION,
    Decision,
    RunPlanned,
    RunResumed,
    TaskCommitted,
    TaskInvalidated,
    encode,
)
from pymr.core.event import Event
from pymr.core.notes import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptRevoked,
    AttemptStarted,
    MemoryMeasured,
    PhaseFinished,
    PrintsKept,
    ProcessReplaced,
    RunFinished,
    StraysEnded,
    TaskKept,
    UploadProgressed,
    Warned,
    WorkerCame,
    WorkersConnected,
    WorkerWent,
)
from pymr.core.reports import (
    Crashed,
    Failed,
    Finished,
    Held,
    LeaseAsked,
    MemoryExceeded,
    Published,
    Recovered,
    Renewed,
    Returned,
    Ticked,
    Verified,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
)

__all__ = [
    "JOURNAL_VERSION",
    "SCHEMA_VERSION",
    "Abort",
    "AnyEvent",
    "AttemptFailed",
    "AttemptLost",
    "AttemptProgressed",
    "AttemptRevoked",
    "AttemptStarted",
    "Command",
    "Crashed",
    "Decision",
    "Entry",
    "Event",
    "Failed",
    "Finished",
    "Grant",
    "Held",
    "Journal",
    "Keep",
    "LeaseAsked",
    "MemoryExceeded",
    "MemoryMeasured",
    "Note",
    "PhaseFinished",
    "PrintsKept",
    "ProcessReplaced",
    "Publish",
    "Published",
    "Recovered",
    "Renewed",
    "Returned",
    "Revoke",
    "RunFinished",
    "RunPlanned",
    "RunResumed",
    "StraysEnded",
    "TaskCommitted",
    "TaskInvalidated",
    "TaskKept",
    "Ticked",
    "UploadProgressed",
    "Verified",
    "Verify",
    "Warned",
    "WorkerCame",
    "WorkerJoined",
    "WorkerLeft",
    "WorkerLost",
    "WorkerWent",
    "WorkersConnected",
    "encode",
]

SCHEMA_VERSION = 1

AnyEvent = (
    LeaseAsked
    | Renewed
    | Finished
    | Verified
    | Failed
    | MemoryExceeded
    | WorkerLost
    | Crashed
    | Returned
    | Held
    | WorkerJoined
    | WorkerLeft
    | Ticked
    | Published
    | Recovered
    | RunPlanned
    | RunResumed
    | TaskCommitted
    | TaskInvalidated
    | TaskKept
    | WorkersConnected
    | WorkerCame
    | WorkerWent
    | AttemptStarted
    | AttemptProgressed
    | AttemptFailed
    | AttemptLost
    | AttemptRevoked
    | PhaseFinished
    | Warned
    | UploadProgressed
    | MemoryMeasured
    | PrintsKept
    | StraysEnded
    | ProcessReplaced
    | RunFinished
)


class Entry(msgspec.Struct, frozen=True):
    """One line of the feed: `seq` counts from 1, `time` is Unix seconds."""

    v: int
    seq: int
    time: float
    event: AnyEvent
