"""What earlier processes have committed is looked at by many threads, and told in its order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from core_samples import attempt, receipt
from pymr.core.events import Journal, Recovered
from pymr.core.spec import Receipt
from pymr.errors import StoreUnavailableError
from pymr.runner.kept import AHEAD_MAX, spread_over
from virtual_time import Inline

T = TypeVar("T")
RECEIPTS = [receipt(attempt(task)) for task in range(3 * AHEAD_MAX)]


class Counting(Inline):
    """Counts what it was given to do."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Do it at once."""
        self.count += 1
        return super().submit(fn, *args, **kwargs)


def look(of: Receipt) -> Journal | Recovered:
    return Recovered(of, (), ())


def test_results_come_in_order_and_few_of_them_wait() -> None:
    """However fast the threads are: the sums of all tasks at once would fill the memory."""
    threads, told = Counting(), []

    for number, each in enumerate(spread_over(threads)(look, RECEIPTS)):
        assert isinstance(each, Recovered)
        told.append(each.receipt)
        assert threads.count <= number + 1 + AHEAD_MAX

    assert told == RECEIPTS


def test_a_store_that_is_away_is_told() -> None:
    """Nothing of what it may have is taken for lost."""
    threads = Inline()
    threads.error = StoreUnavailableError("no answer")

    with pytest.raises(StoreUnavailableError):
        list(spread_over(threads)(look, RECEIPTS))
