"""What ends an attempt without a commit, and what becomes of its task. Pure.

An attempt may end in four ways so many times each, since each has another cause: it fails
(`attempts_max`), what it reads was damaged (`borne_max`), its process crashes (`crashes_max`), or
its worker is lost (`losses_max`). Of these, the second and the last are mostly no fault of the
task, and so no more than bounds.
"""

from __future__ import annotations

from typing import Any

from pymr.core.bad_records import is_at_record
from pymr.core.events import (
    Abort,
    AttemptFailed,
    AttemptLost,
    Command,
    Crashed,
    Failed,
    MemoryExceeded,
    Note,
    Returned,
    Revoke,
    Warned,
    WorkerLost,
)
from pymr.core.phase_state import OpenTask, PhaseState
from pymr.core.spec import Attempt
from pymr.errors import UserCodeError, to_dict

SHUN_S = 15.0  # a task that crashed waits for another worker, and then for none


def fail(phase: PhaseState, event: Failed) -> list[Command]:
    """End an attempt that reported an error, or whose object was refused."""
    lease = phase.leases.get(event.attempt)
    if lease is None or lease.state == "verified":
        return []  # late
    task = phase.drop(event.attempt)
    hopeless = not event.retryable and _is_hopeless(task, event)
    may_scan = phase.limits.may_scan and event.attempt not in (task.scans or ())
    will_scan = may_scan and is_at_record(event.error)
    task.scans = task.scans or set() if will_scan else task.scans
    task.failures += (counts := event.counts and not will_scan)
    task.borne += not event.counts
    spent = hopeless or task.failures >= phase.limits.attempts_max
    is_spent = (counts and spent) or task.borne >= phase.limits.borne_max
    fatal = is_spent and not task.decided
    will_retry = phase.put_back(event.attempt, fatal=fatal)
    note = Note(AttemptFailed(event.attempt, event.error, will_retry, will_scan))
    return [note, *([_abort(event.attempt, event.error)] if fatal else [])]


def exceed(phase: PhaseState, event: MemoryExceeded) -> list[Command]:
    """End an attempt that took too much memory; it is tried once more, alone."""
    lease = phase.leases.get(event.attempt)
    if lease is None or lease.state != "running":
        return []  # late; or its object is complete, whatever that took
    was_alone = event.attempt == phase.alone
    task = phase.drop(event.attempt)
    task.alone = True
    fatal = was_alone and not task.decided
    will_retry = phase.put_back(event.attempt, fatal=fatal)
    note = Note(AttemptFailed(event.attempt, event.error, will_retry))
    commands: list[Command] = [Revoke(event.attempt, lease.worker), note]
    if fatal:
        is_in_pod = event.error["fields"].get("is_in_pod", False)  # Then that is the hint.
        or_else = "" if is_in_pod else "more memory for this machine"
        commands.append(_abort(event.attempt, event.error, or_else))
    elif will_retry:
        text = f"{event.error['message']}: it is tried again alone;"
        commands.append(Note(Warned(f"{text} {event.error['hint']} lets it run beside others")))
    return commands


def crash(phase: PhaseState, event: Crashed) -> list[Command]:
    """End an attempt whose process ended; another worker shall try it, if there is one."""
    lease = phase.leases.get(event.attempt)
    if lease is None or lease.state != "running":
        return []  # late; or its object is complete
    task = phase.drop(event.attempt)
    task.crashes += 1
    task.shuns, task.shuns_until = lease.worker, event.now + SHUN_S
    fatal = not task.decided and task.crashes >= phase.limits.crashes_max
    return _told(phase, event.attempt, lease.worker, event.error, fatal=fatal)


def take_back(phase: PhaseState, event: Returned) -> list[Command]:
    """End an attempt that its worker cannot go on with."""
    lease = phase.leases.get(event.attempt)
    if lease is None or lease.state != "running":
        return []  # late; or its object is complete
    return _lose(
        phase, event.attempt, lease.worker, event.error, event.now, blames_host=event.blames_host
    )


def lose_worker(phase: PhaseState, event: WorkerLost) -> list[Command]:
    """End all that a worker ran that is gone."""
    commands: list[Command] = []
    for attempt in phase.leases.held_by(event.worker):
        if not phase.failed:
            commands += _lose(phase, attempt, event.worker, event.error, event.now)
    return commands


def expire(phase: PhaseState, now: float) -> list[Command]:
    """End all attempts whose lease is over."""
    phase.leases.listen(now)
    commands: list[Command] = []
    while not phase.failed and (attempt := phase.leases.pop_expired(now)) is not None:
        worker = phase.leases[attempt].worker
        error = to_dict(phase.leases.expiry(attempt))
        commands += [Revoke(attempt, worker), *_lose(phase, attempt, worker, error, now)]
    return commands


def _lose(
    phase: PhaseState,
    attempt: Attempt,
    worker: str,
    error: dict[str, Any],
    now: float,
    *,
    blames_host: bool = True,
) -> list[Command]:
    task = phase.drop(attempt)
    task.losses += 1
    fatal = not task.decided and task.losses >= phase.limits.losses_max
    commands = _told(phase, attempt, worker, error, fatal=fatal)
    warning = phase.quarantine.count(worker, now) if blames_host else None
    return commands if warning is None else [*commands, Note(Warned(warning, at_once=True))]


def _told(
    phase: PhaseState, attempt: Attempt, worker: str, error: dict[str, Any], *, fatal: bool
) -> list[Command]:
    will_retry = phase.put_back(attempt, fatal=fatal)
    note = Note(AttemptLost(attempt, worker, error, will_retry))
    return [note, *([_abort(attempt, error)] if fatal else [])]


def _is_hopeless(task: OpenTask, event: Failed) -> bool:
    """Only user code may do better at a second try, and only if it fails differently."""
    seen = event.signature in task.signatures
    task.signatures.append(event.signature)
    return seen or event.error["type"] != UserCodeError.__name__


def _abort(attempt: Attempt, error: dict[str, Any], or_else: str = "") -> Abort:
    """Return the end of the run, with the task and attempt added to the error's fields."""
    fields = {**error.get("fields", {}), "task": str(attempt), "attempt": attempt.number}
    hint = f"{error['hint']}, or {or_else}" if or_else else error["hint"]
    return Abort({**error, "hint": hint, "fields": fields})
