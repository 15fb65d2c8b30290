"""What becomes of an attempt is told to all that ask, when it is decided."""

from __future__ import annotations

from core_samples import asked, attempt, files, job, map_verified
from pymr.cluster.fate import Fates
from pymr.cluster.message import CompletionReply, Verdict
from pymr.core.events import Finished, TaskCommitted
from pymr.core.plan import plan_map_tasks
from virtual_time import after, run_virtually

ERROR = {"type": "CorruptDataError", "message": "other bytes"}


def test_all_that_ask_get_the_same_answer() -> None:
    """By one attempt, by as many streams as its worker has opened."""

    async def scene() -> None:
        fates = Fates(job())
        first, second = fates.of(attempt()), fates.of(attempt())
        fates.refuse(attempt(), ERROR)
        assert await first == await second == CompletionReply(Verdict.REFUSED, ERROR)
        assert not fates._open

    run_virtually(scene())


def test_what_is_open_is_not_answered() -> None:
    """An attempt that is verified is no output before the journal has it."""

    async def scene() -> None:
        run = job(sizes=(8, 8))
        fates, told = Fates(run), map_verified(attempt(), plan_map_tasks(files(8, 8), 2)[0], 2)
        run.handle(asked())
        run.handle(Finished(attempt(), told.receipt, 1.0))
        run.handle(told)
        fate = fates.of(attempt())
        fates.settle(attempt())
        assert not fate.done()
        run.handle(TaskCommitted(told.receipt))
        fates.settle(attempt())
        assert (await fate).verdict is Verdict.COMMITTED

    run_virtually(scene())


def test_an_attempt_without_a_lease_is_stale() -> None:
    """Another one owns the task, or will."""

    async def scene() -> None:
        fates = Fates(job())
        fate = fates.of(attempt(0, 7))
        fates.settle(attempt(0, 7))
        assert (await fate).verdict is Verdict.STALE

    run_virtually(scene())


def test_who_gave_up_waiting_is_not_answered() -> None:
    """And nothing is kept of it."""

    async def scene() -> None:
        fates = Fates(job())
        fates.of(attempt()).cancel()
        await after(0)
        fates.refuse(attempt(), ERROR)
        assert not fates._open

    run_virtually(scene())
