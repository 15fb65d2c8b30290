"""What the edge tells the core; `now` is a monotonic time in seconds, the only clock it sees."""

from __future__ import annotations

from typing import Any

from pymr.core.event import Event
from pymr.core.spec import Attempt, EdgeSum, Receipt, SplitReceipt


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


class Crashed(Event, frozen=True):
    """The process of an attempt ended without a report, while its worker lives on.

    That is the doing of the task, mostly. `error`: errors.to_dict of the cause.
    """

    attempt: Attempt
    error: dict[str, Any]
    now: float


class Returned(Event, frozen=True):
    """A worker gives an attempt back, for a reason that is not the task's.

    It cannot reach the store, has no space, or was told to end. `error`: errors.to_dict.
    `blames_host`: another attempt may well end so there; not so where a stream broke.
    """

    attempt: Attempt
    error: dict[str, Any]
    now: float
    blames_host: bool = True


class Held(Event, frozen=True):
    """A worker that has registered anew says that it still runs an attempt.

    The attempt may be one of an earlier epoch. `sources`: of a reduce attempt, the digest of the
    list of map outputs that it reads (`sources_digest`).
    """

    attempt: Attempt
    worker: str
    now: float
    sources: str | None = None


class WorkerJoined(Event, frozen=True):
    """A worker has registered; `host` is what stays the same when it comes back."""

    worker: str
    host: str
    now: float


class WorkerLeft(Event, frozen=True):
    """A worker has ended in order, and holds nothing any more."""

    worker: str
    now: float


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
