"""One run from request to committed result: plan, claim, journal, run, publish.

The same path for the command line and for `pymr.run`. What differs is who watches.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from pymr import errors, names
from pymr.config import Settings
from pymr.core import events
from pymr.core.events import Entry
from pymr.core.job import Job
from pymr.core.phase import PhaseLimits
from pymr.errors import InterruptedRunError, PymrError
from pymr.observe.feed import Feed, HistoryFile
from pymr.runner.local import LocalRunner
from pymr.runner.outcome import build_manifest
from pymr.runner.plan import Plan, Request, plan_run
from pymr.runner.pool import Pool
from pymr.runner.sample import Sampler
from pymr.store.journal import Journal
from pymr.store.registry import RegisteredRun, register
from pymr.task.commit import publish, remove_attempts
from pymr.task.manifest import Manifest
from pymr.task.output import ClaimedOutput, prepare_output


class Observer:
    """Watches a run; the base one sees and says nothing."""

    def planned(self, plan: Plan) -> None:
        """Take note of what will be done; called once, before anything is written."""

    def entry(self, entry: Entry) -> None:
        """Take note of an event."""

    def tick(self, now: float) -> None:
        """Take note that time has passed; `now` is monotonic seconds."""


def run_request(request: Request, observer: Observer) -> Manifest:
    """Run a job to its end and return the manifest of its committed output.

    Raises:
        PymrError: the run failed; its class says why. The output is as it was, unless the
            field `is_committed` says that the result stands and only its parts are not shown.
    """
    timeout_s = request.settings.timeout_s
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pool = Pool(deadline)
    plan: Plan | None = None
    try:
        plan = plan_run(request, pool)
        return _run_plan(plan, request.settings, pool, observer, deadline)
    finally:
        pool.close()
        if plan is not None and plan.spool_folder is not None:
            _remove_folder(plan.spool_folder)


def _run_plan(
    plan: Plan, settings: Settings, pool: Pool, observer: Observer, deadline: float | None
) -> Manifest:
    spec = plan.spec
    started = time.time()
    with prepare_output(
        plan.output, overwrite=settings.overwrite, run=spec.run, name=spec.name
    ) as output:
        observer.planned(plan)
        register(RegisteredRun(spec.run, spec.name, plan.output, started))
        with HistoryFile(_path(plan, names.events_key(spec.run))) as history:
            feed = Feed([history, observer.entry], time.time)
            run = _Run(plan, settings, output, feed, started)
            try:
                run.execute(pool, observer.tick, deadline)
            except BaseException as error:
                if run.manifest is not None and _is_signal(error):  # It came too late.
                    feed.append(events.RunFinished())
                    return run.manifest
                pool.close()  # nobody writes any more
                run.fail(error)
                raise
            assert run.manifest is not None, "a job that is done was published"
            return run.manifest


def _is_signal(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | InterruptedRunError)


def _remove_folder(folder: str) -> None:
    """Remove a folder, which few runs have made, and all that is in it."""
    if os.path.isdir(folder):
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


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


def _path(plan: Plan, key: str) -> str:
    return f"{plan.output}/{key}"


class _Run:
    """The parts of one run, put together."""

    def __init__(
        self, plan: Plan, settings: Settings, output: ClaimedOutput, feed: Feed, started: float
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._output = output
        self._feed = feed
        self._started = started
        self._job: Job | None = None
        self._pool: Pool | None = None
        self.manifest: Manifest | None = None

    def execute(self, pool: Pool, tick: Callable[[float], None], deadline: float | None) -> None:
        """Run the job to its end."""
        self._settle_boundaries(pool, tick, deadline)
        plan, spec = self._plan, self._plan.spec
        self._pool = pool
        planned = events.RunPlanned(spec, len(plan.tasks), len(plan.inputs), plan.input_bytes)
        self._job = job = Job(spec, plan.inputs, plan.tasks, self._limits(), deadline=deadline)
        with closing(Journal(_path(plan, names.journal_key(spec.run)))) as journal:
            journal.append(events.encode(planned))
            self._feed.append(planned)
            for warning in plan.warnings:
                self._feed.append(events.Warned(warning))
            LocalRunner(
                job,
                plan=plan,
                pool=pool,
                store=self._output.store,
                journal=journal,
                feed=self._feed,
                publish=self._publish,
                tmp=self._tmp(),
                on_tick=tick,
            ).run()
        self._feed.append(events.RunFinished())

    def _settle_boundaries(
        self, pool: Pool, tick: Callable[[float], None], deadline: float | None
    ) -> None:
        """Sample keys, with --sort: where parts begin is settled before the run is journalled."""
        if self._plan.sample is not None:

            def warn(message: str) -> None:
                self._feed.append(events.Warned(message))

            sampler = Sampler(self._plan, pool, deadline=deadline, on_tick=tick, warn=warn)
            self._plan = sampler.settle()

    def fail(self, error: BaseException) -> None:
        """Record how the run ended, and drop data that nothing will read."""
        if isinstance(error, KeyboardInterrupt):
            error = InterruptedRunError("interrupted", signal="SIGINT")
        if isinstance(error, PymrError):
            self._feed.append(events.RunFinished(errors.to_dict(error)))
        with suppress(PymrError):  # What stopped the run is the news, not what is left over.
            remove_attempts(self._output.store, self._plan.spec.run)
        _remove_folder(self._tmp())

    def _limits(self) -> PhaseLimits:
        return PhaseLimits(attempts_max=self._settings.attempts)

    def _tmp(self) -> str:
        """Return the folder of spills: inside the output, unless `--tmp-dir` moves it."""
        if self._settings.tmp_dir is not None:
            return os.path.abspath(f"{self._settings.tmp_dir}/pymr-{self._plan.spec.run}")
        return _path(self._plan, names.tmp_prefix(self._plan.spec.run))

    def _publish(self) -> None:
        assert self._job is not None, "only a job that ran is published"
        assert self._pool is not None, "a job runs in a pool"
        self._pool.close()  # It is done, and the manifest of many tasks takes memory.
        previous = self._output.previous
        manifest = build_manifest(
            self._plan,
            self._job,
            created=self._started,
            finished=time.time(),
            replaces=previous.run if previous else None,
            memory_peak_bytes=self._pool.memory_peak_bytes,
        )
        with _undisturbed():
            self.manifest = publish(self._output.store, manifest, keep=self._settings.keep)
        for warning in manifest.warnings[len(self._plan.warnings) :]:  # Those of the outcome.
            self._feed.append(events.Warned(warning))
        _remove_folder(self._tmp())
