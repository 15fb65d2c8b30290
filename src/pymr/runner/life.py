"""One process's work on a run: from its plan, and what earlier processes kept, to the manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from pymr import errors, failpoint, names
from pymr.config import Settings
from pymr.core import events
from pymr.core.events import Entry, RunResumed, encode
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.replay import Replay, attempt_first, outdated
from pymr.core.spec import Receipt
from pymr.errors import DeposedError, InterruptedRunError, PymrError, StoreError
from pymr.observe.feed import Feed, JsonLines, last_seq, thin
from pymr.runner.hang import HangWatch
from pymr.runner.local import LocalRunner
from pymr.runner.memory import task_memory_of
from pymr.runner.outcome import build_manifest
from pymr.runner.plan import Plan, temporary_folder
from pymr.runner.pool import Pool
from pymr.runner.prints import Logs
from pymr.runner.sample import Sampler
from pymr.runner.stored import StoredRun, committed_keys, planned_of, spill_folder
from pymr.store.base import is_there
from pymr.store.place import Journal, Place
from pymr.task.commit import publish, remove_attempts
from pymr.task.manifest import Manifest
from pymr.task.output import ClaimedOutput

CANCEL_LOOK_S = 0.5  # how often a run looks whether it was cancelled
STORE_LOOK_S = 2.0  # the same in a store, where a look is a request


class Observer:
    """Watches a run; the base one sees and says nothing."""

    def planned(self, plan: Plan, place: Place) -> None:
        """Take note of what will be done, and where; called once, before anything is written."""

    def entry(self, entry: Entry) -> None:
        """Take note of an event."""

    def tick(self, now: float) -> None:
        """Take note that time has passed; `now` is monotonic seconds."""


class Life:
    """The parts of one process's work, put together.

    `earlier` is what the journal says of the processes before; None for a run that begins.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        output: ClaimedOutput,
        started: float,
        earlier: StoredRun | None = None,
        *,
        is_replay: bool = False,
    ) -> None:
        self._is_replay = is_replay
        self.is_resumable = earlier is not None  # all that a later process needs is durable
        self._plan = plan
        self._settings = settings
        self._output = output
        self._place = output.place
        self._started = started  # when the run began, Unix seconds
        self._earlier = earlier
        self._epoch = earlier.replay.epoch + 1 if earlier else 1
        self._manifest: Manifest | None = None
        self._job: Job | None = None

    def run(
        self,
        pool: Pool,
        observer: Observer,
        deadline: float | None,
        head_of: Callable[[Plan], list[bytes]] | None = None,
    ) -> Manifest:
        """Run the job to its end and return the manifest of its output.

        `head_of` gives the records with which a journal begins; None: it goes on.

        Raises:
            PymrError: the run failed. What it has committed is kept.
        """
        run = self._plan.spec.run
        pool.keep_prints(Logs(self._place, run, self._epoch, temporary_folder(self._settings)))
        seq = last_seq(self._place.read_history(run)) + 1
        with (
            self._place.life_signs(run, self._epoch),
            self._place.history(run, thin) as history,
        ):
            feed = Feed([JsonLines(history.append), observer.entry], time.time, seq)
            try:
                tick = self._tick(observer)
                if self._plan.sample is not None:  # What is settled by it is journalled.
                    self._settle_boundaries(pool, feed, tick, deadline)
                head = head_of(self._plan) if head_of is not None else []
                self._execute(pool, feed, tick, deadline, head)
            except BaseException as error:
                if self._manifest is not None and isinstance(
                    error, KeyboardInterrupt
                ):  # It came too late.
                    feed.append(events.RunFinished())
                    return self._manifest
                pool.close()  # nobody writes any more
                if not isinstance(error, DeposedError):  # Else the run is another process's.
                    self._fail(error, feed)
                raise
            assert self._manifest is not None, "a job that is done was published"
            return self._manifest

    def _tick(self, observer: Observer) -> Callable[[float], None]:
        """Return what is to be done now and then: tell who watches, look for `pymr cancel`."""
        due = 0.0
        look_s = CANCEL_LOOK_S if self._place.folder is not None else STORE_LOOK_S

        def tick(now: float) -> None:
            nonlocal due
            observer.tick(now)
            if now >= due:
                due = now + look_s
                if self._is_cancelled():
                    text = "cancelled by `pymr cancel`"
                    raise InterruptedRunError(text, signal="SIGTERM", is_cancelled=True)

        return tick

    def _is_cancelled(self) -> bool:
        with suppress(StoreError):  # Who cannot look goes on.
            return is_there(self._place.objects, names.cancelled_key(self._plan.spec.run))
        return False

    def _settle_boundaries(
        self, pool: Pool, feed: Feed, tick: Callable[[float], None], deadline: float | None
    ) -> None:
        """Sample keys, with --sort: where parts begin stands in the plan."""

        def warn(message: str) -> None:
            feed.append(events.Warned(message))

        hangs = HangWatch(self._settings.task_timeout_s)
        sampler = Sampler(self._plan, pool, deadline=deadline, hangs=hangs, on_tick=tick, warn=warn)
        self._plan = sampler.settle()

    def _execute(
        self,
        pool: Pool,
        feed: Feed,
        tick: Callable[[float], None],
        deadline: float | None,
        head: list[bytes],
    ) -> None:
        plan = self._plan
        self._job = Job(plan.spec, plan.inputs, plan.tasks, self._limits(), deadline=deadline)
        with closing(self._open_journal()) as journal:
            begun = self._begun()
            for record in head or [encode(begun)]:
                journal.append(record)
            journal.sync()
            self.is_resumable = True
            feed.append(begun)
            for warning in plan.warnings:
                feed.append(events.Warned(warning))
            runner = LocalRunner(
                self._job,
                plan=plan,
                pool=pool,
                store=self._output.store,
                journal=journal,
                feed=feed,
                publish=partial(self._publish, pool, feed, journal),
                tmp=self._tmp(),
                memory=task_memory_of(self._settings, plan.workers),
                hangs=HangWatch(self._settings.task_timeout_s),
                on_tick=tick,
            )
            try:
                if self._earlier is not None:
                    self._tidy()
                    replay = self._earlier.replay
                    runner.take_on(replay, self._outdated(replay))
                runner.run()
            except BaseException:
                with suppress(PymrError):  # What stopped the run is the news.
                    journal.sync()
                raise
        feed.append(events.RunFinished())

    def _outdated(self, earlier: Replay) -> list[Receipt]:
        """Return what is done again of what was committed, for its bad records."""
        previous = self._output.previous if self._is_replay else None
        epoch = None if previous is None else previous.epoch
        return outdated(earlier, digest=self._plan.spec.shape.digest, epoch=epoch)

    def _open_journal(self) -> Journal:
        run = self._plan.spec.run
        if self._earlier is None:
            return self._place.create_journal(run, self._epoch)
        return self._place.reopen_journal(run, self._epoch, self._earlier.records)

    def _begun(self) -> events.RunPlanned | RunResumed:
        planned = planned_of(self._plan)
        if self._earlier is None:
            return planned
        return RunResumed(
            planned.spec,
            planned.map_tasks,
            planned.input_files,
            planned.input_bytes,
            epoch=self._epoch,
            is_replay=self._is_replay,
        )

    def _fail(self, error: BaseException, feed: Feed) -> None:
        """Record how the run ended, and drop data that nothing will read."""
        if isinstance(error, KeyboardInterrupt):
            error = interruption(error)
        if isinstance(error, PymrError):
            feed.append(events.RunFinished(errors.to_dict(error)))
        self._tidy()

    def _tidy(self) -> None:
        """Remove what attempts left that are not committed, and their spills."""
        failpoint.hit("run.tidy")
        store, run = self._output.store, self._plan.spec.run
        with suppress(PymrError):  # It takes space only.
            kept = [] if self._is_cancelled() else committed_keys(self._place, run)
            remove_attempts(store, run, but=kept)
        remove_folder(self._tmp())

    def _limits(self) -> PhaseLimits:
        return PhaseLimits(
            attempts_max=self._settings.attempts, attempt_first=attempt_first(self._epoch)
        )

    def _tmp(self) -> str:
        """Return the folder of spills."""
        return spill_folder(self._place, self._plan.spec.run, self._settings)

    def _publish(self, pool: Pool, feed: Feed, journal: Journal) -> None:
        assert self._job is not None, "only a job that ran is published"
        pool.close()  # It is done, and the manifest of many tasks takes memory.
        if self._place.folder is None:  # No lock keeps another process of the run away.
            journal.sync()
        previous = self._output.previous
        manifest = build_manifest(
            self._plan,
            self._job,
            epoch=self._epoch,
            created=self._started,
            finished=time.time(),
            replaces=previous.run if previous else None,
            memory_peak_bytes=pool.memory_peak_bytes,
        )
        with _undisturbed():
            self._manifest = publish(self._output.store, manifest, keep=self._settings.keep)
        for warning in manifest.warnings[len(self._plan.warnings) :]:  # Those of the outcome.
            feed.append(events.Warned(warning))
        remove_folder(self._tmp())
        if manifest.bad_records is not None:  # What a replay needs stays: a copy of its input, too.
            if not self._settings.keep:
                self._tidy()
        elif self._plan.spool_folder is not None:
            remove_folder(self._plan.spool_folder)


def remove_folder(folder: str) -> None:
    """Remove a folder, which few runs have made, and all that is in it."""
    if os.path.isdir(folder):
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def interruption(error: KeyboardInterrupt) -> InterruptedRunError:
    """Return what an exception means that a signal has raised; its argument names the signal."""
    name = str(error.args[0]) if error.args else "SIGINT"
    by = "interrupted by Ctrl-C" if name == "SIGINT" else f"terminated by {name}"
    return InterruptedRunError(by, signal=name)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put signals off that would stop a publication half-way: it takes milliseconds."""
    import signal

    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
