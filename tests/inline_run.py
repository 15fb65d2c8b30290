"""A run in one process: the real core, `run_attempt` and `verify_attempt`, on any store.

What a runner with processes does, without them; so that a test can reach between an attempt
and its verification, or hand the attempts another store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pymr
from pymr.core import events
from pymr.core.events import Command
from pymr.core.job import Job as CoreJob
from pymr.core.job import JobEvent
from pymr.core.limit import PhaseLimits
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import (
    Attempt,
    AttemptSpec,
    JobSpec,
    Limits,
    MapWork,
    Receipt,
    ReduceWork,
    SkipRules,
)
from pymr.errors import PymrError, from_dict, to_dict
from pymr.records.discover import DiscoverRules, discover
from pymr.store.base import ObjectStore
from pymr.task.attempt import run_attempt
from pymr.task.commit import verify_attempt
from pymr.task.user_code import shape_of


class InlineRun:
    """One run of `job` over files, its objects in `store`; `tmp` is for spills.

    `between` is given each receipt before the runner sees it, and returns what it will see.
    """

    def __init__(  # noqa: PLR0913 - keyword-only: tests change one detail
        self,
        job: pymr.Job,
        inputs: list[Path],
        store: ObjectStore,
        tmp: Path,
        *,
        mappers: int = 3,
        reducers: int = 2,
        limits: Limits | None = None,
        params: dict[str, str] | None = None,
        output_format: str = "tsv",
        skip: SkipRules | None = None,
        between: Callable[[Receipt], Receipt] = lambda receipt: receipt,
    ) -> None:
        self.store = store
        self.receipts: list[Receipt] = []
        self.is_published = False
        self.job = job
        self._tmp = tmp
        self._between = between
        shape = shape_of(job, digest="c0de")
        self.spec = JobSpec(
            run="run",
            name="inline",
            worker="mapper",
            shape=shape,
            reducers=reducers if shape.reducer else 0,
            limits=limits or Limits(),
            params=params or {},
            output_format=output_format,
            skip=skip or SkipRules(),
        )
        self.inputs = discover(
            [str(path) for path in inputs], DiscoverRules(allow_empty=True)
        ).files
        self.tasks = plan_map_tasks(self.inputs, mappers)
        self.core = CoreJob(self.spec, self.inputs, self.tasks, PhaseLimits(attempts_max=2))

    def run(self) -> list[bytes]:
        """Return the bytes of the parts, in order.

        Raises:
            PymrError: what the core aborted with.
        """
        while not self.core.done:
            self._handle(events.LeaseAsked("w", 0.0))
        phase = self.core.reduce if self.spec.reducers else self.core.map
        return [self.store.get(phase.committed[task].key) for task in range(phase.tasks)]

    def attempt_spec(self, attempt: Attempt, *, is_scan: bool = False) -> AttemptSpec:
        """Return what the runner would send for `attempt`."""
        work: MapWork | ReduceWork
        if attempt.phase == "map":
            splits = self.tasks[attempt.task].splits
            inputs = {s.input: self.inputs[s.input] for s in splits}
            bad_key = f"_pymr/run/bad-{attempt}-{attempt.number}" if is_scan else None
            work = MapWork(splits, inputs, bad_key)
        else:
            work = ReduceWork(attempt.task, self.core.map_sources())
        key = f"_pymr/run/{attempt}-{attempt.number}"
        return AttemptSpec(attempt, key, str(self._tmp / f"{attempt}-{attempt.number}"), work)

    def attempt(self, attempt: Attempt, *, is_scan: bool = False) -> Receipt:
        """Run one attempt, outside of the core's decisions."""
        spec = self.attempt_spec(attempt, is_scan=is_scan)
        return run_attempt(self.job, self.spec, spec, self.store)

    def _handle(self, event: JobEvent) -> None:
        queue = deque(self.core.handle(event))
        while queue:
            queue.extend(self._perform(queue.popleft()))
        self.core.check()

    def _perform(self, command: Command) -> list[Command]:
        match command:
            case events.Grant(attempt=attempt, is_scan=is_scan):
                return self.core.handle(self._report(attempt, is_scan=is_scan))
            case events.Verify(receipt):
                return self.core.handle(self._verify(receipt))
            case events.Journal(decision):
                self.receipts.append(decision.receipt)
                return self.core.handle(decision)
            case events.Publish():
                self.is_published = True
                return self.core.handle(events.Published())
            case events.Abort(error):
                raise from_dict(error)
        return []

    def _report(self, attempt: Attempt, *, is_scan: bool) -> JobEvent:
        try:
            receipt = self._between(self.attempt(attempt, is_scan=is_scan))
        except PymrError as error:
            return events.Failed(attempt, to_dict(error), error.retryable, str(error), 0.0)
        return events.Finished(attempt, receipt, 0.0)

    def _verify(self, receipt: Receipt) -> JobEvent:
        try:
            footer = verify_attempt(self.store, receipt)
        except PymrError as error:
            attempt = receipt.attempt
            return events.Failed(attempt, to_dict(error), error.retryable, str(error), 0.0)
        return events.Verified(receipt, footer.partitions, footer.splits, 0.0)
