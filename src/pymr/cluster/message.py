"""What a master, its workers and an operator say to each other; `proto/control.proto` as structs.

Plain structs, no behaviour. `wire` turns them into bytes and back. Work, receipts, specs and
errors in them are those of `core` and `errors`; where one may be larger than a message, it may
also be `Stored`: an object of the run's store.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import msgspec

from pymr.core.events import (
    AttemptProgressed,
    MemoryMeasured,
    PrintsKept,
    ProcessReplaced,
    StraysEnded,
    Warned,
    WorkersConnected,
)
from pymr.core.spec import Attempt, Code, JobSpec, MapWork, Receipt, ReduceWork, Stored
from pymr.store.access import Access

PROTOCOL: Final = 1
# Of work, a receipt or a spec in a message, which may have four times as many: what is longer is
# an object of the store (`names.told_key`).
TOLD_BYTES_MAX: Final = 256 << 10

# What a worker may tell the feed. Decisions and the fate of attempts are the master's to say.
WorkerNote = (
    AttemptProgressed
    | MemoryMeasured
    | PrintsKept
    | ProcessReplaced
    | StraysEnded
    | Warned
    | WorkersConnected
)


# -- joining ---------------------------------------------------------------------------------


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A worker says what it is."""

    run: str
    host: str
    pid: int
    pymr: str  # versions
    python: str
    slots: int  # attempts at once
    protocol: int = PROTOCOL


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker does its work: settings of the run, as far as they are not in its spec."""

    is_watched: bool = False  # each call of user code that ends is told of
    task_timeout_s: float | None = None
    task_memory_bytes: int | None = None
    storage_wait_s: float = 600.0


class RegisterReply(msgspec.Struct, frozen=True, kw_only=True):
    """A worker is taken: its id, which nobody had before, and all it needs to run attempts."""

    worker: str
    run: str
    epoch: int
    lease_s: float
    root: str  # the address of the output; keys are relative to it
    access: Access
    spec: JobSpec | Stored
    code: Code
    settings: WorkerSettings


# -- the end of an attempt -------------------------------------------------------------------


class FailureKind(Enum):
    """How an attempt failed."""

    FAILED = "failed"  # it reported an error
    CRASHED = "crashed"  # its process ended without a report
    MEMORY = "memory"  # it took more memory than it may
    RETURNED = "returned"  # the worker gives it back, for a reason that is not its own


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed; of one that FAILED the fields are those of `core.events.Failed`."""

    error: dict[str, Any]
    retryable: bool
    signature: str
    kind: FailureKind = FailureKind.FAILED


class Completion(msgspec.Struct, frozen=True):
    """An attempt is over. Sent on each stream that is opened, until there is a verdict."""

    seq: int  # counts the completions of a worker from 1; the same when sent again
    epoch: int  # of the grant
    attempt: Attempt
    outcome: Receipt | Stored | Failure


class Verdict(Enum):
    """What became of an attempt."""

    COMMITTED = "committed"  # it is the output of its task, by the journal
    ALREADY = "already"  # it was so before
    STALE = "stale"  # another attempt owns the task: drop it
    RETRY = "retry"  # nothing is decided: send it again
    NOTED = "noted"  # a failure was taken note of
    REFUSED = "refused"  # the object is not what its receipt says: drop it


class CompletionReply(msgspec.Struct, frozen=True):
    """The verdict on the completion `seq`; `error` (errors.to_dict) says why, where it is none."""

    verdict: Verdict
    error: dict[str, Any] | None = None
    seq: int = 0  # filled in by the server


# -- from a worker, over its stream ----------------------------------------------------------


class Held(msgspec.Struct, frozen=True):
    """An attempt that the worker works on, maybe for an earlier master."""

    attempt: Attempt
    key: str
    sources: str | None = None  # SHA-256 of the list of map outputs that a reduce attempt reads


class Hello(msgspec.Struct, frozen=True):
    """The first item of every stream."""

    run: str
    epoch: int
    worker: str
    held: tuple[Held, ...] = ()


class Ask(msgspec.Struct, frozen=True):
    """So many slots are free, as of the `grants_seen`-th grant of this stream.

    It is what is, not what is added, so it may be repeated. Of the grants that are on their way,
    those after `grants_seen`, each will take one of the slots.
    """

    slots: int
    grants_seen: int


class Progress(msgspec.Struct, frozen=True):
    """How far an attempt is."""

    attempt: Attempt
    bytes_in: int = 0
    records_in: int = 0


class Renew(msgspec.Struct, frozen=True):
    """The heartbeat: renews the leases of all attempts that it names.

    `error`: errors.to_dict of what keeps the worker waiting, such as a store that does not answer.
    """

    attempts: tuple[Progress, ...]
    error: dict[str, Any] | None = None


class Started(msgspec.Struct, frozen=True):
    """A task process has begun an attempt."""

    attempt: Attempt
    process: str


class Noted(msgspec.Struct, frozen=True):
    """A note for the feed; losing one loses nothing."""

    event: WorkerNote


class Leaving(msgspec.Struct, frozen=True):
    """The worker takes nothing more, and goes when what it holds is done.

    `error`: errors.to_dict of why it cannot work; None: it was told to go.
    """

    reason: str
    error: dict[str, Any] | None = None


FromWorker = Hello | Ask | Renew | Started | Noted | Leaving | Completion


# -- to a worker, over its stream ------------------------------------------------------------


Work = MapWork | ReduceWork | Stored


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Run this attempt, and write the one object `key`.

    `alone`: nothing else runs meanwhile, so it may use the memory of all.
    """

    epoch: int
    attempt: Attempt
    key: str
    work: Work
    alone: bool = False


class Revoke(msgspec.Struct, frozen=True):
    """Stop the attempt if it runs; its output is not wanted."""

    attempt: Attempt


class Drain(msgspec.Struct, frozen=True):
    """Take nothing more, and go when what you hold is done."""

    reason: str


class Done(msgspec.Struct, frozen=True):
    """The run is over: published, or it has failed with `error` (errors.to_dict)."""

    error: dict[str, Any] | None = None


ForWorker = Grant | Revoke | Drain | Done | CompletionReply


# -- an operator -----------------------------------------------------------------------------


class StatusRequest(msgspec.Struct, frozen=True):
    """Asks how far the run is."""

    run: str


class StatusReply(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is; `detail` is for people and tools, and has plain values."""

    run: str
    epoch: int
    state: str
    workers: int
    slots: int
    detail: dict[str, Any] = {}


class CancelRequest(msgspec.Struct, frozen=True):
    """Asks to stop the run, and to give up what it has kept."""

    run: str


class CancelReply(msgspec.Struct, frozen=True):
    """Whether there was something to stop."""

    was_running: bool
