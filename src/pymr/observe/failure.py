"""A failure in words: what, where, the record that caused it, and what to do. Pure.

    ✗ wc-7f3a failed: mapper raised ValueError in map-0017
        worker.py:12 in mapper
        ▸ 12 │     ctx.emit(user, int(amount))
        ValueError: invalid literal for int() with base 10: 'n/a'
      record  logs/19.gz  line 48213 (byte 3901127):  "u881,checkout,n/a"
      61 of 64 map tasks are finished and kept
      hint: fix worker.py:12, then   pymr resume wc-7f3a

At most 15 lines; every text of the user is escaped and cut. What its process printed last is
evidence, and stands before it: `render_prints`.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterator
from typing import Any

from pymr.errors import (
    BadRecordsError,
    DeposedError,
    InterruptedRunError,
    PymrError,
    TaskLostError,
    UserCodeError,
)
from pymr.observe.quantity import show_kept, show_many
from pymr.observe.snapshot import Snapshot
from pymr.text_form import show_text

LINES_MAX = 15
FRAMES_SHOWN_MAX = 4
TEXT_CHARS_MAX = 400  # of a message
SOURCE_CHARS_MAX = 120
EXAMPLE_LINES_MAX = 11  # a whole small worker; with the message and a hint still under 15

_SILENT = {signal.SIGKILL, signal.SIGTERM}  # end a process that cannot say where it was


def render_failure(
    error: PymrError, snapshot: Snapshot | None = None, name: str | None = None
) -> str:
    """Return what to print on stderr for `error`, without a newline at its end.

    `name` is the run's, if it has one; `snapshot` what is known about how far it came.
    """
    lines = [
        *_headline(error, snapshot, name),
        *_frames(error),
        *_error_text(error),
        *_place(error),
        *_progress(error, snapshot),
    ]
    hint = error.hint or next_step(error, snapshot)
    last = [f"  hint: {_clean(hint)}"] if hint else []
    return "\n".join([*lines[: LINES_MAX - len(last)], *last])


def render_prints(error: PymrError, name: str | None = None) -> str:
    """Return what user code printed last before `error`, with a newline at its end if any.

    `name` is the run's, if it has one.
    """
    lines = error.fields.get("prints") or []
    if not lines:
        return ""
    rest = f", of what pymr logs {_clean(name)} shows" if name is not None else ""
    return "".join(
        f"{line}\n" for line in [f"last printed{rest}:", *(f"  {_clean(line)}" for line in lines)]
    )


def render_end_at_once(snapshot: Snapshot, name: str | None) -> str:
    """Return what to print for a command that a second signal ends, without a newline at its end.

    `name` is the run's, if it has one.
    """
    if name is None:
        return "✗ ended at once, before the run had begun"
    name = _clean(name)
    if snapshot.on == "kubernetes":
        return (
            f"✗ {name}: ended at once; its pods may go on\n"
            f"  hint: pymr attach {name}   follows them, pymr cancel {name}   ends them"
        )
    kept = f"✗ {name}: ended at once; what is finished is kept"
    return f"{kept}\n  hint: pymr {_verb(snapshot)} {name}"


def _headline(error: PymrError, snapshot: Snapshot | None, name: str | None) -> Iterator[str]:
    """Yield the first line, and the further lines of a message that has several."""
    task = _task(error, snapshot)
    message, *more = error.message.split("\n")
    if _is_raised(error):
        message = f"{error.fields.get('function', 'user code')} raised {error.fields['error_type']}"
        more = []  # The rest stands below the frames.
    message = _clean(_from_here(message))
    where = ""
    if task is not None and task not in message:
        where = f" in {task}" if _is_raised(error) else f" ({task})"
    if name is None:
        yield f"✗ {message}{where}"
    elif isinstance(error, InterruptedRunError):
        yield f"✗ {_clean(name)}: {message}"
    else:
        yield f"✗ {_clean(name)} failed: {message}{where}"
    yield from (f"  {_clean(line)}" for line in more)
    for line in str(error.fields.get("example", "")).splitlines()[:EXAMPLE_LINES_MAX]:
        yield f"    {_source(line)}"


def _is_raised(error: PymrError) -> bool:
    """Tell an exception of user code from a contract that its return value broke."""
    return isinstance(error, UserCodeError) and "error_type" in error.fields


def _task(error: PymrError, snapshot: Snapshot | None) -> str | None:
    """Return the task that the error comes from, if one of the last attempts had it."""
    for failed in reversed(snapshot.errors if snapshot is not None else []):
        if type(failed.error) is type(error) and failed.error.message == error.message:
            return str(failed.attempt)
    return None


def _frames(error: PymrError) -> Iterator[str]:
    frames = error.fields.get("frames") or []
    if len(frames) <= FRAMES_SHOWN_MAX:
        for frame in frames:
            yield from _frame(frame)
        return
    yield from _frame(frames[0])
    yield f"    … {show_many(len(frames) - 2, 'frame')} more"
    yield from _frame(frames[-1])


def _frame(frame: dict[str, Any]) -> Iterator[str]:
    line = frame["line"]
    yield f"    {short_path(frame['file'])}:{line} in {_clean(frame['function'])}"
    if frame.get("source"):
        yield f"    ▸ {line} │ {_source(frame['source'])}"


def _from_here(text: str) -> str:
    """Return a message with the paths that lie here as the user would type them."""
    return re.sub(rf"(?<![\w./-]){re.escape(_here())}(?=[^`\s])", "", text)


def short_path(path: str) -> str:
    """Return a path from here if it lies here, as the user would type it."""
    return _clean(path.removeprefix(_here()))


def _here() -> str:
    try:
        return os.getcwd() + os.sep
    except OSError:  # It was removed.
        return "//"


def _error_text(error: PymrError) -> Iterator[str]:
    if _is_raised(error):
        error_type, text = error.fields["error_type"], error.fields.get("error_text")
        yield f"    {_clean(f'{error_type}: {text}' if text else error_type)}"


def _place(error: PymrError) -> Iterator[str]:
    """Yield the record or the key that the error is about. Both are escaped where they arise."""
    fields = error.fields
    if isinstance(error, UserCodeError) and "input" in fields:
        line = f"  line {fields['line']}" if fields.get("line") is not None else ""
        offset = f" (byte {fields['offset']})" if fields.get("offset") is not None else ""
        record = f':  "{_clean(fields["record"])}"' if fields.get("record") is not None else ""
        yield f"  record  {_clean(fields['input'])}{line}{offset}{record}"
    elif isinstance(error, UserCodeError) and fields.get("key") is not None:
        yield f"  key  {_clean(fields['key'])}"
    elif fields.get("work") is not None:
        yield f"  input  {_clean(fields['work'])}"


def _progress(error: PymrError, snapshot: Snapshot | None) -> Iterator[str]:
    """Yield how far the run had come, if it had begun."""
    if snapshot is None or not snapshot.map.tasks or error.fields.get("is_cancelled"):
        return
    name = _clean(snapshot.name)
    if error.fields.get("is_committed"):
        yield f"  pymr head {name} reads the result"
        return
    maps, reduces = snapshot.map, snapshot.reduce
    if error.fields.get("is_gone"):
        yield "  its output was removed meanwhile: nothing of it is kept"
        return
    if snapshot.is_replay:
        yield "  the result is as it was before"
    if not maps.committed:
        yield f"  0 of {show_many(maps.tasks, 'map task')} finished; nothing was published"
        return
    if isinstance(error, DeposedError):
        return  # Another process goes on with it.
    kept = show_kept(maps.committed, maps.tasks, reduces.committed, reduces.tasks)
    is_told = error.hint is None  # The hint will say it.
    yield f"  {kept}{'' if is_told else f'; to go on:   pymr {_verb(snapshot)} {name}'}"


def next_step(error: PymrError, snapshot: Snapshot | None) -> str | None:
    """Return what to do about an error that does not say it itself, if that is known."""
    frames = error.fields.get("frames")
    place = _clean(error.fields.get("first", ""))  # What is to be done before it goes on.
    if isinstance(error, UserCodeError) and frames:
        place = f"fix {short_path(frames[-1]['file'])}:{frames[-1]['line']}"
    if "param" in error.fields:
        return _with_param(error.fields["param"], snapshot)
    is_gone = error.fields.get("is_gone", False)
    if snapshot is None or not snapshot.map.tasks or is_gone:  # Else it had not begun.
        anew = "pymr start   with its arguments" if is_gone else None
        return f"{place} and start again" if place else anew
    if error.fields.get("is_cancelled"):
        return None
    name, verb = _clean(snapshot.name), _verb(snapshot)
    if isinstance(error, BadRecordsError):
        more = f", or with {error.fields['setting']}" if error.fields.get("setting") else ""
        return f"pymr errors {name}   shows them; after a fix   pymr {verb} {name}{more}"
    task = _task(error, snapshot)
    if isinstance(error, TaskLostError) and task is not None:
        trace = " --trace" if -error.fields.get("returncode", 0) in _SILENT else ""
        return f"pymr debug {name} {task}{trace}   shows where it ends; then   pymr {verb} {name}"
    if error.fields.get("is_of_values"):
        place, go_on = "fix what the mapper emits", f"{_anew(snapshot)}   does all tasks again"
    elif place and snapshot.is_by_value:
        go_on = f'pymr.{verb}("{name}", job=job)'
    else:
        go_on = f"pymr {verb} {name}"
    return f"{place}, then   {go_on}" if place else go_on


def _with_param(name: str, snapshot: Snapshot | None) -> str:
    """Return what gives a parameter its value, which no run that goes on can take."""
    flag = f"--set {shlex.quote(_clean(name))}=VALUE"
    if snapshot is None or not snapshot.run:
        return flag
    if snapshot.is_by_value:
        return f'pymr.run(…, params={{"{_clean(name)}": VALUE}}, overwrite=True)'
    return f"pymr start --overwrite {flag}   with its other arguments"


def _anew(snapshot: Snapshot) -> str:
    """Return what does all of a run again, where what it has kept is of no use."""
    if snapshot.is_by_value:
        return "pymr.run(…, overwrite=True)"
    name = _clean(snapshot.name)
    return f"pymr {'start --overwrite' if snapshot.is_replay else f'resume {name} --restart'}"


def _verb(snapshot: Snapshot) -> str:
    """Return the command that takes the run on."""
    return "replay" if snapshot.is_replay else "resume"


def _source(line: str) -> str:
    """Return a line of source with its indentation."""
    text = show_text(line.expandtabs(4))
    return text if len(text) <= SOURCE_CHARS_MAX else text[: SOURCE_CHARS_MAX - 1] + "…"


def _clean(text: object) -> str:
    line = show_text(str(text))
    return line if len(line) <= TEXT_CHARS_MAX else line[: TEXT_CHARS_MAX - 1] + "…"
