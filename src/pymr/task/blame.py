"""Turns an exception of user code into an error that names the user's line and record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from pymr._native import encode_key, xxh3_128
from pymr.api import Builtin
from pymr.errors import PymrError, TaskMemoryError, UserCodeError
from pymr.task.hung import HungError
from pymr.text_form import show_bytes

FRAMES_MAX = 50  # a RecursionError has a thousand
MESSAGE_CHARACTERS_MAX = 2000
RECORD_BYTES_MAX = 200

_PYMR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))


def user_error(
    error: BaseException, function: str, callee: object = None, **where: Any
) -> PymrError:
    """Return `error`, raised while `function` ran, as a UserCodeError with the user's frames.

    A MemoryError is a TaskMemoryError: with more memory the same code may do.

    An error of PyMR itself that went through user code (no space left while `emit` spilled)
    is returned as it is. What was wrong with the return value of `callee` has no frame of the
    user's: its definition stands in; that of a partitioner comes last. A built-in has none: the
    values are at fault (`is_of_values`). Of a parameter that was not set, `param` is the name.
    `where` are fields of the record or key.
    """
    if isinstance(error, PymrError):
        return error
    name = type(error).__name__
    text = message_of(error)
    if isinstance(callee, Builtin):
        where["is_of_values"] = True
    if isinstance(error, KeyError) and isinstance(param := getattr(error, "param", None), str):
        where["param"] = param
    frames = user_frames(error.__traceback__)
    if (partitioner := getattr(error, "returned_by", None)) is not None:
        function, frames = "partitioner", [*frames, *_definition(partitioner)]
    error_class = TaskMemoryError if isinstance(error, MemoryError) else UserCodeError
    return error_class(
        f"{function} raised {name}: {text}" if text else f"{function} raised {name}",
        hint=_hint(error, text),
        function=function,
        error_type=name,
        error_text=text,
        frames=frames or _definition(callee),
        **where,
    )


def key_fields(key: Any) -> dict[str, str]:
    """Return the fields of an error that name a key: its text, cut, and what tells it apart."""
    from pymr.shuffle.values import short_repr  # With its codecs: of no use before an error.

    return {
        "key": short_repr(key),
        "key_digest": xxh3_128(encode_key(key)).to_bytes(16, "big").hex(),
    }


def user_frames(traceback: TracebackType | None) -> list[dict[str, Any]]:
    """Return the frames in the user's own files, outermost first."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_user_file(code.co_filename):
            line = traceback.tb_lineno
            frames.append(
                {
                    "file": code.co_filename,
                    "line": line,
                    "function": code.co_name,
                    "source": _source(code.co_filename, line),
                }
            )
        traceback = traceback.tb_next
    return frames if len(frames) <= FRAMES_MAX else [*frames[:2], *frames[-2:]]


def _definition(callee: object) -> list[dict[str, Any]]:
    code = getattr(callee, "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return []
    file, line = code.co_filename, code.co_firstlineno
    source = _source(file, line)
    return [{"file": file, "line": line, "function": code.co_name, "source": source}]


def _source(file: str, line: int) -> str:
    import linecache

    try:
        return linecache.getline(file, line).rstrip()
    except Exception:  # noqa: BLE001 - it calls what user code may have patched
        return ""


def is_user_file(path: str) -> bool:
    """Say whether a file is neither ours, nor Python's, nor of an installed package."""
    if path.startswith("<frozen") or is_our_file(path):
        return False
    inside = os.path.abspath(path)
    if inside.startswith(_LIBRARY + os.sep):
        return False
    return not any(part.endswith("-packages") for part in inside.split(os.sep))


def is_our_file(path: str) -> bool:
    """Say whether a file is of PyMR itself."""
    return os.path.abspath(path).startswith(_PYMR + os.sep)


def message_of(error: BaseException) -> str:
    """Return the text of an exception, whatever its `__str__` does."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - a user's __str__ may raise anything
        text = f"(its __str__ raised {type(second).__name__})"
    return text[:MESSAGE_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode()


def _hint(error: BaseException, text: str) -> str | None:
    if isinstance(error, TypeError) and "+: 'int' and 'str'" in text:
        return "the values are str: emit numbers, for instance ctx.emit(key, 1)"
    if isinstance(error, TypeError) and "GroupValues'" in text:
        return "values is an iterator: values = list(values) first, or sum(1 for _ in values)"
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return f"raise an ordinary exception instead of {type(error).__name__}"
    hint = getattr(error, "hint", None)
    return hint if isinstance(hint, str) else None


def find_bad_record(
    call: Callable[[str | bytes], object],
    records: Iterable[tuple[int, str | bytes]],
    error: BaseException,
) -> tuple[int, str | bytes] | None:
    """Return the first of `records` on which `call` raises the same type of error.

    `call` must not emit. None: no record alone raises it (the error needs several of them), or
    it would not end.
    """
    if isinstance(error, HungError):
        return None
    for offset, record in records:
        try:
            call(record)
        except BaseException as second:  # noqa: BLE001 - user code may raise anything
            if type(second) is type(error):
                return offset, record
    return None


def show_record(record: str | bytes) -> str:
    """Return the start of a record, escaped, as it stands in an error."""
    if isinstance(record, str):
        record = record[: RECORD_BYTES_MAX + 1].encode("utf-8", "backslashreplace")
    return show_bytes(record.rstrip(b"\r\n"), RECORD_BYTES_MAX)
