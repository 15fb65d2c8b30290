"""The history of a run says why it ended, also where no master has taken it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_samples import spec
from pymr.cluster.ending import ending_told
from pymr.core.events import Event, RunFinished, RunPlanned
from pymr.errors import (
    ClusterError,
    DeposedError,
    InterruptedRunError,
    StoreUnavailableError,
    TimeoutReachedError,
    to_dict,
)
from pymr.observe.feed import Feed, JsonLines
from pymr.runner.find import FoundRun, history_of, state_of
from pymr.store.access import Access
from pymr.store.folder_place import FolderPlace

RUN = "01a2-1"
PLANNED = RunPlanned(spec(), 1, 1, 26)
MOVED = RunFinished(to_dict(InterruptedRunError("terminated by SIGTERM", signal="SIGTERM")))

CANCELLED = RunFinished(
    to_dict(InterruptedRunError("cancelled", signal="SIGTERM", is_cancelled=True))
)


def run_in(output: Path, *history: Event) -> FoundRun:
    """Return a run whose history is that."""
    place = FolderPlace(str(output))
    with place.history(RUN, list) as file:
        feed = Feed([JsonLines(file.append)], lambda: 7.5)
        for event in history:
            feed.append(event)
    return FoundRun(RUN, "n", place, 1.0)


def ended_by(error: BaseException, found: FoundRun) -> list[tuple[int, type[Event]]]:
    """Have `error` end what works on a run, and return number and kind of its entries."""
    with pytest.raises(type(error)), ending_told(found, Access()):
        raise error
    return [(entry.seq, type(entry.event)) for entry in history_of(found)]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt("SIGINT"), "interrupted"),
        (KeyboardInterrupt("SIGTERM"), "interrupted"),
        (ClusterError("no image"), "failed"),
    ],
)
def test_what_ends_a_run_before_a_master_has_it_is_in_its_history(
    tmp_path: Path, error: BaseException, state: str
) -> None:
    """It has not died without a word."""
    found = run_in(tmp_path, PLANNED)
    assert state_of(found) == "died"

    assert ended_by(error, found) == [(1, RunPlanned), (2, RunFinished)]

    assert state_of(found) == state


@pytest.mark.parametrize(
    ("history", "error"),
    [
        ((PLANNED, CANCELLED), KeyboardInterrupt("SIGINT")),
        ((PLANNED,), DeposedError("by epoch 3")),
        ((PLANNED,), StoreUnavailableError("no answer")),
    ],
    ids=["its master has said so", "another has it", "nobody takes the word"],
)
def test_an_end_is_told_once_and_only_where_it_is_one(
    tmp_path: Path, history: tuple[Event, ...], error: BaseException
) -> None:
    """What a master has said stands; a run of another process goes on."""
    found = run_in(tmp_path, *history)

    assert len(ended_by(error, found)) == len(history)


def test_a_master_that_was_removed_for_an_end_is_not_the_reason_for_it(tmp_path: Path) -> None:
    """It says that it was told to go, as one that is moved; that time was over says who saw it."""
    found = run_in(tmp_path, PLANNED, MOVED)

    ended = ended_by(TimeoutReachedError("not done after 5 s"), found)

    assert ended == [(1, RunPlanned), (2, RunFinished), (3, RunFinished)]
    assert state_of(found) == "failed"


def test_a_run_that_goes_well_is_left_alone(tmp_path: Path) -> None:
    """Its master tells its end."""
    found = run_in(tmp_path, PLANNED)

    with ending_told(found, Access()):
        pass

    assert len(history_of(found)) == 1
