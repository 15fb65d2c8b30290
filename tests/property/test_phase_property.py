"""Any history of a phase: asks, reports in any order, by anyone, late, doubled, and time."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from core_samples import LOST, asked, attempt, committed, failed, finished, phase, verified
from pymr.core.events import (
    Abort,
    AttemptLost,
    AttemptRevoked,
    AttemptStarted,
    Command,
    Crashed,
    Grant,
    Held,
    Journal,
    Keep,
    Note,
    Renewed,
    Returned,
    Revoke,
    Ticked,
    Verify,
    WorkerLost,
)
from pymr.core.failing import SHUN_S
from pymr.core.phase import Phase, PhaseEvent
from pymr.core.replay import attempt_first
from pymr.core.spec import Attempt
from pymr.errors import StoreUnavailableError

TASKS = 4
WORKERS = ("w0", "w1", "w2")
SULKING = StoreUnavailableError("no answer")

NEVER_HELD = attempt(1, 1077)

PAUSES_S = (0.5, 3.0, 4.9, 20.0)
# What happens, the likely things more often, and to which worker, attempt or pause.
KINDS = (
    *["ask", "finish"] * 4,
    *["deliver"] * 6,
    *["verify", "fail", "sulk", "renew", "lose", "tick", "tick"],
    *["crash", "give back", "hold", "hold earlier"],
)
steps = st.tuples(st.sampled_from(KINDS), st.integers(0, 9))
histories = st.lists(steps, min_size=20, max_size=100)


def later(**limits: float) -> Phase:
    """A phase under the second master: some attempts of the first may still run."""
    return phase(TASKS, attempt_first=attempt_first(2), **limits)


class Edge:
    """Plays the edge: keeps what the core asked for and what it saw, and checks each step."""

    def __init__(self, machine: Phase) -> None:
        self.phase = machine
        self.now = 0.0
        self.owed: list[PhaseEvent] = []  # decisions to hand back, verifications to answer
        self.live: set[Attempt] = set()  # granted, and neither revoked, lost nor failed
        self.finished: set[Attempt] = set()  # finished while live
        self.granted: set[Attempt] = set()
        self.decided: list[Attempt] = []
        self.seen: set[str] = set()
        self.failures = 0

    def step(self, kind: str, value: int) -> None:
        """Let one thing happen."""
        if kind == "tick":
            self.now += PAUSES_S[value % len(PAUSES_S)]
        if kind != "deliver":
            self.tell(self.report(kind, value))
        elif self.owed:
            self.tell(self.owed.pop(value % len(self.owed)))

    def report(self, kind: str, value: int) -> PhaseEvent:
        """Return the event for one step."""
        worker = WORKERS[value % len(WORKERS)]
        if kind == "ask":
            return asked(worker, self.now)
        if kind == "lose":
            return WorkerLost(worker, LOST, self.now)
        if kind == "tick":
            return Ticked(self.now)
        of = self.pick(value)
        self.failures += kind == "fail"
        why = f"failure {self.failures}"  # One that comes again ends a run, limits or not.
        return {
            "finish": finished(of, self.now),
            "verify": verified(of, self.now),
            "fail": failed(of, signature=why, now=self.now),
            "sulk": failed(of, SULKING, now=self.now),
            "renew": Renewed(of, self.now),
            "crash": Crashed(of, LOST, self.now),
            "give back": Returned(of, LOST, self.now),
            "hold": Held(of, worker, self.now),
            "hold earlier": Held(attempt(value % TASKS, 1 + value // 5), worker, self.now),
        }[kind]

    def pick(self, which: int) -> Attempt:
        """Return an attempt that was granted at some time, or one that never was."""
        if which == 9 or not self.granted:
            return NEVER_HELD
        return sorted(self.granted)[which % len(self.granted)]

    def tell(self, told: PhaseEvent) -> list[Command]:
        """Hand an event to the phase, check it, and do what it commands."""
        before = set(self.phase.committed)
        commands = self.phase.handle(told)
        self.phase.check()
        assert before <= set(self.phase.committed), "a committed task was given up"
        for command in commands:
            self.perform(command)
        return commands

    def perform(self, command: Command) -> None:
        """Do what was commanded, if it is lawful."""
        self.seen.add(type(command).__name__)
        match command:
            case Grant(attempt=granted):
                assert granted not in self.granted, "a number was used twice"
                assert granted.task not in self.phase.committed, "a committed task was granted"
                self.granted.add(granted)
                self.live.add(granted)
            case Keep(attempt=kept):
                assert kept.task not in self.phase.committed, "a committed task was given back"
                assert kept in self.live or kept.number < attempt_first(2), "a lease came back"
                self.seen.add("adopted" if kept not in self.live else "kept")
                self.live.add(kept)
                self.granted.add(kept)
            case Revoke(attempt=revoked):
                assert revoked not in self.decided, "the output of a task is not wanted"
                self.live.discard(revoked)
            case Note(event=AttemptLost(attempt=lost)):
                self.seen.add("lost")
                self.live.discard(lost)
            case Note(event=AttemptStarted(backup=True)):
                self.seen.add("backup")
            case Note(event=AttemptRevoked()):
                self.seen.add("rival revoked")
            case Verify(receipt=told):
                assert told.attempt in self.live, "verified without a lease"
                self.finished.add(told.attempt)
                self.owed.append(verified(told.attempt, self.now))
            case Journal(decision=decision):
                winner = decision.receipt.attempt
                assert winner in self.finished, "decided without a finish under a lease"
                assert winner in self.live, "decided without a lease"
                assert winner.task not in {a.task for a in self.decided}, "decided twice"
                self.decided.append(winner)
                self.owed.append(decision)


@given(histories)
def test_any_history_commits_each_task_at_most_once_and_by_right(
    history: list[tuple[str, int]],
) -> None:
    """Safety: a commit needs a lease, a finish and a verification, in this order."""
    edge = Edge(later(losses_max=6, backup_ready=0.25, backup_floor_s=1.0))

    for kind, value in history:
        edge.step(kind, value)

    for name in sorted(edge.seen):
        event(name)
    winners = {told.attempt for told in edge.phase.committed.values()}
    assert winners <= set(edge.decided)
    event(f"committed: {len(winners)}")


@given(histories)
def test_after_any_history_fair_workers_end_the_phase(
    history: list[tuple[str, int]],
) -> None:
    """Liveness: what was lost or failed is granted again, and so all tasks are committed.

    Workers that held leases in the history have gone silent; a new one does all the rest.
    """
    edge = Edge(later(attempts_max=99, losses_max=99, crashes_max=99, backup_after=float("inf")))
    for kind, value in history:
        edge.step(kind, value)

    rounds = 0
    while not edge.phase.done:
        rounds += 1
        assert rounds <= 20 * TASKS, "the phase does not end"
        edge.now += 1.0
        edge.tell(Ticked(edge.now))
        granted = [c for c in edge.tell(asked("fair", edge.now)) if isinstance(c, Grant)]
        for grant in granted:
            edge.tell(finished(grant.attempt, edge.now))
        while edge.owed:
            edge.tell(edge.owed.pop(0))

    retried = any(told.attempt.number % 1000 > 1 for told in edge.phase.committed.values())
    event("a retry won" if retried else "first attempts won")
    assert not edge.phase.failed
    assert edge.phase.running == edge.phase.pending == 0


@given(st.lists(st.sampled_from(("fail", "sulk", "lose", "crash")), max_size=9), st.integers(1, 5))
def test_a_task_is_tried_until_a_limit_is_reached_and_never_longer(
    ends: list[str], limit: int
) -> None:
    """Failures, losses and crashes have limits of their own, and the one reached first ends the run."""
    edge = Edge(phase(1, attempts_max=limit, losses_max=limit, crashes_max=limit))

    for number, end in enumerate(ends, start=1):
        losses, crashes = (ends[:number].count(kind) for kind in ("lose", "crash"))
        failures = number - losses - crashes
        edge.now += SHUN_S
        assert any(isinstance(c, Grant) for c in edge.tell(asked("w0", edge.now)))
        told = edge.report(end, 0 if end == "lose" else number - 1)
        aborted = any(isinstance(c, Abort) for c in edge.tell(told))
        assert aborted == (limit in (failures, losses, crashes))
        if aborted:
            event("aborted")
            return
    event("goes on")


@given(st.sets(st.integers(0, TASKS - 1)), histories)
def test_what_the_journal_committed_is_never_granted(
    replayed: set[int], history: list[tuple[str, int]]
) -> None:
    """Replay of decisions into a new phase, then any history."""
    edge = Edge(phase(TASKS))
    for task in sorted(replayed):
        edge.tell(committed(attempt(task, 9)))

    for kind, value in history:
        edge.step(kind, value)

    assert not {granted.task for granted in edge.granted} & replayed
    assert all(edge.phase.committed[task].attempt.number == 9 for task in replayed)
