"""What the core is told of a failure that a worker has reported."""

from __future__ import annotations

from pymr.cluster.message import Failure, FailureKind
from pymr.core import events
from pymr.core.job import JobEvent
from pymr.core.spec import Attempt


def failure_event(attempt: Attempt, failure: Failure, now: float) -> JobEvent:
    """Return the event of the core that a failure is."""
    match failure.kind:
        case FailureKind.CRASHED:
            return events.Crashed(attempt, failure.error, now)
        case FailureKind.MEMORY:
            return events.MemoryExceeded(attempt, failure.error, now)
        case FailureKind.RETURNED:
            return events.Returned(attempt, failure.error, now)
        case FailureKind.FAILED:
            return events.Failed(
                attempt,
                failure.error,
                failure.retryable,
                failure.signature,
                now,
            )
