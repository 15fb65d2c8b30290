"""A whole run: map phase, barrier, reduce phase, closed books, publish.

No I/O, no clock, no threads. Two phases are chained, and the ledger stands between them:

    map ──inputs balance──► reduce ──books close──► publishing ──Published──► done
     │                        │
     └───────► failed ◄───────┘        A map-only job (no reducers) skips reduce.

A task counts once its TaskCommitted has come back from the journal; then, and only then, it
is entered in the books.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pymr.core.events import (
    Abort,
    Command,
    Journal,
    LeaseAsked,
    Note,
    PhaseFinished,
    Publish,
    Published,
    TaskCommitted,
    Ticked,
    Verified,
    Warned,
    WorkerLost,
)
from pymr.core.ledger import Ledger
from pymr.core.phase import Phase, PhaseEvent, PhaseLimits
from pymr.core.spec import Attempt, InputFile, JobSpec, MapSource, MapTask, Receipt
from pymr.errors import IntegrityError, TimeoutReachedError, to_dict

JobEvent: TypeAlias = PhaseEvent | Published
JobState: TypeAlias = Literal["map", "reduce", "publishing", "done", "failed"]


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
        self.map = Phase("map", len(tasks), limits)
        self.reduce = Phase("reduce", spec.reducers, limits)
        self.ledger = Ledger(inputs, tasks, spec.reducers)
        self._deadline = deadline
        self._limits = limits
        self._unready_losses = 0
        self._verified: dict[Attempt, Verified] = {}  # map attempts on their way to the journal
        self._sources: tuple[MapSource, ...] | None = None

    def handle(self, event: JobEvent) -> list[Command]:
        """Apply one event and return what the caller must now do, in order."""
        if self.state in ("done", "failed"):
            return []
        try:
            commands = self._advance()  # a phase without tasks is over before its first event
            commands += self._route(event)
            commands += self._advance()
        except (IntegrityError, TimeoutReachedError) as error:
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
            self._sources = tuple(_source(committed[task]) for task in range(self.map.tasks))
        return self._sources

    def check(self) -> None:
        """Assert that both phases are sound and stand where the run's state says. O(tasks)."""
        self.map.check()
        self.reduce.check()
        assert self.map.done or not (self.reduce.running or self.reduce.committed), "no barrier"
        if self.state in ("publishing", "done"):
            assert self.map.done, "published before the map phase was done"
            assert self.reduce.done, "published before the reduce phase was done"
        held = {attempt.task for attempt in self._verified}
        decided = {n for n in range(self.map.tasks) if self.map.state_of(n) == "verified"}
        assert self.failed or held == decided, f"details of {held}, decisions on {decided}"

    def _route(self, event: JobEvent) -> list[Command]:  # noqa: PLR0911 - one flat match
        match event:
            case Published():
                assert self.state == "publishing", f"published in state {self.state}"
                self.state = "done"
                return []
            case Verified():
                return self._hold(event)
            case TaskCommitted():
                return self._enter(event)
            case WorkerLost(was_ready=False):
                return self._lose_unready(event)
            case LeaseAsked() | WorkerLost():
                return self.phase.handle(event)
            case Ticked():
                self._check_deadline(event.now)
                return self.phase.handle(event)
            case _:
                return self._of(event.attempt).handle(event)

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
            self.ledger.fold_map(receipt, verified.partitions, verified.splits)
        else:
            self.ledger.fold_reduce(receipt)
        return phase.handle(event)

    def _advance(self) -> list[Command]:
        """Pass the barriers that are reached.

        Raises:
            IntegrityError: the books do not balance.
        """
        commands: list[Command] = []
        if self.state == "map" and self.map.done:
            self.ledger.close_map()
            self.state = "reduce"
            commands.append(Note(PhaseFinished("map", self.map.tasks)))
        if self.state == "reduce" and self.reduce.done:
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


def _source(receipt: Receipt) -> MapSource:
    assert receipt.footer_digest is not None, f"`{receipt.attempt}` has no footer digest"
    return MapSource(receipt.attempt.task, receipt.key, receipt.footer_digest)
