"""What the core asks the edge to do."""

from __future__ import annotations

from typing import Any

import msgspec

from pymr.core.decisions import TaskCommitted, TaskInvalidated
from pymr.core.event import Event
from pymr.core.spec import Attempt, Receipt


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


class Keep(Command, frozen=True):
    """Let `worker` go on with `attempt`, which it holds already: the answer to Held.

    It must renew before `expires` (monotonic seconds).
    """

    worker: str
    attempt: Attempt
    expires: float


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
