"""The last border: errors become text and exit codes here, and nowhere else."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from pymr import errors
from pymr.errors import InternalError, PymrError, ResourceError
from pymr.store.disk import FULL
from pymr.text_form import show_path, show_text

if TYPE_CHECKING:
    from pymr.observe.snapshot import Snapshot

SIGNAL_EXIT_CODES = {"SIGTERM": 143, "SIGHUP": 129}  # 128 + its number, as in a shell


def fail(
    error: PymrError,
    *,
    name: str | None = None,
    snapshot: Snapshot | None = None,
    verbose: bool = False,
) -> int:
    """Print `error` on stderr, at most 15 lines, and return its exit code.

    With `verbose` PyMR's own traceback goes before it.
    """
    from pymr.observe.failure import render_failure, render_prints

    _leave_word(error)
    if verbose:
        click.echo(error.fields.get("traceback") or _traceback_of(error), err=True)
    if isinstance(error, InternalError):
        error = _with_report(error)
    with suppress(OSError):  # Nobody reads it, or its disk is full: the code still tells.
        click.echo(render_prints(error, name) + render_failure(error, snapshot, name), err=True)
    return exit_code_of(error)


def _leave_word(error: PymrError) -> None:
    """Tell whoever started this command where END_FILE says, such as the kubelet of a pod."""
    from pymr.observe.feed import END_FILE, last_word

    if (path := os.environ.get(END_FILE)) is not None:
        with suppress(OSError), open(path, "wb") as file:
            file.write(last_word(error, time.time()))


def exit_code_of(error: PymrError) -> int:
    """Return the exit code of a command that failed with `error`."""
    return SIGNAL_EXIT_CODES.get(str(error.fields.get("signal")), error.exit_code)


def usage_error(error: click.UsageError, command: str) -> int:
    """Print what is wrong with a command line, and how to learn more; return 2.

    `command` is what was called, where the error itself does not know.
    """
    command = error.ctx.command_path if error.ctx else command
    click.echo(f"✗ {show_text(_usage_message(error))}", err=True)
    if error.ctx is not None:
        click.echo(f"  {error.ctx.command.get_usage(error.ctx)}", err=True)
    click.echo(f"  hint: {_usage_hint(error)}{command} --help", err=True)
    return 2


def _usage_hint(error: click.UsageError) -> str:
    """Return what to say to who has typed an input in the place of the worker file."""
    given = {} if error.ctx is None else error.ctx.params
    if "unexpected extra argument" not in error.message or given.get("inputs") != ():
        return ""
    return f"--input {show_text(shlex.quote(given['worker']))}   if that is an input; "


def _usage_message(error: click.UsageError) -> str:
    """Return what click has to say, in the style of our own messages."""
    if isinstance(error, click.MissingParameter) and error.param is not None:
        is_flag = isinstance(error.param, click.Option)
        name = error.param.opts[0] if is_flag else error.param.human_readable_name
        return f"no {name} given"
    if isinstance(error, click.NoSuchOption):
        near = " or ".join(f"`{name}`" for name in error.possibilities or ())
        question = f", did you mean {near}?" if near else ""
        return f"no such option: `{error.option_name}`{question}"
    text = re.sub("'([^']*)'", r"`\1`", error.format_message())
    return (text[:1].lower() + text[1:]).rstrip(".")


def unforeseen_error(error: BaseException) -> PymrError:
    """Return an exception that nothing foresaw as what it is: a full disk, or a bug of ours."""
    if isinstance(error, OSError) and error.errno in FULL:
        place = f"`{show_path(error.filename)}`" if error.filename else "standard output"
        return ResourceError(f"cannot write to {place}: {error.strerror}", hint="df -h")
    text = _traceback_of(error)
    return InternalError(f"{type(error).__name__}: {error}", traceback=text)


def _traceback_of(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _with_report(error: InternalError) -> InternalError:
    """Write what a report of the bug needs into a file, and name it in the hint."""
    import tempfile
    from pathlib import Path

    from pymr.cli.version import version_lines

    report = Path(tempfile.gettempdir()) / f"pymr-report-{os.getpid()}-{int(time.time())}.txt"
    body = [
        error.message,
        *version_lines(),
        " ".join(sys.argv),
        str(error.fields.get("traceback", "")),
    ]
    try:
        report.write_text("\n".join(body) + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError:
        return error
    reported = errors.from_dict(errors.to_dict(error))
    reported.hint = f"this is a bug of PyMR; please report it with {report}"
    assert isinstance(reported, InternalError)
    return reported
