"""Errors of user code name the user's lines and the record, and nothing of ours."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from pymr.errors import PymrError, ResourceError, TaskMemoryError, UserCodeError
from pymr.shuffle.partition import partition_by
from pymr.shuffle.values import GroupValues
from pymr.task.blame import (
    FRAMES_MAX,
    MESSAGE_CHARACTERS_MAX,
    find_bad_record,
    show_record,
    user_error,
    user_frames,
)
from pymr.task.call import emit_all

HERE = __file__


GROUP: Any = GroupValues([])
LIST_FIRST = "values is an iterator: values = list(values) first, or sum(1 for _ in values)"


def raised(call: Callable[[], object]) -> BaseException:
    """Return what `call` raises, with its traceback."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - anything may come
        return error
    raise AssertionError("it raised nothing")


def blamed(call: Callable[[], object]) -> PymrError:
    return user_error(raised(call), "mapper")


def fail(error: BaseException) -> None:
    raise error


def test_an_exception_becomes_an_error_of_user_code() -> None:
    """Function, type and text; the class is never tried again."""
    error = user_error(raised(lambda: fail(KeyError("ts"))), "mapper", input="in.txt", offset=7)

    assert isinstance(error, UserCodeError)
    assert error.message == "mapper raised KeyError: 'ts'"
    assert not error.retryable
    expected = {"function": "mapper", "error_type": "KeyError", "error_text": "'ts'"}
    assert error.fields.items() >= {**expected, "input": "in.txt", "offset": 7}.items()


def test_a_memory_error_is_none_of_the_users_faults_alone() -> None:
    """It keeps the user's line, and is an error of its own class."""
    error = blamed(lambda: bytes(1 << 60))

    assert isinstance(error, TaskMemoryError)
    assert error.message == "mapper raised MemoryError"
    assert error.fields["frames"][-1]["file"] == HERE


def test_frames_are_the_users_own() -> None:
    """Ours and the standard library's are left out; file, line, function and source are told."""

    def pairs() -> object:
        raise ValueError
        yield

    error = raised(lambda: emit_all(print, pairs(), "mapper"))
    frames = user_frames(error.__traceback__)

    assert {frame["file"] for frame in frames} == {HERE}
    assert [frame["function"] for frame in frames] == ["raised", "<lambda>", "pairs"]
    assert frames[-1]["source"] == "        raise ValueError"
    assert frames[-1]["line"] == pairs.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: json.loads("{"),
        lambda: os.fspath(3),
        lambda: click.IntRange(1).convert("x", None, None),
        lambda: functools.reduce(lambda _a, _b: fail(OSError()), [1, 2]),
    ],
)
def test_frames_of_libraries_are_left_out(call: Callable[[], object]) -> None:
    """The last line shown is the user's call, not where a library noticed."""
    frames = user_frames(raised(call).__traceback__)

    assert frames != []
    assert {frame["file"] for frame in frames} == {HERE}


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_installed_code_is_not_the_users(tmp_path: Path, folder: str) -> None:
    """Wherever a distribution installs it."""
    path = tmp_path / folder / "lib.py"
    namespace: dict[str, Callable[[], None]] = {}
    exec(compile("def f():\n    raise ValueError\n", path, "exec"), namespace)

    frames = user_frames(raised(namespace["f"]).__traceback__)

    assert [frame["function"] for frame in frames] == ["raised"]


def test_code_without_a_file_has_no_source() -> None:
    """`exec` and a notebook's cell that is gone still have a line."""
    namespace: dict[str, Callable[[], None]] = {}
    exec(compile("def f():\n    raise ValueError\n", "<cell 3>", "exec"), namespace)

    frame = user_frames(raised(namespace["f"]).__traceback__)[-1]

    assert frame == {"file": "<cell 3>", "line": 2, "function": "f", "source": ""}


def test_a_recursion_error_shows_both_ends() -> None:
    """Of a thousand frames the first two and the last two."""

    def deeper(number: int) -> int:
        return deeper(number + 1)

    error = blamed(lambda: deeper(0))

    assert error.message.startswith("mapper raised RecursionError: maximum recursion depth")
    assert [frame["function"] for frame in error.fields["frames"]] == [
        "raised",
        "<lambda>",
        "deeper",
        "deeper",
    ]


@pytest.mark.parametrize("depth", [FRAMES_MAX - 3, FRAMES_MAX - 2])
def test_frames_are_whole_up_to_the_limit(depth: int) -> None:
    """One more and the middle is left out."""

    def deeper(left: int) -> int:
        return deeper(left - 1) if left else 1 // 0

    frames = user_frames(raised(lambda: deeper(depth)).__traceback__)

    assert len(frames) == (FRAMES_MAX if depth == FRAMES_MAX - 3 else 4)


class Mute(Exception):  # noqa: N818 - an error as users write them
    def __str__(self) -> str:
        raise ZeroDivisionError


class Hinting(Exception):  # noqa: N818 - an error as users write them
    def __init__(self, hint: object) -> None:
        super().__init__("no")
        self.hint = hint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Mute(), "mapper raised Mute: (its __str__ raised ZeroDivisionError)"),
        (ValueError(), "mapper raised ValueError"),
        (ValueError("bad \udc80 text"), r"mapper raised ValueError: bad \udc80 text"),
        (SystemExit(3), "mapper raised SystemExit: 3"),
        (KeyboardInterrupt(), "mapper raised KeyboardInterrupt"),
    ],
)
def test_the_text_of_any_exception(error: BaseException, message: str) -> None:
    """Also of one that can not be shown, says nothing, or is no Unicode."""
    assert blamed(lambda: fail(error)).message == message


def test_a_long_text_is_cut() -> None:
    """A record that is quoted whole in a message may be a gigabyte."""
    error = blamed(lambda: fail(ValueError("x" * 1_000_000)))

    assert len(error.message) == len("mapper raised ValueError: ") + MESSAGE_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: sum(["1"]), "the values are str: emit numbers, for instance ctx.emit(key, 1)"),
        (lambda: len(GROUP), LIST_FIRST),
        (lambda: GROUP[0], LIST_FIRST),
        (lambda: fail(TypeError("other")), None),
        (lambda: fail(SystemExit()), "raise an ordinary exception instead of SystemExit"),
        (lambda: fail(Hinting("try this")), "try this"),
        (lambda: fail(Hinting({3})), None),
    ],
)
def test_hints(call: Callable[[], object], hint: str | None) -> None:
    """For the three mistakes that everybody makes, and what an error brings itself."""
    assert blamed(call).hint == hint


def test_an_error_of_ours_that_went_through_user_code_is_not_the_users() -> None:
    """No space left while `emit` spilled: the same error goes on, still worth a retry."""
    error = ResourceError("no space")

    assert user_error(error, "mapper", offset=3) is error
    assert "offset" not in error.fields


def test_a_wrong_return_value_is_blamed_on_the_definition() -> None:
    """No line of the user's was running; where the function begins stands in."""

    def mapper(_ctx: object, _chunk: object) -> object:
        return 7

    try:
        emit_all(print, 7, "mapper")
    except TypeError as error:
        error.__traceback__ = error.__traceback__.tb_next  # this frame is no user's
        fields = user_error(error, "mapper", mapper).fields
        without = user_error(error, "mapper", print).fields

    line = mapper.__code__.co_firstlineno
    assert [(f["file"], f["line"], f["function"]) for f in fields["frames"]] == [
        (HERE, line, "mapper")
    ]
    assert "def mapper" in fields["frames"][0]["source"]
    assert without["frames"] == []


# -- the record --------------------------------------------------------------------------------


RECORDS = [(0, "1\n"), (2, "2\n"), (4, "x\n"), (6, ""), (6, "y\n")]


def test_the_first_record_that_raises_the_same_is_found() -> None:
    """Fed one by one, in order, and not beyond it."""
    fed: list[str | bytes] = []

    def call(record: str | bytes) -> None:
        fed.append(record)
        int(record)

    assert find_bad_record(call, RECORDS, ValueError()) == (4, "x\n")
    assert fed == ["1\n", "2\n", "x\n"]


def test_an_error_of_another_type_is_passed_over() -> None:
    """It is not what is looked for; a subclass is another type."""
    kinds = iter([UnicodeError, KeyError, None, SystemExit, ValueError])

    def call(_record: str | bytes) -> None:
        kind = next(kinds)
        if kind is not None:
            raise kind

    assert find_bad_record(call, RECORDS, ValueError()) == (6, "y\n")


def test_an_error_that_needs_several_records_has_no_place() -> None:
    """No line alone raises it; the chunk stays the place."""
    assert find_bad_record(lambda _record: None, RECORDS, ValueError()) is None


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ("a b\tc\r\n", r"a b\tc"),
        (b"\xff\x1b[31m\n", r"\xff\x1b[31m"),
        ("é\ud800", r"é\\ud800"),
        ("x" * 201, "x" * 200 + "…"),
        ("x" * 200 + "\n", "x" * 200),
        (b"x" * 201, "x" * 200 + "…"),
        ("", ""),
    ],
)
def test_a_record_is_shown_escaped_and_cut(record: str | bytes, shown: str) -> None:
    """Nothing in it can write to a terminal, and it fits a line."""
    assert show_record(record) == shown


def test_what_a_partitioner_returned_is_blamed_on_it() -> None:
    """It has returned: the only line that is at work is that of `emit`."""

    def first(_key: object, _partitions: int) -> int:
        return 9

    error = user_error(raised(lambda: partition_by(first, 2, "a")), "mapper", offset=7)

    assert error.message == (
        "partitioner raised ValueError: partitioner returned 9, expected an int from 0 to 1"
    )
    assert [frame["function"] for frame in error.fields["frames"]][-1] == "first"
    assert error.fields["function"] == "partitioner"
    assert error.fields["offset"] == 7
