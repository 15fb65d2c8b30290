"""One process's work on a run: from its plan, and what earlier processes kept, to the manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from pymr import errors, failpoint
from pymr.config import Settings
from pymr.core import events
from pymr.core.events import Entry, RunResumed, encode
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.replay import Replay, attempt_first, outdated
from pymr.core.spec import Receipt
from pymr.errors import (
    DeposedError,
    InterruptedRunError,
    PymrError,
)
from pymr.observe.feed import Feed, JsonLines, last_seq, thin
from pymr.runner.cancel_mark import CancelMark
from pymr.runner.outcome import build_manifest
from pymr.runner.plan import Plan
from pymr.runner.stored import StoredRun, committed_keys, planned_of, resumed_of, spill_folder
from pymr.store.place import Journal, Place
from pymr.task.commit import publish, remove_attempts
from pymr.task.manifest import Manifest
from pymr.task.output import ClaimedOutput, is_out_of_reach


class Observer:
    """Watches a run; the base one sees and says nothing."""

    def planned(self, plan: Plan, place: Place) -> None:
        """Take note of what will be done, and where; called once, before anything is written."""

    def entry(self, entry: Entry) -> None:
        """Take note of an event."""

    def tick(self, now: float) -> None:
        """Take note that time has passed; `now` is monotonic seconds."""


class Duty(NamedTuple):
    """What a crew is given to do. `look` and `publish` block: they look into the place."""

    job: Job
    plan: Plan
    settings: Settings
    limits: PhaseLimits
    epoch: int
    place: Place
    journal: Journal
    feed: Feed
    tick: Callable[[float], None]  # with monotonic seconds, a few times a second
    look: Callable[[], None]  # raises if the run was cancelled; as often, by any thread
    publish: Callable[[], None]
    can_be_asked: Callable[[str], object]  # told where, `HOST:PORT`
    earlier: Replay | None  # what processes before this one have done
    again: Collection[Receipt]  # what is done once more of it


class Crew(Protocol):
    """Who does the tasks of a run: task processes of this machine, or workers of others."""

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most memory that it has used at once; None: nobody knows."""

    @property
    def limits(self) -> PhaseLimits:
        """How often and how long such a crew tries things."""

    def begin(self, plan: Plan, place: Place, epoch: int) -> None:
        """Get ready to work on the run."""

    def settle(
        self, plan: Plan, feed: Feed, tick: Callable[[float], None], deadline: float | None
    ) -> Plan:
        """Return the plan with the boundaries of its parts, with --sort.

        Raises:
            PymrError: the sample cannot be mapped.
        """

    def work(self, duty: Duty) -> None:
        """Do what is left, and return when it is published.

        Raises:
            PymrError: what the core aborted with, or what befell the crew.
        """

    def close(self) -> None:
        """Stop working: nobody writes any more. May be called twice."""


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
        self._can_be_asked: Callable[[str], object] = str  # nobody listens yet
        self._is_replay = is_replay
        self.is_resumable = earlier is not None  # all that a later process needs is durable
        self._plan = plan
        self._settings = settings
        self._output = output
        self._place = output.place
        self._mark = CancelMark(output.place, plan.spec.run)
        self._started = started  # when the run began, Unix seconds
        self._earlier = earlier
        self._epoch = earlier.replay.epoch + 1 if earlier else 1
        self._manifest: Manifest | None = None
        self._job: Job | None = None

    def run(
        self,
        crew: Crew,
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
        crew.begin(self._plan, self._place, self._epoch)
        seq = last_seq(self._place.read_history_end(run)) + 1
        with (
            self._place.life_signs(run, self._epoch) as self._can_be_asked,
            self._place.history(run, thin) as history,
        ):
            feed = Feed([JsonLines(history.append), observer.entry], time.time, seq)
            try:
                if self._plan.sample is not None:  # What is settled by it is journalled.

                    def tick(now: float) -> None:
                        observer.tick(now)
                        self._mark.look()

                    self._plan = crew.settle(self._plan, feed, tick, deadline)
                head = head_of(self._plan) if head_of is not None else []
                self._execute(crew, feed, observer.tick, deadline, head)
            except BaseException as error:
                if self._manifest is not None and isinstance(
                    error, KeyboardInterrupt
                ):  # It came too late.
                    feed.append(events.RunFinished())
                    return self._manifest
                crew.close()
                if not isinstance(error, DeposedError):  # Else the run is another process's.
                    self._fail(error, feed)
                raise
            assert self._manifest is not None, "a job that is done was published"
            return self._manifest

    def _execute(
        self,
        crew: Crew,
        feed: Feed,
        tick: Callable[[float], None],
        deadline: float | None,
        head: list[bytes],
    ) -> None:
        plan = self._plan
        limits = self._limits(crew)
        self._job = Job(plan.spec, plan.inputs, plan.tasks, limits, deadline=deadline)
        with closing(self._open_journal()) as journal:
            begun = self._begun()
            for record in head or [encode(begun)]:
                journal.append(record)
            journal.sync()
            self.is_resumable = True
            feed.append(begun)
            for warning in plan.warnings:
                feed.append(events.Warned(warning))
            earlier = self._earlier.replay if self._earlier is not None else None
            if earlier is not None:
                self._tidy()
            duty = Duty(
                job=self._job,
                plan=plan,
                settings=self._settings,
                limits=limits,
                epoch=self._epoch,
                place=self._place,
                journal=journal,
                feed=feed,
                tick=tick,
                look=self._mark.look,
                publish=partial(self._publish, crew, feed, journal),
                can_be_asked=self._can_be_asked,
                earlier=earlier,
                again=() if earlier is None else self._outdated(earlier),
            )
            try:
                crew.work(duty)
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
        planned = planned_of(self._plan, self._started)
        if self._earlier is None:
            return planned
        return resumed_of(planned, self._epoch, is_replay=self._is_replay)

    def _fail(self, error: BaseException, feed: Feed) -> None:
        """Record how the run ended, and drop data that nothing will read."""
        if isinstance(error, KeyboardInterrupt):
            error = interruption(error)
        if isinstance(error, PymrError):
            if self._place.folder is not None and self._plan.spec.run not in self._place.runs():
                error.fields["is_gone"] = True  # Somebody has removed the output.
            feed.append(events.RunFinished(errors.to_dict(error)))
        if is_out_of_reach(error, self._place):
            remove_folder(self._tmp())  # The rest would be waited for once more.
        else:
            self._tidy()

    def _tidy(self) -> None:
        """Remove what attempts left that are not committed, and their spills.

        Where no lock keeps other lives of the run out, one of them may be about to commit it: there
        it stays until a manifest says what the result is, or until it is collected.
        """
        failpoint.hit("run.tidy")
        store, run = self._output.store, self._plan.spec.run
        is_alone = self._place.folder is not None or self._manifest is not None
        with suppress(PymrError):  # It takes space only.
            if self._mark.is_there():
                remove_attempts(store, run)
            elif is_alone:
                remove_attempts(store, run, but=committed_keys(self._place, run))
        remove_folder(self._tmp())

    def _limits(self, crew: Crew) -> PhaseLimits:
        return msgspec.structs.replace(
            crew.limits,
            attempts_max=self._settings.attempts,
            attempt_first=attempt_first(self._epoch),
        )

    def _tmp(self) -> str:
        """Return the folder of spills."""
        return spill_folder(self._place, self._plan.spec.run, self._settings)

    def _publish(self, crew: Crew, feed: Feed, journal: Journal) -> None:
        assert self._job is not None, "only a job that ran is published"
        crew.close()  # It is done, and the manifest of many tasks takes memory.
        if self._place.folder is None:  # No lock keeps another process of the run away.
            journal.sync()
            journal.look()  # Whoever was deposed would remove what the other still reads.
        previous = self._output.previous
        manifest = build_manifest(
            self._plan,
            self._job,
            epoch=self._epoch,
            created=self._started,
            finished=time.time(),
            replaces=previous.run if previous else None,
            memory_peak_bytes=crew.memory_peak_bytes,
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
