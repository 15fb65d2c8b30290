"""Any prefix of the journal of any history: a later process takes on from there, rightly."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from core_samples import spec
from played_job import KINDS, Edge
from pymr.core.events import RunPlanned, RunResumed
from pymr.core.replay import replay
from pymr.errors import IntegrityError

steps = st.tuples(st.sampled_from((*KINDS, "damage")), st.integers(0, 9))
histories = st.lists(steps, min_size=20, max_size=150)
shapes = st.tuples(st.integers(1, 3), st.integers(0, 2))  # mappers, reducers
cuts = st.integers(0, 6)  # records that the journal loses
losses = st.sets(st.tuples(st.sampled_from(["map", "reduce"]), st.integers(0, 2)), max_size=2)
lives = st.lists(st.tuples(histories, cuts, losses), min_size=1, max_size=3)


def play(shape: tuple[int, int], processes: list) -> tuple[Edge, list]:
    """Play processes that die, one after the other, and one that comes to the end.

    Each takes on what is left of the journal; the last is returned, with the whole journal.
    """
    planned = RunPlanned(spec(shape[1]), shape[0], 3, 26)
    journal: list = []
    granted: set = set()
    edge = Edge(*shape)
    for epoch, (history, cut, lost) in enumerate(processes, start=1):
        for kind, value in history:
            edge.step(kind, value)
        if edge.adopted:
            event("an attempt was adopted")
        if len(history) % 2:  # It was nearly done.
            edge.finish_fairly()
        assert not granted & set(edge.granted), "an earlier process had granted it"
        granted |= set(edge.granted)
        journal += edge.journal[: max(0, len(edge.journal) - cut)]
        earlier = replay(planned, journal)
        assert earlier.epoch == epoch
        journal.append(RunResumed(planned.spec, shape[0], 3, 26, epoch=epoch + 1))
        edge = Edge(*shape, epoch=epoch + 1)
        edge.take_on(earlier, lost)
    edge.finish_fairly()
    assert not granted & set(edge.granted), "an earlier process had granted it"
    return edge, [*journal, *edge.journal]


@given(shapes, lives)
def test_a_run_ends_after_any_deaths_with_the_same_books(shape: tuple[int, int], processes) -> None:
    """Liveness: whatever died when, and whatever was lost, it is published once, and the same."""
    quiet = Edge(*shape)
    quiet.finish_fairly()

    edge, journal = play(shape, processes)

    kept = [task for task in quiet.commits() if task not in edge.commits()]
    event(f"kept {'all' if not edge.commits() else 'some' if kept else 'nothing'}")
    assert edge.job.done, edge.errors
    assert edge.published == 1
    assert edge.job.ledger.summary() == quiet.job.ledger.summary()
    planned = RunPlanned(spec(shape[1]), shape[0], 3, 26)
    assert set(replay(planned, journal).committed) == set(quiet.commits())


@given(shapes, lives)
def test_no_task_is_committed_twice_unless_its_output_was_lost(
    shape: tuple[int, int], processes
) -> None:
    """Safety: a commit that the journal has stands, until the journal says that it is void."""
    _, journal = play(shape, processes)

    open_tasks: dict = {}
    for decision in journal:
        if isinstance(decision, RunResumed):
            continue
        name = decision.receipt.attempt.phase, decision.receipt.attempt.task
        is_commit = type(decision).__name__ == "TaskCommitted"
        assert (name in open_tasks) is not is_commit, f"{decision} on {open_tasks.get(name)}"
        if is_commit:
            open_tasks[name] = decision.receipt
        else:
            assert open_tasks.pop(name) == decision.receipt


@given(shapes, histories, cuts, st.integers(0, 9))
def test_a_mapper_that_writes_something_else_again_is_found(
    shape: tuple[int, int], history, cut: int, which: int
) -> None:
    """Its output was lost and is written anew, one record short: exit 7, nothing is published."""
    first = Edge(*shape)
    for kind, value in history:
        first.step(kind, value)
    first.finish_fairly()
    journal = first.journal[: max(0, len(first.journal) - cut)]
    earlier = replay(RunPlanned(spec(shape[1]), shape[0], 3, 26), journal)
    maps = [receipt for (phase, _), receipt in earlier.committed.items() if phase == "map"]
    edge = Edge(*shape, epoch=2)
    if not maps:
        event("nothing was committed")
        return
    lost = maps[which % len(maps)].attempt
    edge.take_on(earlier, {("map", lost.task)})
    edge.unstable = lost.task

    edge.finish_fairly()

    event("the mapper was found out")
    assert [type(error) for error in edge.errors] == [IntegrityError]
    assert "not deterministic" in str(edge.errors[0])
    assert edge.published == 0
