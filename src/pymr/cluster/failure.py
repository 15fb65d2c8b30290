"""What the core is told of a failure that a worker has reported."""

from __future__ import annotations

import msgspec

from pymr.cluster.message import Failure, FailureKind
from pymr.config import Settings
from pymr.config.value import spell_size
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


def with_memory_of_pods(failure: Failure, settings: Settings) -> Failure:
    """Return a failure that says how a task gets more memory: where workers are pods, from theirs.

    What a machine has is not the run's to say; what a pod has is `--memory`.
    """
    if failure.kind is not FailureKind.MEMORY or settings.on != "kubernetes":
        return failure
    fields = failure.error["fields"]
    wished = 1 << max(fields["used_bytes"], fields["had_bytes"]).bit_length()
    if settings.task_memory_bytes is not None and wished < settings.memory_bytes:
        return failure
    hint = f"--memory {spell_size(wished * (settings.slots or 1))}"
    told = {**failure.error, "hint": hint, "fields": {**fields, "is_in_pod": True}}
    return msgspec.structs.replace(failure, error=told)
