"""The attempts of a job in this process, by the function that every runner calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from answers import Answer, answer_of
from command import remove
from contest import Clocked

import pymr
from pymr.api import Builtin
from pymr.core.plan import default_mappers, plan_map_tasks
from pymr.core.spec import Attempt, AttemptSpec, JobSpec, MapSource, MapWork, Receipt, ReduceWork
from pymr.records.discover import DiscoverRules, discover
from pymr.store.local import LocalStore
from pymr.task.attempt import run_attempt
from pymr.task.user_code import shape_of


class InProcess:
    """The map attempts of `job` over `text`, and one reduce attempt; objects are in `folder`."""

    def __init__(self, job: pymr.Job, text: Path, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._inputs = discover([str(text)], DiscoverRules()).files
        self._tasks = plan_map_tasks(self._inputs, default_mappers(self._inputs, workers=1))
        shape = shape_of(job, digest="benchmark")
        self._spec = JobSpec(run="run", name="benchmark", worker="mapper", shape=shape, reducers=1)
        self._mapped: list[Receipt] = []

    def map(self) -> Clocked:
        """Run all map attempts anew: reading, mapper, sort and write."""
        remove(self._folder)
        works = [
            MapWork(task.splits, {split.input: self._inputs[split.input] for split in task.splits})
            for task in self._tasks
        ]
        wall, cpu = time.perf_counter(), time.process_time()
        self._mapped = [self._run("map", task, work) for task, work in enumerate(works)]
        return Clocked(time.perf_counter() - wall, time.process_time() - cpu)

    def reduce(self) -> Answer:
        """Return the answer, from what was mapped last."""
        sources = tuple(
            MapSource(task, receipt.key, receipt.footer_digest or "", receipt.size)
            for task, receipt in enumerate(self._mapped)
        )
        receipt = self._run("reduce", 0, ReduceWork(0, sources))
        return answer_of(self._folder / receipt.key)

    @property
    def emitted(self) -> int:
        """The pairs that the mapper emitted last."""
        return sum(receipt.emitted for receipt in self._mapped)

    def _run(self, phase: Any, task: int, work: MapWork | ReduceWork) -> Receipt:
        attempt = Attempt(phase, task, 1)
        spec = AttemptSpec(attempt, f"{attempt}", str(self._folder / f"tmp-{attempt}"), work)
        return run_attempt(self._job, self._spec, spec, LocalStore(str(self._folder)))


def jobs() -> Iterator[tuple[str, pymr.Job]]:
    """Yield the bare loop, and that loop with an `emit` in it, with `SUM` and without."""
    yield "bare loop", _job(_bare)
    yield "emit, SUM", _job(_emitting, combiner=pymr.SUM)
    yield "emit, no combiner", _job(_emitting)


def _job(mapper: Callable[[Any, str], None], combiner: Builtin | None = None) -> pymr.Job:
    return pymr.Job(mapper=mapper, reducer=_sum, combiner=combiner)


def _bare(_ctx: pymr.Context, chunk: str) -> None:
    for _word in chunk.split():
        pass


def _emitting(ctx: pymr.Context, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, 1)


def _sum(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    ctx.emit(key, sum(values))
