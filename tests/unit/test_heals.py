"""A run whose store loses what was committed, just before it is published."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pymr.cluster.start import HEALS_MAX, _healed
from pymr.errors import CorruptDataError, LostPartError
from pymr.runner.stored import StoredRun
from pymr.task.manifest import Manifest

STORED = cast("StoredRun", "as it was read before")
DONE = cast("Manifest", "a manifest")


def served(*ends: Exception | None) -> tuple[Any, list[StoredRun | None], list[str]]:
    """Serve a run as often as it takes; return what came of it, with what, and what was said."""
    left, given, said = list(ends), list[StoredRun | None](), list[str]()

    def serve(stored: StoredRun | None) -> Manifest:
        given.append(stored)
        if (end := left.pop(0)) is not None:
            raise end
        return DONE

    try:
        return _healed(serve, STORED, said.append), given, said
    except CorruptDataError as error:
        return error, given, said


def test_f53_what_was_lost_is_made_again_by_the_next_life() -> None:
    """Which reads the journal anew; people are told."""
    result, given, said = served(LostPartError("`part` is missing"), None)

    assert result is DONE
    assert given == [STORED, None]
    assert said == ["`part` is missing: what made it is run again"]


@pytest.mark.parametrize(
    ("error", "times"), [(LostPartError("lost"), HEALS_MAX + 1), (CorruptDataError("bad"), 1)]
)
def test_a_store_that_always_loses_something_ends_the_run(error: Exception, times: int) -> None:
    """So does whatever else is wrong, at once."""
    result, given, _ = served(*[error] * 9)

    assert result is error
    assert len(given) == times
