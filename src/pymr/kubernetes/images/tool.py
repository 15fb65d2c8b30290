"""Calls a program of others (a builder, or what loads images) and says in words what it refused."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pymr.errors import ClusterError
from pymr.text_form import show_text

ANSWER_S: Final = 60.0  # for an answer that needs no work
MOVE_S: Final = 1800.0  # to save, load or push an image
WORDS_SHOWN: Final = 10  # of a tool's own words, in a message
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

Say = Callable[[str], None]


class Answer:
    """What a program has said."""

    def __init__(self, code: int, output: str, words: str) -> None:
        self.code = code
        self.output = output.strip()
        self.words = last_lines(words or output)


def ask(command: Sequence[str], timeout_s: float = ANSWER_S) -> Answer:
    """Run a program to its end and return what it said, whatever its exit code.

    Raises:
        ClusterError: it cannot be run, or does not end.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{show_command(command)}` has not ended in {timeout_s:g} s") from error
    except OSError as error:
        raise ClusterError(f"cannot run `{command[0]}`: {error.strerror}") from error
    return Answer(done.returncode, done.stdout, done.stderr)


def must(command: Sequence[str], doing: str, *, hint: str | None = None) -> Answer:
    """Run a program that has to succeed; `doing` completes "cannot".

    Raises:
        ClusterError: it did not, with its own words.
    """
    answer = ask(command, MOVE_S)
    if answer.code != 0:
        raise ClusterError(
            f"cannot {doing}: ended with exit code {answer.code}\n{answer.words}",
            hint=hint or show_command(command),
        )
    return answer


def stream(command: Sequence[str], lines: deque[str], say: Say) -> int:
    """Run a program, add each line of its output to `lines`, tell `say`; return its exit code.

    Raises:
        OSError: it cannot be run.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None, "a pipe was asked for"
    try:
        for line in process.stdout:
            lines.append(plain(line.rstrip()))
            say(lines[-1])
        return process.wait()
    finally:  # After Ctrl-C, too: nothing goes on behind the user's back.
        process.terminate()
        process.wait()
        process.stdout.close()


def show_command(command: Sequence[str]) -> str:
    """Return a command as it is typed."""
    return shlex.join(command)


def last_lines(text: str) -> str:
    """Return the end of what a program has said, without control characters."""
    lines = [plain(line) for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-WORDS_SHOWN:])


def plain(line: str) -> str:
    """Return a line of a program without colours, and with other control characters escaped."""
    return show_text(_COLOUR.sub("", line))
