"""Attempts that make no progress: noticed by this clock, interrupted, killed in the end.

    at work ──--task-timeout without progress──► interrupted ──its report, or HANG_GRACE_S──► over

It is an error of user code: the second one of a task ends the run. What an attempt has done by
then does not count, even if it says that it is finished: it may have caught the interruption.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymr.core.spec import Attempt
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
    """When attempts last made progress; without a timeout nothing is watched."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._last: dict[Attempt, float] = {}
        self._interrupted: dict[Attempt, float] = {}
        self._heard: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether attempts are watched, and must tell of every call."""
        return self._timeout_s is not None

    def progressed(self, attempt: Attempt, now: float) -> None:
        """Take note that an attempt has begun, or come further."""
        self._last[attempt] = now

    def ended(self, attempt: Attempt) -> bool:
        """Forget an attempt; return whether it was interrupted."""
        self._last.pop(attempt, None)
        return self._interrupted.pop(attempt, None) is not None

    def look(self, processes: Iterable[TaskProcess], now: float) -> None:
        """Interrupt what hangs, and kill what does not hear; call it a few times a second."""
        if self._timeout_s is None:
            return
        deaf_s = now - (self._heard or now)
        self._heard = now
        if deaf_s > DEAF_S:
            self._last = {attempt: last + deaf_s for attempt, last in self._last.items()}
        for process in processes:
            attempt = process.attempt
            if attempt is None:
                continue
            if attempt in self._interrupted:
                if now - self._interrupted[attempt] >= HANG_GRACE_S:
                    process.kill()
            elif now - self._last.get(attempt, now) >= self._timeout_s:
                self._interrupted[attempt] = now
                process.interrupt()

    def error(self, attempt: Attempt, run: str, reported: dict[str, Any] | None) -> dict[str, Any]:
        """Return the error of an attempt that hung; `reported` is what came of it, if anything."""
        fields = reported["fields"] if reported else {}
        function = fields.get("function") or attempt
        error = UserCodeError(
            f"{function} made no progress within {self._timeout_s:g} s, which is --task-timeout",
            hint=f"pymr debug {run} {attempt} --trace   shows what it does;"
            " if it only takes long: a longer --task-timeout",
            **{name: fields[name] for name in (*_PLACE, "prints") if name in fields},
        )
        return to_dict(error)
