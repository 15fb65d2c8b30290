"""Stacks that faulthandler has written."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import pymr.task.process
from pymr.runner.stacks import read_stacks

OURS = pymr.task.process.__file__


def printed(worker: Path) -> str:
    return f"""\
printed before
Fatal Python error: Segmentation fault

Thread 0x00007f2ab603ed50 [helper] (most recent call first):
  File "{worker}", line 1 in helper
  File "{threading.__file__}", line 975 in run

Current thread 0x00007fe1b46adb80 (most recent call first):
  File "{ctypes.__file__}", line 519 in string_at
  File "{worker}", line 3 in inner
  File "{worker}", line 1 in mapper
  File "{OURS}", line 47 in main
  File "<string>", line 5 in <module>

Extension modules: msgspec._core (total: 1)
printed after
"""


def test_the_users_frames_are_those_of_the_thread_that_runs_the_attempt(tmp_path: Path) -> None:
    """Outermost first, with their source; all else stays as it was printed."""
    worker = tmp_path / "worker.py"
    worker.write_text("one\ntwo\n  three  \n")

    frames, rest = read_stacks(printed(worker).splitlines())

    assert frames == [
        {"file": str(worker), "line": 1, "function": "mapper", "source": "one"},
        {"file": str(worker), "line": 3, "function": "inner", "source": "  three"},
    ]
    assert rest == [
        "printed before",
        "Fatal Python error: Segmentation fault",
        "Extension modules: msgspec._core (total: 1)",
        "printed after",
    ]


def test_a_frame_that_is_just_being_made_is_left_out(tmp_path: Path) -> None:
    """Its line is not known yet, nor is a frame that can't be read: neither is a print of the user."""
    worker = tmp_path / "worker.py"
    lines = [
        "Current thread 0x1 (most recent call first):",
        f'  File "{worker}", line ??? in <lambda>',
        "  <invalid frame>",
        f'  File "{worker}", line 8 in reducer',
        f'  File "{OURS}", line 47 in main',
        "  File ???, line 5 in ???",
        "printed",
    ]

    frames, rest = read_stacks(lines)

    assert [(frame["line"], frame["function"]) for frame in frames] == [(8, "reducer")]
    assert rest == ["printed"]


def test_a_recursion_has_two_ends(tmp_path: Path) -> None:
    """A thousand frames in between say nothing."""
    line = f'  File "{tmp_path / "worker.py"}", line {{}} in f'
    lines = ["Current thread 0x1 (most recent call first):"]
    lines += [line.format(number) for number in range(99, 0, -1)]

    frames, _ = read_stacks([*lines, f'  File "{OURS}", line 1 in main'])

    assert [frame["line"] for frame in frames] == [1, 2, 98, 99]


def test_what_only_looks_like_a_stack_is_what_was_printed() -> None:
    """Without the head of a thread; and a name may be escaped."""
    lines = ['  File "worker.py", line 7 in mapper', "", "  ..."]
    escaped = ["Thread 0x1 (most recent call first):", r'  File "/caf\xe9/w.py", line 1 in f']

    assert read_stacks(lines) == ([], lines)
    frames, _ = read_stacks([*escaped, f'  File "{OURS}", line 1 in main'])
    assert [frame["file"] for frame in frames] == ["/café/w.py"]
