"""Reads the stacks that Python's faulthandler has written, of a process that hangs or crashed."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pymr.task.blame import FRAMES_MAX, is_our_file, is_user_file

_THREAD = re.compile(r"(?:Current thread|Thread) 0x[0-9a-f]+")
_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')
# What is no place in a source too: a frame that is just being made or left has a "???" for its
# line, and one that can't be read is a word in brackets (CPython, Python/traceback.c, dump_frame).
_OTHER = re.compile(
    r"  File .*\?\?\?|  Binary file |  <|  \.\.\.$|Current thread's C stack trace|$"
)


class Stacks(NamedTuple):
    """What stood in the prints of a process: where it was, and what else it had printed."""

    frames: list[dict[str, Any]]  # of user code, outermost first; those of the last time
    rest: list[str]


def read_stacks(lines: Iterable[str]) -> Stacks:
    """Return the frames of user code in the thread that runs the attempt, and all other lines."""
    threads: list[list[tuple[str, int, str]]] = []
    rest: list[str] = []
    is_stack = False
    for line in lines:
        if _THREAD.match(line):
            if rest and not rest[-1]:
                rest.pop()
            threads.append([])
            is_stack = True
        elif is_stack and (match := _FRAME.match(line)):
            threads[-1].append((_file_name(match[1]), int(match[2]), match[3]))
        elif not (is_stack and _OTHER.match(line)):
            is_stack = False
            rest.append(line)
    return Stacks(_users(threads), rest)


def _users(threads: list[list[tuple[str, int, str]]]) -> list[dict[str, Any]]:
    for inmost_first in reversed(threads):
        frames = inmost_first[::-1]
        ours = [number for number, (file, _, _) in enumerate(frames) if is_our_file(file)]
        if ours:
            found = [
                {
                    "file": file,
                    "line": line,
                    "function": function,
                    "source": linecache.getline(file, line).rstrip(),
                }
                for file, line, function in frames[ours[0] :]
                if is_user_file(file)
            ]
            return found if len(found) <= FRAMES_MAX else [*found[:2], *found[-2:]]
    return []


def _file_name(text: str) -> str:
    r"""Return a name whose unprintable characters are escaped: `\xe9`."""
    try:
        return text.encode("latin-1").decode("unicode_escape") if "\\" in text else text
    except UnicodeError:
        return text
