"""The slots of one machine: task processes that run attempts, and what becomes of those.

It performs grants and revocations and says what it sees as events of the core. Whoever owns it
knows who decides: the local runner has the core beside it, a worker tells its master.
"""

from __future__ import annotations

import signal
import time
from typing import Any, Protocol

from pymr import errors
from pymr.config.machine import oom_kills
from pymr.core import events
from pymr.core.budget import READ_WRITE_BYTES, TaskMemory
from pymr.core.spec import Attempt, AttemptSpec, JobSpec, MapWork
from pymr.errors import TaskMemoryError
from pymr.runner import hang
from pymr.runner.hang import HangWatch
from pymr.runner.memory import too_much
from pymr.runner.pool import Pool
from pymr.runner.process import TaskProcess
from pymr.store.access import Access
from pymr.store.outage import Said
from pymr.task import channel
from pymr.text_form import show_path

SPLITS_SHOWN = 3

SlotReport = events.Finished | events.Failed | events.MemoryExceeded


class SlotOwner(Protocol):
    """Who is told what happens in the slots."""

    def report(self, event: SlotReport) -> None:
        """Take what an attempt has come to."""

    def lose(
        self, slot: str, attempt: Attempt | None, error: dict[str, Any], *, was_ready: bool
    ) -> None:
        """Take note that a task process is gone, and the attempt that it ran.

        `was_ready` is false for one that had not loaded the code.
        """

    def note(self, event: events.Event) -> None:
        """Take what is for the feed only."""


class Slots:
    """`wanted` task processes, replaced when they end, each of them room for one attempt."""

    def __init__(  # noqa: PLR0913 - keyword-only: the parts that a machine's work is made of
        self,
        owner: SlotOwner,
        pool: Pool,
        *,
        wanted: int,
        spec: JobSpec,
        root: str,
        access: Access,
        memory: TaskMemory,
        hangs: HangWatch,
    ) -> None:
        self.wanted = wanted
        self._owner = owner
        self._pool = pool
        self._spec = spec
        self._root = root
        self._access = access
        self._memory = memory
        self._hangs = hangs
        self._oom_kills = oom_kills()  # that were none of this run, or are dealt with
        self._works: dict[Attempt, AttemptSpec] = {}
        self._outages = Said()

    @property
    def loaded(self) -> int:
        """How many have loaded the code."""
        return sum(process.is_loaded for process in self._pool.processes.values())

    @property
    def idle(self) -> list[str]:
        """The names of the slots that are free."""
        return [process.name for process in self._pool.processes.values() if process.is_idle]

    @property
    def running(self) -> list[Attempt]:
        """What runs."""
        processes = self._pool.processes.values()
        return [process.attempt for process in processes if process.attempt is not None]

    def open(self) -> None:
        """Start the processes that are wanted; those there already are told of the run."""
        while len(self._pool.processes) < self.wanted:
            self._pool.start()
        for process in self._pool.processes.values():
            if process.is_loaded:  # The others are told when they listen.
                self._begin(process)

    def run(self, slot: str, attempt: AttemptSpec, *, alone: bool) -> None:
        """Run an attempt in a slot, which is free; `alone`: it may use the memory of all."""
        memory = self._memory
        process = self._pool.processes[slot]
        self._works[attempt.attempt] = attempt
        self._hangs.progressed(process, time.monotonic())
        process.run(attempt, memory.alone_bytes if alone else memory.beside_bytes)

    def revoke(self, attempt: Attempt) -> None:
        """End the process that runs `attempt`, if one still does; another takes its place."""
        for process in list(self._pool.processes.values()):
            if process.attempt == attempt:
                process.kill()

    def wait(self, timeout_s: float) -> None:
        """Tell the owner what has happened, within `timeout_s`."""
        for process, messages in self._pool.wait(timeout_s):
            self._receive(process, messages)
        for process, attempt in self._pool.too_large:
            self._exceed(process, attempt)

    def look(self, now: float) -> None:
        """Interrupt what hangs, and end what is stuck; call it a few times a second."""
        self._hangs.look(now)
        self._pool.end_stuck(now)

    # -- what processes say --------------------------------------------------------------------

    def _begin(self, process: TaskProcess) -> None:
        process.begin(self._spec, self._root, self._access, is_watched=self._hangs.is_on)

    def _receive(self, process: TaskProcess, messages: list[channel.FromProcess] | None) -> None:
        if process.name not in self._pool.processes:
            return  # Removed while this batch was handled.
        if messages is None:
            self._lose(process)
            return
        for message in messages:
            self._take(process, message)

    def _take(self, process: TaskProcess, message: channel.FromProcess) -> None:
        now = time.monotonic()
        match message:
            case channel.Loaded():
                process.is_loaded = True
                self._begin(process)
            case channel.LoadFailed(error):
                raise errors.from_dict(error)
            case channel.Progressed(attempt, bytes_in, records_in):
                self._hangs.progressed(process, now)
                self._owner.note(events.AttemptProgressed(attempt, bytes_in, records_in))
            case channel.StoreAway():
                self._wait_for(process, message)
            case channel.Finished(receipt, left):
                self._end_attempt(process, receipt.attempt, left)
                if not self._has_hung(process, receipt.attempt, None):
                    self._owner.report(events.Finished(receipt.attempt, receipt, now))
            case channel.Failed(attempt, error) if error["type"] == TaskMemoryError.__name__:
                self._exceed(process, attempt, f": {error['message']}; it", **error["fields"])
            case channel.Failed(attempt, error, retryable, signature, left):
                self._end_attempt(process, attempt, left)
                if not self._has_hung(process, attempt, error):
                    self._owner.report(events.Failed(attempt, error, retryable, signature, now))

    def _wait_for(self, process: TaskProcess, away: channel.StoreAway) -> None:
        """Say that a process waits for a store; its time is not that of the user's code."""
        if process.attempt is not None:
            self._hangs.progressed(process, time.monotonic())
        if (line := self._outages.line(away.store, away.since, time.time(), away.how)) is not None:
            self._owner.note(events.Warned(line, at_once=True))

    def _end_attempt(self, process: TaskProcess, attempt: Attempt, left: channel.Left) -> None:
        """Take note of what an attempt has left; a process that leaks is not used again."""
        process.end_attempt()
        self._works.pop(attempt, None)
        if left.strays:
            self._owner.note(events.StraysEnded(attempt, left.strays))
        grown_bytes = process.grown_bytes(left.private_bytes)
        if grown_bytes > READ_WRITE_BYTES + self._spec.limits.spill_bytes_max:
            self._owner.note(events.ProcessReplaced(process.name, grown_bytes))
            process.kill()

    # -- what goes wrong -----------------------------------------------------------------------

    def _exceed(
        self, process: TaskProcess, attempt: Attempt, how: str = "", **fields: object
    ) -> None:
        """Report that what a process runs takes too much memory; who decides has it ended."""
        error = too_much(attempt, process.used_bytes, process.memory_bytes_max, how)
        told = errors.to_dict(error)
        told["fields"] |= fields
        self._owner.report(events.MemoryExceeded(attempt, told, time.monotonic()))

    def _lose(self, process: TaskProcess) -> None:
        attempt = process.attempt
        lost = self._pool.remove(process)
        error = errors.to_dict(lost)
        if attempt is not None:
            work = self._works.pop(attempt, None)
            error["fields"]["work"] = "" if work is None else _work_of(work)
            was_killed = lost.fields["returncode"] == -signal.SIGKILL
            if was_killed and oom_kills() > self._oom_kills:  # The kernel counts before it kills.
                self._oom_kills += 1
                how = " was ended by the system, which had no memory left; it"
                self._exceed(process, attempt, how)
            else:
                self._has_hung(process, attempt, error)
        self._owner.lose(process.name, attempt, error, was_ready=process.is_loaded)
        if len(self._pool.processes) < self.wanted:
            self._pool.start()

    def _has_hung(
        self, process: TaskProcess, attempt: Attempt, reported: dict[str, Any] | None
    ) -> bool:
        """Report an attempt that was interrupted as hung, and end its process."""
        if not self._hangs.ended(process):
            return False
        debug = f"pymr debug {self._spec.name} {attempt} --trace"
        error = self._hangs.error(str(attempt), reported, debug)
        now = time.monotonic()
        self._owner.report(events.Failed(attempt, error, False, hang.SIGNATURE, now))
        return True


def _work_of(spec: AttemptSpec) -> str:
    """Return what an attempt reads, for people: nobody knows how far it came."""
    work = spec.work
    if not isinstance(work, MapWork):
        return f"partition {work.partition} of all map outputs"
    paths = [show_path(work.inputs[split.input].name) for split in work.splits]
    shown = [
        f"{path} [{split.start}:{split.end}]"
        for path, split in zip(paths[:SPLITS_SHOWN], work.splits, strict=False)
    ]
    more = len(work.splits) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
