"""What a run looks like now: a fold over its entries, the same live and from history.

Laws: no I/O, no clock; an entry is applied once, in order of `seq`; entries that are missing
(the feed is best effort) make numbers too small, never an error.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from pymr.core import events
from pymr.core.backup import RunningMedian
from pymr.core.events import Entry, Event
from pymr.core.spec import Attempt, PhaseName, Receipt
from pymr.errors import PymrError, from_dict
from pymr.observe.pace import Pace

ERRORS_MAX = 10  # the last ones are kept
WARNINGS_MAX = 100


# What becomes of an attempt.
Outcome = Literal["committed", "failed", "lost", "revoked"]


class Progress(msgspec.Struct):
    """What an attempt that still runs has read so far."""

    worker: str
    bytes: int = 0
    records: int = 0
    started: float = 0.0  # Unix seconds


class Member(msgspec.Struct):
    """A worker of another machine."""

    host: str
    slots: int
    heard: float  # Unix seconds of the last event that it has caused
    is_here: bool = True


class BackupWin(msgspec.Struct, frozen=True):
    """A backup attempt that won, and how far the other one was by then."""

    attempt: Attempt
    took_s: float
    other_s: float
    other_share: float  # of the input that it had read


class AttemptError(msgspec.Struct, frozen=True):
    """An attempt that failed or was lost."""

    attempt: Attempt
    error: PymrError


class PhaseState(msgspec.Struct):
    """One phase so far. Bytes and records are what its tasks read."""

    tasks: int = 0
    bytes_total: int = 0  # of a reduce phase: as far as the map tasks are committed
    committed: int = 0
    bytes_committed: int = 0
    records_committed: int = 0
    running: dict[Attempt, Progress] = msgspec.field(default_factory=dict)
    ended: Counter[Outcome] = msgspec.field(default_factory=Counter)  # attempts of this process
    slowest: Receipt | None = None
    largest: Receipt | None = None  # of the reduce task that read most records
    median: RunningMedian = msgspec.field(default_factory=RunningMedian)

    @property
    def bytes_done(self) -> int:
        """What was read for committed tasks and by attempts that run, backups not twice."""
        furthest: dict[int, int] = {}
        for attempt, progress in self.running.items():
            furthest[attempt.task] = max(furthest.get(attempt.task, 0), progress.bytes)
        return self.bytes_committed + sum(furthest.values())

    @property
    def records_done(self) -> int:
        """As `bytes_done`, in records."""
        furthest: dict[int, int] = {}
        for attempt, progress in self.running.items():
            furthest[attempt.task] = max(furthest.get(attempt.task, 0), progress.records)
        return self.records_committed + sum(furthest.values())

    @property
    def slowness(self) -> float:
        """How many times the median the slowest task took; 1.0 if there is nothing to compare."""
        median = self.median.value
        if self.slowest is None or not median:
            return 1.0
        return self.slowest.wall_s / median


class Snapshot(msgspec.Struct):
    """A run so far. Times are Unix seconds."""

    run: str = ""
    name: str = ""
    worker: str = ""  # the worker file
    functions: tuple[str, ...] = ()  # mapper, combiner, reducer: those there are
    is_by_value: bool = False  # they travelled by value: there is no worker file to fix
    input_files: int = 0
    input_bytes: int = 0
    workers: int = 0
    on: str = "local"  # or hosts, or kubernetes
    crew: dict[str, Member] = msgspec.field(default_factory=dict)  # of hosts, those that came
    pace: Pace = msgspec.field(default_factory=Pace)
    phase: str = "planning"  # planning | map | reduce | publishing | done | failed
    map: PhaseState = msgspec.field(default_factory=PhaseState)
    reduce: PhaseState = msgspec.field(default_factory=PhaseState)
    failed: int = 0  # attempts that failed or were lost and are not tried again
    retried: int = 0  # attempts that failed or were lost and are tried again
    lost: int = 0  # attempts whose worker or lease was lost, of both kinds
    backups_won: int = 0
    backup_win: BackupWin | None = None  # the one whose other attempt had run the longest
    backups: set[Attempt] = msgspec.field(default_factory=set)
    skipped: int = 0  # records left out, since they are no text, too long, or the mapper raises
    printed: tuple[int, int] = (0, 0)  # bytes by user code, of which so many are in no log
    healed: int = 0  # corrupt reads of map outputs that were right when they were repeated
    replaced: int = 0  # task processes that leaked memory
    strays: int = 0  # processes that attempts had left, and were ended
    upload: events.UploadProgressed | None = None  # of inputs, as far as it has come
    memory: tuple[int, int] | None = None  # bytes of all processes at the peak, and their limit
    warnings: list[str] = msgspec.field(default_factory=list)
    errors: list[AttemptError] = msgspec.field(default_factory=list)
    started: float | None = None  # when the run began
    resumed: float | None = None  # when the last of several processes took it on
    time: float = 0.0  # of the last entry
    finished: float | None = None
    epoch: int = 1  # processes that have worked on it
    kept: tuple[int, int] = (0, 0)  # map and reduce tasks that the last of them took on
    is_replay: bool = False  # it was done, and its bad records are tried again
    is_taking_on: bool = False  # it looks at what is left of the earlier ones

    def phase_state(self, phase: PhaseName) -> PhaseState:
        """Return the state of one phase."""
        return self.map if phase == "map" else self.reduce


def fold(snapshot: Snapshot, entry: Entry) -> Snapshot:
    """Apply the next entry to `snapshot`, in place, and return it."""
    snapshot.time = entry.time
    match entry.event:
        case events.RunPlanned() as planned:
            _plan(snapshot, planned, entry.time)
            _place(snapshot, "local" if planned.epoch else "hosts")
        case events.RunResumed() as resumed:
            _resume(snapshot, resumed, entry.time)
        case events.PhaseFinished(phase):
            is_last = phase == "reduce" or not snapshot.reduce.tasks
            snapshot.phase = "publishing" if is_last else "reduce"
            snapshot.pace = Pace()
        case events.Warned(message):
            if message not in snapshot.warnings and len(snapshot.warnings) < WARNINGS_MAX:
                snapshot.warnings.append(message)
        case (
            events.UploadProgressed()
            | events.MemoryMeasured()
            | events.PrintsKept()
            | events.StraysEnded()
            | events.ProcessReplaced()
        ):
            _fold_process(snapshot, entry.event)
        case events.RunFinished(error):
            snapshot.phase = "done" if error is None else "failed"
            snapshot.finished = entry.time
        case events.TaskCommitted() | events.TaskKept() | events.TaskInvalidated():
            _fold_task(snapshot, entry.event)
            _measure(snapshot)
        case events.WorkersConnected() | events.WorkerCame() | events.WorkerWent():
            _fold_worker(snapshot, entry.event)
        case _:
            _fold_attempt(snapshot, entry.event)
    return snapshot


def _fold_process(snapshot: Snapshot, event: Event) -> None:
    match event:
        case events.UploadProgressed():
            snapshot.upload = event
        case events.MemoryMeasured(peak_bytes, limit_bytes):
            snapshot.memory = peak_bytes, limit_bytes
        case events.PrintsKept(printed, left_out):  # Once in each life; its files stay.
            before = snapshot.printed
            snapshot.printed = before[0] + printed, before[1] + left_out
        case events.StraysEnded(_, count):
            snapshot.strays += count
        case events.ProcessReplaced():
            snapshot.replaced += 1


def _fold_task(
    snapshot: Snapshot, event: events.TaskCommitted | events.TaskKept | events.TaskInvalidated
) -> None:
    match event:
        case events.TaskCommitted(receipt):
            _commit(snapshot, receipt)
            snapshot.phase_state(receipt.attempt.phase).ended["committed"] += 1
        case events.TaskKept(receipt):
            _commit(snapshot, receipt)
            is_map = receipt.attempt.phase == "map"
            snapshot.kept = snapshot.kept[0] + is_map, snapshot.kept[1] + (not is_map)
        case events.TaskInvalidated(receipt):
            if not snapshot.is_taking_on:  # What is not there was not counted, then.
                _reopen(snapshot, receipt)


def _fold_worker(snapshot: Snapshot, event: Event) -> None:
    match event:
        case events.WorkersConnected(count):
            snapshot.workers, snapshot.is_taking_on = count, False
        case events.WorkerCame(worker, host, slots):
            _place(snapshot, "hosts")
            snapshot.crew[worker] = Member(host, slots, snapshot.time)
        case events.WorkerWent(worker) if worker in snapshot.crew:
            snapshot.crew[worker].is_here = False


def _hear(snapshot: Snapshot, worker: str) -> None:
    """Take note that a worker has shown that it lives."""
    member = snapshot.crew.get(worker)
    if member is not None:
        member.heard = snapshot.time


def _measure(snapshot: Snapshot) -> None:
    """Take note of how far the phase is, if that was some time ago."""
    if snapshot.pace.is_due(snapshot.time):
        state = snapshot.map if snapshot.phase == "map" else snapshot.reduce
        snapshot.pace.add(snapshot.time, state.bytes_done, state.records_done)


def _fold_attempt(snapshot: Snapshot, event: Event) -> None:
    match event:
        case events.AttemptStarted(attempt, worker, backup):
            snapshot.phase_state(attempt.phase).running[attempt] = Progress(
                worker, started=snapshot.time
            )
            if backup:
                snapshot.backups.add(attempt)
        case events.AttemptProgressed(attempt, bytes_in, records_in):
            progress = snapshot.phase_state(attempt.phase).running.get(attempt)
            if progress is not None:
                progress.bytes, progress.records = bytes_in, records_in
                _hear(snapshot, progress.worker)
                _measure(snapshot)
        case events.AttemptFailed(attempt, will_scan=True):  # That is how bad records are found.
            _end(snapshot, attempt, "failed")
        case events.AttemptFailed(attempt, error, will_retry):
            _end(snapshot, attempt, "failed")
            _fail(snapshot, attempt, from_dict(error), will_retry=will_retry)
        case events.AttemptLost(attempt, _, error, will_retry):
            snapshot.lost += 1
            _end(snapshot, attempt, "lost")
            _fail(snapshot, attempt, from_dict(error), will_retry=will_retry)
        case events.AttemptRevoked(attempt):
            _end(snapshot, attempt, "revoked")


def _end(snapshot: Snapshot, attempt: Attempt, outcome: Outcome) -> None:
    """Take an attempt off those that run."""
    state = snapshot.phase_state(attempt.phase)
    state.ended[outcome] += 1
    progress = state.running.pop(attempt, None)
    if progress is not None and outcome == "failed":
        _hear(snapshot, progress.worker)


def _plan(snapshot: Snapshot, planned: events.RunPlanned | events.RunResumed, time: float) -> None:
    spec = planned.spec
    snapshot.run, snapshot.name, snapshot.worker = spec.run, spec.name, spec.worker
    optional = {"combiner": spec.shape.combiner, "reducer": spec.shape.reducer}
    snapshot.functions = ("mapper", *(name for name, kind in optional.items() if kind))
    snapshot.is_by_value = not spec.shape.files
    snapshot.input_files, snapshot.input_bytes = planned.input_files, planned.input_bytes
    snapshot.map = PhaseState(tasks=planned.map_tasks, bytes_total=planned.input_bytes)
    snapshot.reduce = PhaseState(tasks=spec.reducers)
    snapshot.phase = "map"
    told = planned.started
    snapshot.started = time if told is None else told
    snapshot.resumed = snapshot.finished = None
    snapshot.skipped = 0
    snapshot.crew, snapshot.pace = {}, Pace()


def _resume(snapshot: Snapshot, resumed: events.RunResumed, time: float) -> None:
    is_first = resumed.epoch == 1  # It was planned for this process: that is a start.
    _plan(snapshot, resumed, time if snapshot.started is None else snapshot.started)
    snapshot.resumed = None if is_first else time
    snapshot.epoch, snapshot.kept, snapshot.is_taking_on = resumed.epoch, (0, 0), not is_first
    snapshot.is_replay = resumed.is_replay
    if is_first:
        _place(snapshot, "hosts")


def _place(snapshot: Snapshot, on: str) -> None:
    """Take note of where tasks run. Events do not tell pods from other hosts: a reader may know."""
    if snapshot.on != "kubernetes":
        snapshot.on = on


def _commit(snapshot: Snapshot, receipt: Receipt) -> None:
    attempt = receipt.attempt
    state = snapshot.phase_state(attempt.phase)
    is_map = attempt.phase == "map"
    size = receipt.bytes_in if is_map else receipt.read.bytes
    for rival in [rival for rival in state.running if rival.task == attempt.task]:
        progress = state.running.pop(rival)
        if rival == attempt:
            _hear(snapshot, progress.worker)
        if rival != attempt and attempt in snapshot.backups:
            _win(snapshot, receipt, progress, progress.bytes / max(size, 1))
    state.committed += 1
    state.bytes_committed += size
    state.records_committed += receipt.records_in if is_map else receipt.read.records
    state.median.add(receipt.wall_s)
    if state.slowest is None or receipt.wall_s > state.slowest.wall_s:
        state.slowest = receipt
    if state.largest is None or receipt.read.records > state.largest.read.records:
        state.largest = receipt
    snapshot.reduce.bytes_total += receipt.written.bytes
    snapshot.skipped += receipt.skipped + receipt.bad_records
    snapshot.healed += receipt.healed


def _win(snapshot: Snapshot, receipt: Receipt, other: Progress, share: float) -> None:
    """Note that a backup attempt has won."""
    snapshot.backups_won += 1
    other_s = snapshot.time - other.started
    if snapshot.backup_win is None or other_s > snapshot.backup_win.other_s:
        snapshot.backup_win = BackupWin(receipt.attempt, receipt.wall_s, other_s, min(share, 1.0))


def _reopen(snapshot: Snapshot, receipt: Receipt) -> None:
    """Take back what a committed task had counted for; the slowest and largest stay."""
    is_map = receipt.attempt.phase == "map"
    state = snapshot.phase_state(receipt.attempt.phase)
    state.committed -= 1
    state.bytes_committed -= receipt.bytes_in if is_map else receipt.read.bytes
    state.records_committed -= receipt.records_in if is_map else receipt.read.records
    snapshot.reduce.bytes_total -= receipt.written.bytes
    snapshot.skipped -= receipt.skipped + receipt.bad_records


def _fail(snapshot: Snapshot, attempt: Attempt, error: PymrError, *, will_retry: bool) -> None:
    if will_retry:
        snapshot.retried += 1
    else:
        snapshot.failed += 1
    snapshot.errors = [*snapshot.errors, AttemptError(attempt, error)][-ERRORS_MAX:]
