"""Any history of a run: it publishes exactly what was committed once, or it does not publish."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from core_samples import attempt
from played_job import KINDS, Edge
from pymr.errors import IntegrityError

steps = st.tuples(st.sampled_from(KINDS), st.integers(0, 9))
histories = st.lists(steps, min_size=30, max_size=150)
shapes = st.tuples(st.integers(1, 3), st.integers(0, 2))  # mappers, reducers


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
