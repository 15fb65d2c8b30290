"""The objects of finished attempts are looked at by threads, some together, and each is told of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core_samples import attempt, receipt
from pymr.cluster.verification import TOGETHER_MIN, VERIFIERS_MAX, Found, Look, Verifications
from pymr.core.spec import MapFooter, Receipt
from pymr.errors import CorruptDataError

FOOTER = MapFooter((), ())


def receipts(count: int) -> list[Receipt]:
    return [receipt(attempt(task)) for task in range(count)]


def verified(look: Look, given: list[Receipt]) -> list[tuple[Receipt, Found]]:
    """Add all at once, and return what was told when each was; raise what a look raised."""

    async def verify() -> list[tuple[Receipt, Found]]:
        told: list[tuple[Receipt, Found]] = []
        over = asyncio.get_running_loop().create_future()
        begun: set[asyncio.Task[None]] = set()

        def tell(of: Receipt, found: Found) -> None:
            told.append((of, found))
            if len(told) == len(given):
                over.set_result(None)

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            task = asyncio.create_task(work)
            begun.add(task)
            task.add_done_callback(ended)

        def ended(task: asyncio.Task[None]) -> None:
            begun.remove(task)
            if (error := task.exception()) is not None:
                over.set_exception(error)

        with ThreadPoolExecutor(2 * VERIFIERS_MAX) as threads:
            verifications = Verifications(look, tell, threads, spawn)
            for each in given:
                verifications.add(each)
            await over
        return told

    return asyncio.run(verify())


def test_each_receipt_is_told_of_once_with_what_was_found() -> None:
    """One that is refused takes nothing from those that are looked at with it."""
    wrong = CorruptDataError("it is not there")

    def look(each: Receipt) -> MapFooter:
        if each.attempt.task % 3 == 0:
            raise wrong
        return FOOTER

    given = receipts(500)
    told = verified(look, given)

    assert sorted(of.attempt for of, _ in told) == [each.attempt for each in given]
    assert all(found is (wrong if of.attempt.task % 3 == 0 else FOOTER) for of, found in told)


def test_looks_leave_threads_for_other_work() -> None:
    """However many wait: the journal is written by threads of the same executor."""
    lock, begin = threading.Lock(), threading.Barrier(VERIFIERS_MAX)
    now, most, seen = 0, 0, 0

    def look(_: Receipt) -> MapFooter:
        nonlocal now, most, seen
        with lock:
            now, seen = now + 1, seen + 1
            most = max(most, now)
            is_of_the_first = seen <= VERIFIERS_MAX
        if is_of_the_first:
            begin.wait(20)  # until as many look as may
        with lock:
            now -= 1
        return FOOTER

    verified(look, receipts(100 * VERIFIERS_MAX))

    assert most == VERIFIERS_MAX


def test_a_few_that_come_together_are_looked_at_by_one_thread() -> None:
    """What a worker says in one message costs one change of threads."""
    threads: list[int] = []

    def look(_: Receipt) -> MapFooter:
        threads.append(threading.get_ident())
        return FOOTER

    verified(look, receipts(TOGETHER_MIN))

    assert len(set(threads)) == 1


def test_a_bug_ends_the_work_that_was_begun() -> None:
    """What is no error of ours is no verdict on an object."""

    def look(_: Receipt) -> MapFooter:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verified(look, receipts(1))
