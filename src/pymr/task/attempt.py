"""`run_attempt`: the one seam between deciding what to run and running it.

Every runner calls this function, with some object store; what it does is the same code
everywhere. An attempt reads its input, writes one object under its own key, and reports a
receipt. It decides nothing: whether the object counts is decided by who asked for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, NamedTuple, TypeVar

from pymr.api import Job
from pymr.core.spec import AttemptSpec, JobSpec, MapWork, Receipt
from pymr.store.access import AMBIENT, Access
from pymr.store.base import ObjectStore
from pymr.task import forked
from pymr.task.blame import user_error
from pymr.task.context import TaskContext

Item = TypeVar("Item")

PROGRESS_INTERVAL_S = 0.2

ProgressReport = Callable[[int, int], None]  # bytes and records of input so far


class AttemptContext(NamedTuple):
    """What an attempt works with."""

    job: Job
    spec: JobSpec
    attempt: AttemptSpec
    store: ObjectStore
    progress: ProgressReport
    access: Access = AMBIENT  # opens the stores of inputs


def run_attempt(
    job: Job,
    spec: JobSpec,
    attempt: AttemptSpec,
    store: ObjectStore,
    progress: ProgressReport = lambda _bytes, _records: None,
    access: Access = AMBIENT,
) -> Receipt:
    """Run one attempt and return its receipt; its object is then complete and durable.

    Inputs that are objects are in stores that `access` opens.

    Raises:
        UserCodeError: the user's code raised; fields name the record or key.
        InputError: the input cannot be read as asked.
        ResourceError: no space left, for instance. Whatever is raised, no object appears.
    """
    context = AttemptContext(job, spec, attempt, store, progress, access)
    wall, cpu = time.monotonic(), time.process_time()
    if isinstance(attempt.work, MapWork):
        from pymr.task.map_attempt import run_map

        receipt = run_map(context, attempt.work)
    else:
        from pymr.task.reduce_attempt import run_reduce

        receipt = run_reduce(context, attempt.work)
    import msgspec

    return msgspec.structs.replace(
        receipt,
        wall_s=round(time.monotonic() - wall, 6),
        cpu_s=round(time.process_time() - cpu, 6),
        rss_bytes_max=rss_bytes_max(),
    )


def call_hook(job: Job, name: str, ctx: TaskContext) -> None:
    """Call `setup` or `teardown`, if the job has it; it may not emit."""
    hook = getattr(job, name)
    if hook is None:
        return
    try:
        with ctx.hook():
            hook(ctx)
    except BaseException as error:
        forked.leave()
        raise user_error(error, name) from error
    forked.leave()


def rss_bytes_max() -> int:
    """Return the most memory that this process has had resident."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


class Ticker:
    """Reports progress at most every PROGRESS_INTERVAL_S, at the price of a clock read.

    `each_call`, of all in this process: it is wanted after each call of user code.
    """

    each_call: ClassVar[bool] = False

    def __init__(self, report: ProgressReport) -> None:
        self._report = report
        self._due = time.monotonic() + PROGRESS_INTERVAL_S
        self._last = 0, 0

    def after_each(self, items: Iterable[Item]) -> Iterable[Item]:
        """Return `items` as they are; with `each_call`, the next one tells that a call ended."""
        return self._told(items) if self.each_call else items

    def _told(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            yield item
            self.tick(*self._last)

    def tick(self, bytes_in: int, records_in: int) -> None:
        """Report if it is time."""
        now = time.monotonic()
        self._last = bytes_in, records_in
        if now >= self._due:
            self._due = now + PROGRESS_INTERVAL_S
            self._report(bytes_in, records_in)
