"""What people and views are told; losing one loses nothing."""

from __future__ import annotations

from typing import Any

from pymr.core.event import Event
from pymr.core.spec import Attempt, PhaseName, Receipt


class TaskKept(Event, frozen=True):
    """A resumed run has a task from an earlier process: it is not run again."""

    receipt: Receipt


class WorkersConnected(Event, frozen=True):
    """Task processes are up."""

    count: int
    wanted: int


class WorkerCame(Event, frozen=True):
    """A worker of another machine is connected, with so many slots for attempts."""

    worker: str
    host: str
    slots: int


class WorkerWent(Event, frozen=True):
    """A worker of another machine is not connected any more; its leases may still hold."""

    worker: str


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
    """Something the user should know; the run goes on.

    `at_once`: it is said when it happens, and not in the summary alone.
    """

    message: str
    at_once: bool = False


class UploadProgressed(Event, frozen=True):
    """Files of this machine are put into the store, for workers to read them there.

    At the end `files_done` is `files`. Of those, `files_kept` were there before.
    """

    files: int
    bytes: int
    files_done: int
    bytes_done: int
    files_kept: int = 0


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
