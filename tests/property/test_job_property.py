"""Any history of a run: it publishes exactly what was committed once, or it does not publish."""

from __future__ import annotations

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from core_samples import LOST, asked, attempt, failed, files, job, map_verified, reduce_verified
from pymr.core.events import (
    Abort,
    Command,
    Finished,
    Grant,
    Journal,
    Publish,
    Published,
    Renewed,
    Ticked,
    Verified,
    Verify,
    WorkerLost,
)
from pymr.core.job import Job, JobEvent
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import Attempt, EdgeSum
from pymr.errors import IntegrityError, StoreUnavailableError, from_dict

unhurried = settings(deadline=None)  # A shared machine has no deadline.
SIZES = (20, 0, 6)
WORKERS = ("w0", "w1", "w2")
SULKING = StoreUnavailableError("no answer")
NEVER_HELD = (attempt(0, 77), attempt(0, 77, "reduce"))
PAUSES_S = (0.5, 3.0, 4.9, 20.0)
KINDS = (
    *["ask", "finish"] * 6,
    *["deliver"] * 12,
    *["verify", "fail", "renew", "lose", "tick"],
)
steps = st.tuples(st.sampled_from(KINDS), st.integers(0, 9))
histories = st.lists(steps, min_size=30, max_size=150)
shapes = st.tuples(st.integers(1, 3), st.integers(0, 2))  # mappers, reducers


class Edge:
    """Plays the edge for a job whose attempts all do the same, rightly."""

    def __init__(self, mappers: int, reducers: int) -> None:
        self.tasks = plan_map_tasks(files(*SIZES), mappers)
        self.reducers = reducers
        self.job: Job = job(SIZES, mappers, reducers, attempts_max=99, losses_max=99)
        self.now = 0.0
        self.granted: list[Attempt] = []
        self.owed: list[JobEvent] = []
        self.published = 0
        self.errors: list[Exception] = []
        self.liar: Attempt | None = None  # the attempt whose receipt is one record short

    def verified(self, of: Attempt) -> Verified:
        """Return what is verified about an attempt."""
        if of.phase == "reduce":
            told = reduce_verified(of, len(self.tasks), self.now)
            lie = {"read": EdgeSum(told.receipt.read.records - 1)}
        else:
            told = map_verified(of, self.tasks[of.task], self.reducers, self.now)
            lie = {"emitted": told.receipt.emitted - 1}
        if of != self.liar:
            return told
        receipt = msgspec.structs.replace(told.receipt, **lie)
        return msgspec.structs.replace(told, receipt=receipt)

    def step(self, kind: str, value: int) -> None:
        """Let one thing happen."""
        if kind == "tick":
            self.now += PAUSES_S[value % len(PAUSES_S)]
        if kind != "deliver":
            self.tell(self.report(kind, value))
        elif self.owed:
            self.tell(self.owed.pop(value % len(self.owed)))

    def report(self, kind: str, value: int) -> JobEvent:
        """Return the event for one step."""
        worker = WORKERS[value % len(WORKERS)]
        if kind == "ask":
            return asked(worker, self.now)
        if kind == "lose":
            return WorkerLost(worker, LOST, self.now)
        if kind == "tick":
            return Ticked(self.now)
        of = self.pick(value)
        if kind == "fail":
            return failed(of, SULKING, now=self.now)
        if kind == "renew":
            return Renewed(of, self.now)
        return self.verified(of) if kind == "verify" else self.finished(of)

    def finished(self, of: Attempt) -> Finished:
        """Return the report of an attempt."""
        return Finished(of, self.verified(of).receipt, self.now)

    def pick(self, value: int) -> Attempt:
        """Return one of the last attempts that were granted, or one that never was."""
        if value > 7 or not self.granted:
            return NEVER_HELD[value % 2]
        return self.granted[-1 - value % min(3, len(self.granted))]

    def tell(self, told: JobEvent) -> list[Command]:
        """Hand an event to the job, check it, and do what it commands."""
        commands = self.job.handle(told)
        self.job.check()
        for command in commands:
            match command:
                case Grant(attempt=granted):
                    self.granted.append(granted)
                case Verify(receipt=receipt):
                    self.owed.append(self.verified(receipt.attempt))
                case Journal(decision=decision):
                    self.owed.append(decision)
                case Abort(error=error):
                    self.errors.append(from_dict(error))
                case Publish():
                    self.published += 1
                    self.owed.append(Published())
        return commands

    def finish_fairly(self) -> None:
        """Let a worker that nothing happens to do the rest, and time pass."""
        for _ in range(40 * (len(self.tasks) + self.reducers + 1)):
            if self.job.done or self.job.failed:
                return
            self.now += 1.0
            self.tell(Ticked(self.now))
            for command in self.tell(asked("fair", self.now)):
                if isinstance(command, Grant):
                    self.tell(self.finished(command.attempt))
            while self.owed:
                self.tell(self.owed.pop(0))
        raise AssertionError(f"the run does not end: {self.job.state}")


@unhurried
@given(shapes, histories)
def test_a_run_publishes_once_and_only_with_every_task_committed(
    shape: tuple[int, int], history: list[tuple[str, int]]
) -> None:
    """Safety: the books hold each task once, whatever came late, twice or never."""
    edge = Edge(*shape)

    for kind, value in history:
        edge.step(kind, value)

    event(f"state: {edge.job.state}")
    assert edge.published == (edge.job.state in ("publishing", "done"))
    assert not edge.job.failed
    counters = edge.job.ledger.summary().counters
    assert counters.get("mapped", 0) == len(edge.job.map.committed)
    assert counters.get("reduced", 0) == len(edge.job.reduce.committed)


@unhurried
@given(shapes, histories)
def test_a_run_ends_after_any_history_with_the_same_books(
    shape: tuple[int, int], history: list[tuple[str, int]]
) -> None:
    """Liveness: fair workers end it, and its books are those of an undisturbed run."""
    quiet = Edge(*shape)
    quiet.finish_fairly()
    edge = Edge(*shape)
    for kind, value in history:
        edge.step(kind, value)

    edge.finish_fairly()

    lost = len(edge.granted) - len(quiet.granted)
    event("undisturbed" if lost == 0 else "attempts were repeated")
    assert edge.job.done
    assert edge.published == 1
    assert edge.job.ledger.summary() == quiet.job.ledger.summary()


@unhurried
@given(shapes, histories, st.integers(0, 9))
def test_a_run_with_one_record_missing_is_never_published(
    shape: tuple[int, int], history: list[tuple[str, int]], which: int
) -> None:
    """One attempt lies in its receipt: if it is the one that counts, the run fails."""
    edge = Edge(*shape)
    tasks = [attempt(t.index) for t in edge.tasks]
    tasks += [attempt(partition, name="reduce") for partition in range(edge.reducers)]
    edge.liar = tasks[which % len(tasks)]
    for kind, value in history:
        edge.step(kind, value)

    edge.finish_fairly()

    event(edge.job.state)
    if edge.job.failed:
        assert edge.published == 0
        assert [type(error) for error in edge.errors] == [IntegrityError]
    else:
        winners = [*edge.job.map.committed.values(), *edge.job.reduce.committed.values()]
        assert edge.liar not in [receipt.attempt for receipt in winners]
