"""Attempts that make no progress: noticed by this clock, interrupted, killed in the end.

    at work ──--task-timeout without progress──► interrupted ──its report, or HANG_GRACE_S──► over

It is an error of user code: the second one of a task ends the run. What an attempt has done by
then does not count, even if it says that it is finished: it may have caught the interruption.
"""

from __future__ import annotations

from typing import Any

from pymr.errors import UserCodeError, to_dict
from pymr.runner.process import TaskProcess

HANG_GRACE_S = 5.0  # for an attempt that was interrupted; then its process is killed
DEAF_S = 2.0  # between looks: nobody can tell of progress to a runner that does not listen
SIGNATURE = "no progress"

# What is known of the call that hangs.
_PLACE = (
    "function",
    "frames",
    "input",
    "offset",
    "line",
    "unit",
    "record",
    "key",
    "key_digest",
    "work",
)


class HangWatch:
    """When task processes that have work last made progress; without a timeout none is watched."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._last: dict[TaskProcess, float] = {}
        self._interrupted: dict[TaskProcess, float] = {}
        self._heard: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether processes are watched, and must tell of every call."""
        return self._timeout_s is not None

    def progressed(self, process: TaskProcess, now: float) -> None:
        """Take note that a process has begun its work, or come further."""
        self._last[process] = now

    def ended(self, process: TaskProcess) -> bool:
        """Take note that its work is over, in whatever way; return whether it hung.

        Then it is killed: who knows what the interruption has left half done.
        """
        self._last.pop(process, None)
        has_hung = self._interrupted.pop(process, None) is not None
        if has_hung:
            process.kill()
        return has_hung

    def look(self, now: float) -> None:
        """Interrupt what hangs, and kill what does not hear; call it a few times a second."""
        if self._timeout_s is None:
            return
        deaf_s = now - (self._heard or now)
        self._heard = now
        if deaf_s > DEAF_S:
            self._last = {process: last + deaf_s for process, last in self._last.items()}
        for process, last in self._last.items():
            if process in self._interrupted:
                if now - self._interrupted[process] >= HANG_GRACE_S:
                    process.kill()
            elif now - last >= self._timeout_s:
                self._interrupted[process] = now
                process.interrupt()

    def error(self, what: str, reported: dict[str, Any] | None, debug: str = "") -> dict[str, Any]:
        """Return the error of what hung; `reported` is what came of it, if anything.

        `debug` is a command that shows what it does.
        """
        fields = reported["fields"] if reported else {}
        function = fields.get("function") or what
        error = UserCodeError(
            f"{function} made no progress within {self._timeout_s:g} s, which is --task-timeout",
            hint=(f"{debug}   shows what it does; " if debug else "")
            + "if it only takes long: a longer --task-timeout",
            **{name: fields[name] for name in (*_PLACE, "prints") if name in fields},
        )
        return to_dict(error)
