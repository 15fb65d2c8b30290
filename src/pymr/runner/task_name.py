"""A task as a user names it: `map-0017`, or `map 17`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pymr.core.replay import TaskName
from pymr.core.spec import PhaseName
from pymr.errors import ConfigError
from pymr.text_form import show_path

_TASK: Final = re.compile(r"(map|reduce)[- ]?0*([0-9]{1,9})", re.ASCII)


def task_named(text: str, counts: Mapping[PhaseName, int] | None, hint: str) -> TaskName:
    """Return the task that `text` names; `counts` are the tasks of each phase, None: nobody knows.

    Raises:
        ConfigError: it is no name of a task, or the run has no such task.
    """
    match = _TASK.fullmatch(text)
    if match is not None:
        phase: PhaseName = "map" if match[1] == "map" else "reduce"
        if counts is None or int(match[2]) < counts[phase]:
            return phase, int(match[2])
    expected = "such as map-0017"
    if counts is not None:
        there = [_span(phase, n) for phase, n in counts.items() if n]
        expected = " or ".join(there)
    raise ConfigError(f"no task `{show_path(text)}`, expected {expected}", hint=hint)


def _span(phase: PhaseName, count: int) -> str:
    first = f"{phase}-0000"
    return first if count == 1 else f"{first} to {phase}-{count - 1:04d}"
