"""A trace of user code: each line as it is executed, and the variables that it changed.

    totals.py:6   user, amount = line.split(",")
                    user = 'bob', amount = 'n/a'
    totals.py:7   ctx.emit(user, int(amount))
                    raises ValueError: invalid literal for int() with base 10: 'n/a'

Only lines in the user's own files are shown.
"""

from __future__ import annotations

import linecache
import os
import reprlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pymr.task.blame import is_user_file, message_of
from pymr.task.context import TaskContext

Write = Callable[[str], object]

_short = reprlib.Repr()  # of a large list it looks at a few items
_short.maxstring = _short.maxother = 80
_show = _short.repr


@contextmanager
def traced(write: Write) -> Iterator[None]:
    """Trace this thread within the block; `write` is given one line at a time."""
    before = sys.gettrace()
    sys.settrace(_Trace(write).begin)
    try:
        yield
    finally:
        sys.settrace(before)


class _Trace:
    def __init__(self, write: Write) -> None:
        self._write = write
        self._seen: dict[int, dict[str, str]] = {}  # frame → its variables

    def begin(self, frame: FrameType, _event: str, _argument: object) -> Any:
        """Decide whether to trace a call that begins."""
        return self.follow if is_user_file(frame.f_code.co_filename) else None

    def follow(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Show what has happened in a frame."""
        self._show_changes(frame)
        match event:
            case "line":
                file, number = frame.f_code.co_filename, frame.f_lineno
                source = linecache.getline(file, number).strip()
                self._write(f"{os.path.basename(file)}:{number}   {source}")
            case "exception":
                error_type, error, _ = argument
                text = message_of(error) if isinstance(error, BaseException) else str(error)
                self._write(f"    raises {error_type.__name__}: {text}")
            case "return":
                if argument is not None:
                    self._write(f"    returns {_show(argument)}")
                self._seen.pop(id(frame), None)
        return self.follow

    def _show_changes(self, frame: FrameType) -> None:
        seen = self._seen.setdefault(id(frame), {})
        now = {
            name: _show(value)
            for name, value in frame.f_locals.items()
            if not isinstance(value, TaskContext)
        }
        changed = [f"{name} = {text}" for name, text in now.items() if seen.get(name) != text]
        self._seen[id(frame)] = now
        if changed:
            self._write(f"    {', '.join(changed)}")
