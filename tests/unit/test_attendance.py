"""Which workers are waited for, and for how long; in a loop whose clock jumps."""

from __future__ import annotations

import asyncio

import pytest

from pymr.cluster.attendance import LATE_S, REMIND_S, Attendance
from pymr.cluster.message import Leaving
from pymr.core.events import Warned, WorkersConnected
from pymr.errors import ClusterError, IncompleteError, WorkerFileError, to_dict
from simulated_master import Bench, Caller
from virtual_time import after, run_virtually


class Watched:
    """A master whose workers are waited for."""

    def __init__(self, wanted: int, wait_s: float = 600.0) -> None:
        self.bench = Bench(mappers=8)
        attendance = Attendance(self.bench.master, wanted, wait_s, clock=self.bench.clock)
        self.task = asyncio.create_task(attendance.watch())

    def connected(self) -> list[tuple[int, int]]:
        """Return what people were told of workers that are there."""
        told = [each for each in self.bench.told if isinstance(each, WorkersConnected)]
        return [(each.count, each.wanted) for each in told]

    def come(self, host: str) -> Caller:
        """Let a worker come."""
        worker = Caller(self.bench, host)
        worker.hello()
        worker.ask(2)
        return worker


def test_work_begins_when_all_are_there() -> None:
    """And not before."""

    async def scene() -> None:
        watched = Watched(wanted=2)
        first = watched.come("a")
        await after(5.0)
        assert not first.grants()
        watched.come("b")
        await after(1.0)
        assert first.grants()
        assert watched.connected() == [(2, 2)]

    run_virtually(scene())


def test_work_begins_without_those_that_are_late() -> None:
    """Counted from the first."""

    async def scene() -> None:
        watched = Watched(wanted=3)
        await after(60.0)
        first = watched.come("a")
        await after(LATE_S - 1.0)
        assert not first.grants()
        await after(2.0)
        assert first.grants()
        assert watched.connected() == [(1, 3)]

    run_virtually(scene())


def test_a_run_that_nobody_comes_to_ends() -> None:
    """People are reminded before."""

    async def scene() -> None:
        watched = Watched(wanted=1, wait_s=100.0)
        with pytest.raises(IncompleteError, match="100 s"):
            await watched.task
        reminders = [each for each in watched.bench.told if isinstance(each, Warned)]
        assert len(reminders) == 100.0 // REMIND_S

    run_virtually(scene())


def test_a_run_whose_workers_are_gone_for_too_long_ends() -> None:
    """But not if one of them comes back in time."""

    async def scene() -> None:
        watched = Watched(wanted=1, wait_s=100.0)
        worker = watched.come("a")
        await after(10.0)
        worker.part()
        await after(90.0)
        watched.come("a").part()
        await after(1.0)
        again = watched.come("a")
        await after(1.0)
        again.part()
        await after(98.0)
        assert not watched.task.done()
        with pytest.raises(IncompleteError):
            await watched.task

    run_virtually(scene())


def test_a_job_that_no_worker_can_run_ends_with_what_they_say() -> None:
    """When as many have said so as are wanted."""

    async def scene() -> None:
        watched = Watched(wanted=2)
        for host in ("a", "b"):
            worker = Caller(watched.bench, host)
            worker.hello()
            watched.bench.master.take(worker.member, Leaving("no package `numpy`"))
            worker.part()
            assert not watched.task.done()
        with pytest.raises(ClusterError, match="`b`: no package `numpy`"):
            await watched.task

    run_virtually(scene())


def test_what_a_worker_cannot_load_is_told_with_the_line_that_it_stands_in() -> None:
    """Nobody else has seen it: the code was loaded where the run was planned."""

    async def scene() -> None:
        watched = Watched(wanted=1)
        worker = Caller(watched.bench, "a")
        worker.hello()
        frame = {"file": "worker.py", "line": 3, "function": "<module>", "source": "import only"}
        error = to_dict(WorkerFileError("no module named `only`", frames=[frame]))
        watched.bench.master.take(worker.member, Leaving("no module named `only`", error))
        with pytest.raises(ClusterError, match="`a`: no module named `only`") as raised:
            await watched.task

        assert raised.value.fields == {"frames": [frame], "first": "mend that"}

    run_virtually(scene())


def test_one_that_has_not_loaded_the_code_is_not_there_yet() -> None:
    """It may turn out that it cannot; work that has begun for it would wait for others."""

    async def scene() -> None:
        watched = Watched(wanted=1)
        worker = Caller(watched.bench, "a")
        worker.hello()
        await after(5.0)
        assert watched.connected() == []
        watched.bench.master.take(worker.member, Leaving("no package `numpy`"))
        worker.part()
        with pytest.raises(ClusterError, match="`a`: no package `numpy`"):
            await watched.task

    run_virtually(scene())
