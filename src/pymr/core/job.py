"""A whole run: map phase, barrier, reduce phase, closed books, publish.

No I/O, no clock, no threads. Two phases are chained, and the ledger stands between them:

    map ──inputs balance──► reduce ──books close──► publishing ──Published──► done
     │                        │
     └───────► failed ◄───────┘        A map-only job (no reducers) skips reduce.

A task counts once its TaskCommitted has come back from the journal; then, and only then, it
is entered in the books.

What an earlier process has committed comes as Recovered, which counts at once: it is in the
journal. A map output that is lost or damaged opens its task again (TaskInvalidated), at the
start of a later process or when a reduce task finds it; what is written anew must be what was
written before, for reduce tasks may have read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from pymr.core.bad_records import refuse_number, refuse_ratio
from pymr.core.events import (
    Abort,
    Command,
    Failed,
    Held,
    Journal,
    LeaseAsked,
    Note,
    PhaseFinished,
    Publish,
    Published,
    Recovered,
    Revoke,
    TaskCommitted,
    TaskInvalidated,
    TaskKept,
    Ticked,
    Verified,
    Warned,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
)
from pymr.core.ledger import Ledger
from pymr.core.limit import PhaseLimits
from pymr.core.phase import Phase, PhaseEvent
from pymr.core.quarantine import Quarantine
from pymr.core.rewritten import refuse_another_output
from pymr.core.sources import encode_sources, source_of, sources_digest
from pymr.core.spec import Attempt, InputFile, JobSpec, MapSource, MapTask, Receipt
from pymr.errors import (
    BadRecordsError,
    CorruptDataError,
    IntegrityError,
    ObjectMissingError,
    TimeoutReachedError,
    to_dict,
)

JobEvent: TypeAlias = PhaseEvent | Published | Recovered | WorkerJoined | WorkerLeft
Verdict: TypeAlias = Literal["committed", "open", "stale"]
JobState: TypeAlias = Literal["map", "reduce", "publishing", "done", "failed"]

MISREADS_MAX = 2  # of a map output, by checksum; then it is written again

# What a reduce task says of a map output that it cannot read.
_DAMAGE = frozenset({CorruptDataError.__name__, ObjectMissingError.__name__})


class Job:
    """The decisions of one run. Once it is done or has failed it does nothing."""

    def __init__(
        self,
        spec: JobSpec,
        inputs: Sequence[InputFile],
        tasks: Sequence[MapTask],
        limits: PhaseLimits,
        deadline: float | None = None,
    ) -> None:
        """Take the plan; `deadline` is a monotonic time in seconds."""
        self.spec = spec
        self.state: JobState = "map"
        self._has_begun = False
        may_scan = spec.skip.records_max > 0
        self.quarantine = Quarantine()
        of_map = msgspec.structs.replace(limits, may_scan=may_scan)
        self.map = Phase("map", len(tasks), of_map, self.quarantine)
        borne_max = limits.borne_max * max(1, len(tasks))  # Each map output may be damaged.
        of_reduce = msgspec.structs.replace(limits, borne_max=borne_max)
        self.reduce = Phase("reduce", spec.reducers, of_reduce, self.quarantine)
        is_by_record = spec.shape.input_format != "text"
        self.ledger = Ledger(inputs, tasks, spec.reducers, is_by_record=is_by_record)
        self._worst = 0, ""  # most bad records of a task, and what they raise
        self._deadline = deadline
        self._limits = limits
        self._unready_losses = 0
        self._verified: dict[Attempt, Verified] = {}  # map attempts on their way to the journal
        self._sources: tuple[MapSource, ...] | None = None
        self._sources_digest: str | None = None
        self._invalidated: dict[int, Receipt] = {}  # map outputs to be written again
        self._misread: Counter[str] = Counter()  # attempts that found a map output damaged
        self._given_up: dict[str, int] = {}  # keys of map outputs nobody shall read: their tasks
        self._early: list[Recovered] = []  # reduce tasks that are kept, while a map task is not

    def handle(self, event: JobEvent) -> list[Command]:
        """Apply one event and return what the caller must now do, in order."""
        if self.state in ("done", "failed"):
            return []
        try:
            commands = [] if self._has_begun else self._begin()
            commands += self._route(event)
            commands += self._advance()
        except (IntegrityError, TimeoutReachedError, BadRecordsError) as error:
            self.state = "failed"
            return [Abort(to_dict(error))]
        if self.map.failed or self.reduce.failed:
            self.state = "failed"
        return commands

    @property
    def done(self) -> bool:
        """The result is in place."""
        return self.state == "done"

    @property
    def failed(self) -> bool:
        """The run was aborted; nothing is granted any more."""
        return self.state == "failed"

    @property
    def phase(self) -> Phase:
        """The phase that is at work, or was last."""
        return self.reduce if self.map.done and self.spec.reducers else self.map

    def map_sources(self) -> tuple[MapSource, ...]:
        """Return what each reduce task reads, in task order; the map phase must be done."""
        if self._sources is None:
            assert self.map.done, "map outputs are not known before the barrier"
            committed = self.map.committed
            self._sources = tuple(source_of(committed[task]) for task in range(self.map.tasks))
        return self._sources

    def sources_digest(self) -> str:
        """Return the digest of `map_sources`, as a list that is an object (`core.sources`)."""
        if self._sources_digest is None:
            self._sources_digest = sources_digest(encode_sources(self.map_sources()))
        return self._sources_digest

    def verdict(self, attempt: Attempt) -> Verdict:
        """Return what a worker is told that reports an attempt, however late or often."""
        phase = self._of(attempt)
        winner = phase.committed.get(attempt.task)
        if winner is not None:
            return "committed" if winner.attempt == attempt else "stale"
        return "open" if phase.leases.get(attempt) is not None else "stale"

    def check(self) -> None:
        """Assert that both phases are sound and stand where the run's state says. O(tasks)."""
        self.map.check()
        self.reduce.check()
        if self.state == "map":
            assert not self.reduce.running, "reduce tasks run before the barrier"
            assert not self.reduce.committed, "reduce tasks are committed before the barrier"
        if self.state in ("publishing", "done"):
            assert self.map.done, "published before the map phase was done"
            assert self.reduce.done, "published before the reduce phase was done"
        held = {attempt.task for attempt in self._verified}
        decided = {n for n in range(self.map.tasks) if self.map.state_of(n) == "verified"}
        assert self.failed or held == decided, f"details of {held}, decisions on {decided}"

    def _route(self, event: JobEvent) -> list[Command]:  # noqa: C901, PLR0911 - one flat match
        match event:
            case Published():
                assert self.state == "publishing", f"published in state {self.state}"
                self.state = "done"
                return []
            case Verified():
                return self._hold(event)
            case TaskCommitted():
                return self._enter(event)
            case Recovered():
                return self._keep(event)
            case TaskInvalidated():
                return self._give_up(event)
            case WorkerJoined() | WorkerLeft() | WorkerLost():
                return self._change_workers(event)
            case LeaseAsked():
                return self._ask(event)
            case Held(attempt=Attempt(phase="reduce")):
                return self._adopt_reduce(event)
            case Ticked():
                self._check_deadline(event.now)
                return [*self.map.handle(event), *self.reduce.handle(event)]
            case Failed(attempt=Attempt(phase="reduce")):
                return self._fail_reduce(event)
            case _:
                return self._of(event.attempt).handle(event)

    def _ask(self, event: LeaseAsked) -> list[Command]:
        """Grant from the phase at work. While a map task is open again, both phases may run."""
        phase = self.phase
        other = self.reduce if phase is self.map else self.map
        if self.quarantine.holds_back(event.worker, event.now):
            return []
        if other.runs_alone or (other.running and phase.waits_to_be_alone):
            return []
        return phase.handle(event)

    def _adopt_reduce(self, event: Held) -> list[Command]:
        """Let a reduce attempt of an earlier epoch go on, if it reads what there is now."""
        is_current = self.map.done and event.sources == self.sources_digest()
        if is_current or self.reduce.leases.get(event.attempt) is not None:
            return self.reduce.handle(event)
        return [] if self.verdict(event.attempt) == "committed" else [Revoke(event.attempt)]

    def _change_workers(self, event: WorkerJoined | WorkerLeft | WorkerLost) -> list[Command]:
        if isinstance(event, WorkerLost):
            return self._lose_worker(event)
        if isinstance(event, WorkerJoined):
            self.quarantine.join(event.worker, event.host)
        else:
            self.quarantine.leave(event.worker)
        return []

    def _lose_worker(self, event: WorkerLost) -> list[Command]:
        if event.was_ready:
            commands = [*self.map.handle(event), *self.reduce.handle(event)]
        else:
            commands = self._lose_unready(event)
        warning = self.quarantine.count(event.worker, event.now)
        self.quarantine.leave(event.worker)
        return commands if warning is None else [*commands, Note(Warned(warning, at_once=True))]

    def _lose_unready(self, event: WorkerLost) -> list[Command]:
        """Bear with a worker that never became ready, but not without end."""
        self._unready_losses += 1
        if self._unready_losses >= self._limits.unready_losses_max:
            self.state = "failed"
            return [Abort(event.error)]
        text = f"worker `{event.worker}` was lost before it was ready: {event.error['message']}"
        return [Note(Warned(text))]

    def _of(self, attempt: Attempt) -> Phase:
        return self.map if attempt.phase == "map" else self.reduce

    def _hold(self, event: Verified) -> list[Command]:
        """Keep what the books need of a map attempt until its decision is durable."""
        attempt = event.receipt.attempt
        commands = self._of(attempt).handle(event)
        if attempt.phase == "map" and any(isinstance(command, Journal) for command in commands):
            if attempt.task in self._invalidated:
                was_read = self.ledger.has(attempt) or bool(self._early)
                before = self._invalidated[attempt.task]
                refuse_another_output(before, event.receipt, was_read=was_read)
            self._verified[attempt] = event
        return commands

    def _enter(self, event: TaskCommitted) -> list[Command]:
        receipt = event.receipt
        phase = self._of(receipt.attempt)
        if receipt.attempt.task in phase.committed:
            return []  # the first decision in the journal counts
        if receipt.attempt.phase == "map":
            verified = self._verified.pop(receipt.attempt, None)
            assert verified is not None, f"`{receipt.attempt}` was decided but never verified"
            self._invalidated.pop(receipt.attempt.task, None)
            if not self.ledger.has(receipt.attempt):  # else it wrote the same again
                self._fold_map(receipt, verified)
        else:
            self.ledger.fold_reduce(receipt)
        return phase.handle(event)

    def _keep(self, event: Recovered) -> list[Command]:
        """Take on what an earlier process committed: it stands in the journal."""
        receipt = event.receipt
        phase = self._of(receipt.attempt)
        assert receipt.attempt.task not in phase.committed, f"`{receipt.attempt}` came twice"
        if phase is self.reduce and self.state == "map":
            self._early.append(event)  # Its books wait for those of all map tasks.
            return []
        if phase is self.map:
            self._fold_map(receipt, event)
        else:
            self.ledger.fold_reduce(receipt)
        return [Note(TaskKept(receipt)), *phase.handle(TaskCommitted(receipt))]

    def _fold_map(self, receipt: Receipt, told: Verified | Recovered) -> None:
        """Enter a map task in the books.

        Raises:
            IntegrityError: they do not balance.
            BadRecordsError: there are more bad records by now than may be left out.
        """
        ledger = self.ledger
        ledger.fold_map(receipt, told.partitions, told.splits)
        if receipt.bad_object is not None:
            self._worst = max(self._worst, (receipt.bad_records, receipt.bad_object.error))
        refuse_number(self.spec, ledger.bad_records, ledger.records_in, self._worst[1])

    # -- map outputs that are lost or damaged ------------------------------------------------

    def _fail_reduce(self, event: Failed) -> list[Command]:
        """Let a reduce task try again that met a bad map output, and have that written anew.

        Such a failure is not its own, however many outputs are bad: it counts only where what
        was written again is bad, too, so that there is an end.
        """
        fields = event.error.get("fields", {})
        key = fields.get("path", fields.get("key"))
        if event.error["type"] not in _DAMAGE or key is None:
            return self.reduce.handle(event)
        borne = msgspec.structs.replace(event, retryable=True, counts=False)
        if key in self._given_up:
            return self.reduce.handle(borne)
        receipts = self.map.committed.values()
        bad = next((receipt for receipt in receipts if receipt.key == key), None)
        if bad is None:
            return self.reduce.handle(event)
        self._misread[key] += 1
        was_rewritten = bad.attempt.task in self._given_up.values()
        commands = self.reduce.handle(msgspec.structs.replace(borne, counts=was_rewritten))
        is_there = event.error["type"] == CorruptDataError.__name__
        if is_there and self._misread[key] < MISREADS_MAX and not self.reduce.failed:
            return commands  # What one read got wrong, the next may get right.
        self._given_up[key] = bad.attempt.task
        return [Journal(TaskInvalidated(bad, event.error["message"])), *commands]

    def _give_up(self, event: TaskInvalidated) -> list[Command]:
        """Open the task of an output that is lost or damaged, now or in an earlier process."""
        receipt = event.receipt
        if self.state == "publishing":
            return []  # nobody reads map outputs any more
        if receipt.attempt.phase == "map":
            if not event.is_replay:  # Then another output is what is wanted.
                self._invalidated[receipt.attempt.task] = receipt
            self._sources = self._sources_digest = None
        return self._of(receipt.attempt).handle(event)

    def _begin(self) -> list[Command]:
        """Pass the barriers of phases without tasks, which are over before the first event."""
        self._has_begun = True
        return self._advance()

    def _advance(self) -> list[Command]:
        """Pass the barriers that are reached.

        Raises:
            IntegrityError: the books do not balance.
            BadRecordsError: too large a share of the records is bad.
        """
        commands: list[Command] = []
        if self.state == "map" and self.map.done:
            self.ledger.close_map()
            bad, records = self.ledger.bad_records, self.ledger.records_in
            refuse_ratio(self.spec, bad, records, self._worst[1])
            self.state = "reduce"
            commands.append(Note(PhaseFinished("map", self.map.tasks)))
            early, self._early = self._early, []
            for recovered in early:
                commands += self._keep(recovered)
        if self.state == "reduce" and self.map.done and self.reduce.done:
            self.ledger.close()
            self.state = "publishing"
            if self.reduce.tasks:
                commands.append(Note(PhaseFinished("reduce", self.reduce.tasks)))
            commands.append(Publish())
        return commands

    def _check_deadline(self, now: float) -> None:
        """Stop a run that is late, but not while it publishes: its result is complete."""
        if self._deadline is None or now < self._deadline or self.state == "publishing":
            return
        phase = self.phase
        raise TimeoutReachedError(
            f"the run reached its time limit with {len(phase.committed)} of {phase.tasks}"
            f" {phase.name} tasks committed, expected all",
            hint="use a longer `--timeout`",
            phase=phase.name,
            committed=len(phase.committed),
            tasks=phase.tasks,
        )
