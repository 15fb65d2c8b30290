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

from typing import Any

import msgspec

from pymr.core.spec import Attempt, EdgeSum, JobSpec, PhaseName, Receipt, SplitReceipt

SCHEMA_VERSION = 1
JOURNAL_VERSION = 1  # of the records of a journal; another one is not resumed


class Event(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """The base of all events; `kind` is the class name."""


# -- reports: from the edge to the core ------------------------------------------------------


class LeaseAsked(Event, frozen=True):
    """A worker has a free slot."""

    worker: str
    now: float


class Renewed(Event, frozen=True):
    """A worker still works on an attempt."""

    attempt: Attempt
    now: float


class Finished(Event, frozen=True):
    """A worker says that an attempt's object is complete; asks for verification only."""

    attempt: Attempt
    receipt: Receipt
    now: float


class Verified(Event, frozen=True):
    """The edge has read the object's footer and found what the receipt says.

    `partitions` and `splits` are empty for a reduce attempt.
    """

    receipt: Receipt
    partitions: tuple[EdgeSum, ...]
    splits: tuple[SplitReceipt, ...]
    now: float


class Failed(Event, frozen=True):
    """An attempt reported an error, or its object was refused. `error`: errors.to_dict.

    `signature` is equal for the same error on the same record. `counts`: it is one of the
    failures that a task may have, not that of another.
    """

    attempt: Attempt
    error: dict[str, Any]
    retryable: bool
    signature: str
    now: float
    counts: bool = True


class MemoryExceeded(Event, frozen=True):
    """An attempt took more memory than it may, ran out of it, or was ended for the lack of it.

    `error`: errors.to_dict of a TaskMemoryError, whose fields are what it used and had.
    """

    attempt: Attempt
    error: dict[str, Any]
    now: float


class WorkerLost(Event, frozen=True):
    """A worker is gone, and with it what it held. `error`: errors.to_dict of the cause.

    `was_ready` is false for one that ended before it could ask for a lease.
    """

    worker: str
    error: dict[str, Any]
    now: float
    was_ready: bool = True


class Ticked(Event, frozen=True):
    """Time has passed."""

    now: float


class Published(Event, frozen=True):
    """The manifest and the parts are in place."""


class Recovered(Event, frozen=True):
    """The edge has found the object of a commit of an earlier process as its receipt says.

    `partitions` and `splits` are as in Verified.
    """

    receipt: Receipt
    partitions: tuple[EdgeSum, ...]
    splits: tuple[SplitReceipt, ...]


# -- decisions: journalled before they count -------------------------------------------------


class RunPlanned(Event, frozen=True):
    """The run begins. First record of a journal, whose format is `journal`."""

    spec: JobSpec
    map_tasks: int
    input_files: int
    input_bytes: int
    journal: int = JOURNAL_VERSION
    epoch: int = 1  # of the process that planned it; 0: it leaves the work to a master


class RunResumed(Event, frozen=True):
    """A later process takes the run on: the `epoch`-th, from 1.

    `spec` has the shape of the code as it is now, and what may be left out; it is else that of the
    plan. `is_replay`: the run was done, and its bad records are tried again.
    """

    spec: JobSpec
    map_tasks: int
    input_files: int
    input_bytes: int
    epoch: int
    is_replay: bool = False


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


# -- notes: for the feed only ----------------------------------------------------------------


class TaskKept(Event, frozen=True):
    """A resumed run has a task from an earlier process: it is not run again."""

    receipt: Receipt


class WorkersConnected(Event, frozen=True):
    """Task processes are up."""

    count: int
    wanted: int


class AttemptStarted(Event, frozen=True):
    """An attempt was granted to a worker.

    `backup`: another attempt of the task runs too. `alone`: nothing else runs meanwhile.
    """

    attempt: Attempt
    worker: str
    backup: bool = False
    alone: bool = False


class AttemptProgressed(Event, frozen=True):
    """How far an attempt is: input bytes and records since its start."""

    attempt: Attempt
    bytes_in: int
    records_in: int


class AttemptFailed(Event, frozen=True):
    """An attempt reported an error; `will_retry` says what happens next.

    `will_scan`: it failed at a record, and the next attempt will leave bad records out.
    """

    attempt: Attempt
    error: dict[str, Any]
    will_retry: bool
    will_scan: bool = False


class AttemptLost(Event, frozen=True):
    """An attempt's worker is gone, or its lease expired; `will_retry` says what happens next."""

    attempt: Attempt
    worker: str
    error: dict[str, Any]
    will_retry: bool


class AttemptRevoked(Event, frozen=True):
    """An attempt is not wanted any more: another one owns the task."""

    attempt: Attempt


class PhaseFinished(Event, frozen=True):
    """All tasks of a phase are committed."""

    phase: PhaseName
    tasks: int


class Warned(Event, frozen=True):
    """Something the user should know; the run goes on."""

    message: str


class MemoryMeasured(Event, frozen=True):
    """The most memory that the processes of the run used together, of what they may use."""

    peak_bytes: int
    limit_bytes: int


class StraysEnded(Event, frozen=True):
    """Processes that user code had started in an attempt, and left behind, were ended."""

    attempt: Attempt
    count: int


class ProcessReplaced(Event, frozen=True):
    """A task process is not used again: what it holds has grown so much from task to task."""

    worker: str
    grown_bytes: int


class PrintsKept(Event, frozen=True):
    """What task processes have printed so far in this life, and what of it is in no file."""

    printed_bytes: int
    left_out_bytes: int


class RunFinished(Event, frozen=True):
    """The end. `error` is None if the run was published."""

    error: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None


# -- commands: from the core to the edge -----------------------------------------------------


class Command(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """The base of all commands."""


class Grant(Command, frozen=True):
    """Let `worker` run `attempt`; it must renew before `expires` (monotonic seconds).

    `alone`: nothing else runs meanwhile, so it may use the memory of all.
    `is_scan`: it looks for bad records first, and then leaves them out.
    """

    worker: str
    attempt: Attempt
    expires: float
    alone: bool = False
    is_scan: bool = False


class Revoke(Command, frozen=True):
    """Stop `attempt` wherever it runs; its output is not wanted. `worker` None: unknown."""

    attempt: Attempt
    worker: str | None = None


class Verify(Command, frozen=True):
    """Check the object of `receipt` and answer with Verified or Failed."""

    receipt: Receipt


class Journal(Command, frozen=True):
    """Write `decision` durably, then hand it back to the core."""

    decision: TaskCommitted | TaskInvalidated


class Note(Command, frozen=True):
    """Append `event` to the feed."""

    event: Event


class Publish(Command, frozen=True):
    """The books are closed: write the manifest, show the parts, answer with Published."""


class Abort(Command, frozen=True):
    """Stop everything; the run has failed with `error` (errors.to_dict)."""

    error: dict[str, Any]


AnyEvent = (
    LeaseAsked
    | Renewed
    | Finished
    | Verified
    | Failed
    | MemoryExceeded
    | WorkerLost
    | Ticked
    | Published
    | Recovered
    | RunPlanned
    | RunResumed
    | TaskCommitted
    | TaskInvalidated
    | TaskKept
    | WorkersConnected
    | AttemptStarted
    | AttemptProgressed
    | AttemptFailed
    | AttemptLost
    | AttemptRevoked
    | PhaseFinished
    | Warned
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


Decision = RunPlanned | RunResumed | TaskCommitted | TaskInvalidated


def encode(decision: Decision) -> bytes:
    """Return a decision as one line of JSON, as it stands in a journal."""
    return msgspec.json.encode(decision)
