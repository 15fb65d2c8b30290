"""Finds what the processes of a run have printed, in the objects beside its journal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pymr import names
from pymr.core.spec import Attempt
from pymr.errors import ConfigError
from pymr.runner.find import FoundRun

_OF_ATTEMPT = re.compile(r"(map|reduce)-(\d{5,})-(\d+)\.log", re.ASCII)
_OF_POD = re.compile(r"pod-(.+)\.log", re.ASCII)
_OF_PROCESS = re.compile(r"(.+-(\d+))-(\d+)\.log", re.ASCII)
_TASK = re.compile(r"(map|reduce)[- ]?0*([0-9]{1,9})", re.ASCII)


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


def logs_of(found: FoundRun, task: str | None = None, number: int | None = None) -> list[LogFile]:
    """Return the logs of a run: processes first, then attempts of map and reduce tasks.

    `task` names one of the latter, such as map-0017; `number` one attempt of it.

    Raises:
        ConfigError: that is no name of a task.
    """
    wanted = None
    if task is not None:
        match = _TASK.fullmatch(task)
        if match is None:
            raise ConfigError(
                f"no task `{task}`, expected such as map-0017", hint=f"pymr logs {found.name}"
            )
        wanted = match[1], int(match[2])
    return [
        log
        for log in sorted(_all(found), key=_order)
        if wanted is None or (log.attempt and (log.attempt.phase, log.attempt.task) == wanted)
        if number is None or (log.attempt and log.attempt.number == number)
    ]


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
