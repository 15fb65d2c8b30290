"""How a run stands, in numbers: what `pymr status` shows, and a master tells an operator.

    history ─► Snapshot ─► Standing ─► table, JSON

The same from the store and from the master, which knows more exactly when it has heard of each
worker. Pure: the time is given. Unknown fields of a newer version are passed over.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from pymr.core.spec import PhaseName
from pymr.errors import ProtocolError
from pymr.observe.snapshot import Snapshot

WORKERS_TOLD_MAX: Final = 1_000  # in one message, which may have 1 MiB
RUNNING_TOLD_MAX: Final = 8  # attempts of each worker
WARNINGS_TOLD_MAX: Final = 5  # the last ones
_WARNING_CHARS_MAX: Final = 300


class PhaseStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How far one phase is. Bytes and records are what its tasks read."""

    tasks: int
    committed: int
    running: int  # attempts
    bytes_done: int
    bytes_total: int
    records_done: int


class WorkerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One worker that is connected."""

    worker: str
    host: str
    slots: int
    running_count: int = 0
    running: tuple[str, ...] = ()  # `map-0003.1`: task and number of the attempt
    silent_s: float | None = None  # since its last sign; None: nobody knows


class MasterStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Who works on the run, by its last sign of life."""

    host: str
    pid: int
    address: str | None = None
    silent_s: float = 0.0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands. Times are Unix seconds."""

    run: str
    name: str
    output: str
    state: str
    phase: str
    epoch: int
    on: str
    told_by: Literal["store", "master"]
    started: float | None
    resumed: float | None
    took_s: float  # since it was started; of a replay, since that
    map: PhaseStanding
    reduce: PhaseStanding
    worker_count: int
    slots: int
    workers: tuple[WorkerStanding, ...]
    failed: int
    retried: int
    lost: int
    skipped: int
    bytes_s: float
    records_s: float
    warnings: tuple[str, ...]
    master: MasterStanding | None = None


def standing_of(
    snapshot: Snapshot,
    *,
    state: str,
    output: str,
    now: float,
    told_by: Literal["store", "master"] = "store",
    master: MasterStanding | None = None,
) -> Standing:
    """Return how the run of `snapshot` stands at `now` (Unix seconds)."""
    is_over = state not in ("running", "waiting")
    end = snapshot.finished or (snapshot.time if is_over else max(now, snapshot.time))
    began = snapshot.resumed if snapshot.is_replay else snapshot.started
    rates = (0.0, 0.0) if is_over else snapshot.pace.rates(now)
    here = [member for member in snapshot.crew.values() if member.is_here and not is_over]
    is_local = snapshot.on == "local"
    return Standing(
        run=snapshot.run,
        name=snapshot.name,
        output=output,
        state=state,
        phase=snapshot.phase,
        epoch=snapshot.epoch,
        on=snapshot.on,
        told_by=told_by,
        started=snapshot.started,
        resumed=snapshot.resumed,
        took_s=0.0 if began is None else max(0.0, end - began),
        map=_phase(snapshot, "map"),
        reduce=_phase(snapshot, "reduce"),
        worker_count=(0 if is_over else snapshot.workers) if is_local else len(here),
        slots=sum(member.slots for member in here),
        workers=() if is_over else _workers(snapshot, now),
        failed=snapshot.failed,
        retried=snapshot.retried,
        lost=snapshot.lost,
        skipped=snapshot.skipped,
        bytes_s=rates[0],
        records_s=rates[1],
        warnings=tuple(
            text[:_WARNING_CHARS_MAX] for text in snapshot.warnings[-WARNINGS_TOLD_MAX:]
        ),
        master=master,
    )


def running_by_worker(snapshot: Snapshot) -> dict[str, list[str]]:
    """Return what each worker runs: `map-0003.1` for the first attempt of a task."""
    found: dict[str, list[str]] = {}
    for state in (snapshot.map, snapshot.reduce):
        for attempt, progress in state.running.items():
            found.setdefault(progress.worker, []).append(f"{attempt}.{attempt.number}")
    return found


def read_standing(detail: dict[str, Any]) -> Standing:
    """Return what a master has told.

    Raises:
        ProtocolError: it is something else.
    """
    try:
        return msgspec.convert(detail, Standing)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the master told its status in another form: {error}") from error


def _phase(snapshot: Snapshot, phase: PhaseName) -> PhaseStanding:
    state = snapshot.phase_state(phase)
    return PhaseStanding(
        tasks=state.tasks,
        committed=state.committed,
        running=len(state.running),
        bytes_done=state.bytes_done,
        bytes_total=state.bytes_total,
        records_done=state.records_done,
    )


def _workers(snapshot: Snapshot, now: float) -> tuple[WorkerStanding, ...]:
    """Return who is connected, as far as there is room for them."""
    running = running_by_worker(snapshot)
    here = [(name, member) for name, member in snapshot.crew.items() if member.is_here]
    return tuple(
        worker_standing(
            name,
            member.host,
            member.slots,
            running.get(name, []),
            # One that has nothing to do shows nothing.
            max(0.0, now - member.heard) if name in running else None,
        )
        for name, member in here[:WORKERS_TOLD_MAX]
    )


def worker_standing(
    worker: str, host: str, slots: int, running: list[str], silent_s: float | None
) -> WorkerStanding:
    """Return how one worker stands."""
    return WorkerStanding(
        worker=worker,
        host=host,
        slots=slots,
        running_count=len(running),
        running=tuple(running[:RUNNING_TOLD_MAX]),
        silent_s=silent_s,
    )
