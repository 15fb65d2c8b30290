"""Finds what the processes of a run have printed, in the objects beside its journal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pymr import names
from pymr.core.events import AttemptStarted, Entry, RunPlanned, RunResumed
from pymr.core.replay import TaskName
from pymr.core.spec import Attempt, PhaseName
from pymr.errors import ConfigError
from pymr.observe.feed import read_entries
from pymr.runner.find import FoundRun
from pymr.runner.task_name import task_named

_OF_ATTEMPT = re.compile(r"(map|reduce)-(\d{5,})-(\d+)\.log", re.ASCII)
_OF_POD = re.compile(r"pod-(.+)\.log", re.ASCII)
_OF_PROCESS = re.compile(r"(.+-(\d+))-(\d+)\.log", re.ASCII)


class LogFile(NamedTuple):
    """What one attempt has printed, or a task process between attempts, or a pod: an object."""

    key: str
    size: int
    attempt: Attempt | None
    worker: str | None  # of a process, with the number of the life it worked in; or a pod
    life: int  # 0: of a pod

    @property
    def title(self) -> str:
        """What it is of, in words."""
        if self.attempt is not None:
            return f"{self.attempt} attempt {self.attempt.number}"
        if self.life == 0:
            return f"pod {self.worker}"
        where = f" of process {self.life}" if self.life > 1 else ""
        return f"{self.worker}{where}, outside of attempts"


def logs_of(
    found: FoundRun, task: TaskName | None = None, number: int | None = None
) -> list[LogFile]:
    """Return the logs of a run: processes first, then attempts of map and reduce tasks.

    With a `task` only those of its attempts; with a `number` those of attempts that have it.
    """
    return [
        log
        for log in sorted(_all(found), key=_order)
        if task is None or (log.attempt and (log.attempt.phase, log.attempt.task) == task)
        if number is None or (log.attempt and log.attempt.number == number)
    ]


def task_of_run(found: FoundRun, text: str) -> TaskName:
    """Return the task of a run that `text` names, as far as its history knows them.

    Raises:
        ConfigError: it has no such task; those that it has are named.
    """
    counts: dict[PhaseName, int] | None = None
    for entry in read_entries(found.place.read_history(found.run)):
        if isinstance(entry.event, RunPlanned | RunResumed):  # It stands near the beginning.
            counts = {"map": entry.event.map_tasks, "reduce": entry.event.spec.reducers}
            break
    return task_named(text, counts, f"pymr logs {found.name}")


def refuse_absent_attempt(
    found: FoundRun, history: list[Entry], task: TaskName | None, number: int
) -> None:
    """Refuse the number of an attempt, of a task or of any, if the history has no such attempt.

    Raises:
        ConfigError: the numbers that there are are named.
    """
    begun = [entry.event.attempt for entry in history if isinstance(entry.event, AttemptStarted)]
    numbers = sorted({a.number for a in begun if task in (None, (a.phase, a.task))})
    if number not in numbers:
        what = "any task" if task is None else str(Attempt(*task, number))
        expected = f"one of {', '.join(map(str, numbers))}" if numbers else "none: none has begun"
        raise ConfigError(
            f"no attempt {number} of {what}, expected {expected}", hint=f"pymr logs {found.name}"
        )


def _all(found: FoundRun) -> Iterator[LogFile]:
    for key, size in found.place.objects.list(names.logs_prefix(found.run)):
        name = key.rpartition("/")[2]
        if match := _OF_ATTEMPT.fullmatch(name):
            phase, task, number = match.groups()
            attempt = Attempt("map" if phase == "map" else "reduce", int(task), int(number))
            yield LogFile(key, size, attempt, None, 1)
        elif match := _OF_POD.fullmatch(name):
            yield LogFile(key, size, None, match[1], 0)
        elif match := _OF_PROCESS.fullmatch(name):
            yield LogFile(key, size, None, match[1], int(match[3]))


def _order(log: LogFile) -> tuple[object, ...]:
    if log.attempt is not None:
        return 1, log.attempt.phase, log.attempt.task, log.attempt.number
    return 0, log.life, len(log.worker or ""), log.worker
