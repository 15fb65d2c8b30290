"""A run that this command works on: shown while it goes, and how it ended.

Events go to stdout under `--json`, everything for people to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from types import FrameType

import click

from pymr.cli.failure import fail, unforeseen_error
from pymr.config import Settings
from pymr.core.events import Entry
from pymr.errors import PymrError
from pymr.observe.failure import render_end_at_once  # here: a signal may come while one imports
from pymr.observe.feed import JsonLines, refused
from pymr.observe.progress import ProgressView
from pymr.runner.life import Observer, interruption
from pymr.runner.plan import Plan
from pymr.runner.process import adopt_orphans, kill_all
from pymr.store.place import Place
from pymr.task.manifest import Manifest

ROWS_SHOWN = 3
SHOW_CURSOR = "\x1b[?25h"  # DECTCEM: rich hides it while it draws
EXIT_OF_SIGNAL = 128  # and its number, as a shell has it


class View(Observer):
    """Shows a run to whoever started or resumed it."""

    def __init__(self, settings: Settings, *, tells_events: bool = True) -> None:
        """`tells_events`: under `--json`; else only what stops the command before any run."""
        self._settings = settings
        self._tells_events = tells_events
        self._plan: Plan | None = None
        self._place: Place | None = None
        self._last_seq = 0
        self._progress = ProgressView(
            sys.stderr,
            is_terminal=sys.stderr.isatty(),
            quiet=settings.quiet,
            verbose=settings.verbose,
        )
        self._json = JsonLines(sys.stdout.buffer.write) if settings.json else None

    def runs_on(self, place: str) -> None:
        """Say where tasks run, as far as it is known before any event: see `Snapshot.on`."""
        self._progress.snapshot.on = place

    def planned(self, plan: Plan, place: Place) -> None:
        """Take note of the name and the output, and say what may go wrong."""
        self._plan, self._place = plan, place
        self._progress.show_plan(plan.shown_output, plan.alerts)

    def entry(self, entry: Entry) -> None:
        """Show what happened."""
        self._last_seq = entry.seq
        if self._json is not None and self._tells_events:
            self._write_json(self._json, entry)
        self._progress.entry(entry)

    def _write_json(self, write: JsonLines, entry: Entry) -> None:
        try:
            write(entry)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # Who reads has seen enough; the result is still wanted.
            self._json = None
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def tick(self, now: float) -> None:
        """Show how the run goes, if it is time."""
        self._progress.tick(now)

    @property
    def has_plan(self) -> bool:
        """Whether a run was planned, or taken on again, as far as this view was told."""
        return self._plan is not None

    def show(self, work: Callable[[], Manifest | None], *, adopts: bool = True) -> int:
        """Do `work`, a run, while signals stop it; show how it ended and return the exit code.

        None: there was nothing to do, and that was said. Where `work` starts programs of its own
        nothing is adopted: those would be taken for what user code has left.
        """
        _Stop(self._last_words).listen()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Ignored, it hides how a process ended.
        if adopts:
            adopt_orphans()
        try:
            manifest = work()
        except KeyboardInterrupt as error:
            return self._fail(interruption(error))
        except PymrError as error:
            return self._fail(error)
        except Exception as error:  # noqa: BLE001 - what nothing foresaw is a bug with a report
            return self._fail(unforeseen_error(error))
        if manifest is not None:
            with suppress(KeyboardInterrupt):  # It comes too late.
                self._succeed(manifest)
        return 0

    def _fail(self, error: PymrError) -> int:
        """Show why the run failed and return the exit code."""
        self._progress.close()
        name = self._plan.spec.name if self._plan else None
        is_told = self._tells_events and self._progress.snapshot.finished is not None
        if self._json is not None and not is_told:  # No event has said so.
            self._write_json(self._json, refused(error, time.time(), after=self._last_seq))
        verbose = self._settings.verbose
        return fail(error, name=name, snapshot=self._progress.snapshot, verbose=verbose)

    def _last_words(self) -> str:
        """Return what is said of a run that is not waited for any more."""
        name = self._plan.spec.name if self._plan else None
        return render_end_at_once(self._progress.snapshot, name)

    def _succeed(self, manifest: Manifest) -> None:
        """Show what came out."""
        from pymr.observe.summary import render_success
        from pymr.runner.result import Result

        self._progress.close()
        assert self._plan is not None, "a run that is done was planned"
        assert self._place is not None, "a run that is done was planned"
        if self._settings.quiet:
            return
        summary = render_success(
            manifest,
            self._progress.snapshot,
            output=self._plan.shown_output,
            first_rows=list(islice(Result(self._place).first_part_rows(), ROWS_SHOWN)),
        )
        with suppress(OSError):  # The result is there, whoever can be told of it.
            click.echo(summary, err=True)


class _Stop:
    """Stops the run: at the first signal in good order, at the second at once."""

    def __init__(self, last_words: Callable[[], str]) -> None:
        self._last_words = last_words
        self._is_asked = False

    def listen(self) -> None:
        """Wait for the signals that end a run, but for those that are ignored (`nohup`)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._is_asked:
            kill_all()
            signal.signal(number, signal.SIG_DFL)  # A third one does not wait for who reads this.
            before = f"\n{SHOW_CURSOR}" if sys.stderr.isatty() else ""  # below what shows progress
            with suppress(OSError):
                os.write(2, f"{before}{self._last_words()}\n".encode(errors="replace"))
            os._exit(EXIT_OF_SIGNAL + number)
        self._is_asked = True
        raise KeyboardInterrupt(signal.Signals(number).name)
