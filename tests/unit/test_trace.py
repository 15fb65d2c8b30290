"""A trace of the user's lines, and the debugger's part of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pymr.errors import PymrError, UserCodeError
from pymr.task.debugger import raised_by_user, users_traceback
from pymr.task.trace import traced


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return what loads a text as a file of the user's; the tracer of the tests comes back."""

    def load(text: str) -> dict[str, Any]:
        path = tmp_path / "job.py"
        path.write_text(text)
        module = ModuleType("job")
        exec(compile(text, str(path), "exec"), module.__dict__)
        return module.__dict__

    before = sys.gettrace()
    yield load
    assert sys.gettrace() is before


def trace_of(call: Callable[[], object]) -> list[str]:
    lines: list[str] = []
    with traced(lines.append):
        try:
            call()
        except ValueError:
            lines.append("it came through")
    return lines


def test_lines_changes_and_results_are_shown(user: Any) -> None:
    """In order; a variable when it is new or other than before."""
    job = user(
        "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n"
    )

    assert trace_of(partial(job["f"], 2)) == [
        "    n = 2",
        "job.py:2   total = 0",
        "    total = 0",
        "job.py:3   for i in range(n):",
        "    i = 0",
        "job.py:4   total += i",
        "job.py:3   for i in range(n):",
        "    i = 1",
        "job.py:4   total += i",
        "    total = 1",
        "job.py:3   for i in range(n):",
        "job.py:5   return total",
        "    returns 1",
    ]


def test_an_exception_is_shown_in_each_frame(user: Any) -> None:
    """And goes on as it was; frames of libraries are not shown."""
    job = user("import json\ndef f(x):\n    return json.loads(x)\n")

    assert trace_of(partial(job["f"], "?")) == [
        "    x = '?'",
        "job.py:3   return json.loads(x)",
        "    raises JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "it came through",
    ]


def test_large_values_are_cut_and_odd_ones_do_no_harm(user: Any) -> None:
    """Of a list the first few items; a `__repr__` that raises is none."""
    job = user(
        "class Odd:\n    def __repr__(self):\n        raise KeyError\n"
        "def f(numbers, odd):\n    pass\n"
    )

    shown = trace_of(partial(job["f"], list(range(10_000)), job["Odd"]()))[0]

    assert "numbers = [0, 1, 2, 3, 4, 5, ...]" in shown
    assert "odd = <Odd instance at" in shown


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - anything may come
        return error
    raise AssertionError("it raised nothing")


def files_of(error: BaseException) -> list[str]:
    names, traceback = [], users_traceback(error)
    while traceback is not None:
        names.append(Path(traceback.tb_frame.f_code.co_filename).name)
        traceback = traceback.tb_next
    return names


def test_a_traceback_begins_with_the_user_and_keeps_libraries(user: Any) -> None:
    """What lies above, in this file, is the user's here too; what is below of a library stays."""
    job = user("import json\ndef f(x):\n    return json.loads(x)\n")

    names = files_of(raised(lambda: job["f"]("?")))

    assert names[-4:] == ["job.py", "__init__.py", "decoder.py", "decoder.py"]


def test_a_traceback_ends_before_ours(user: Any) -> None:
    """What `emit` refuses is raised in PyMR; the user's line is the last that counts."""
    job = user("from pymr.api import Job\ndef f():\n    Job(mapper=1)\n")

    assert files_of(raised(job["f"]))[-1] == "job.py"


def test_an_error_of_ours_is_told_by_its_cause() -> None:
    """As the exception of user code was raised; one without a cause stands for itself."""
    cause, ours = ValueError("x"), UserCodeError("mapper raised ValueError")
    alone = PymrError("y")

    ours.__cause__ = cause

    assert raised_by_user(ours) is cause
    assert raised_by_user(alone) is alone
    assert raised_by_user(cause) is cause
