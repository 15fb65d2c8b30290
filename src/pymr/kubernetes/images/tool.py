"""Calls a program of others (a builder, or what loads images) and says in words what it refused."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pymr.errors import ClusterError
from pymr.text_form import show_text

ANSWER_S: Final = 60.0  # for an answer that needs no work
MOVE_S: Final = 1800.0  # to save, load or push an image
WORDS_SHOWN: Final = 10  # of a tool's own words, in a message
# BuildKit's attestations are images within an image, which loaders do not understand.
ENVIRONMENT: Final = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

Say = Callable[[str], None]


class Answer:
    """What a program has said."""

    def __init__(self, code: int, output: str, words: str) -> None:
        self.code = code
        self.output = output.strip()
        self.words = last_lines(words or output)


class Stop:
    """Ends from one thread what another one runs by this module, and all that it would run next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """End the program that runs; may be called at any time, and twice."""
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running.terminate()

    def hold(self, process: subprocess.Popen[str] | None) -> None:
        """Take a program that runs now; None: it has ended."""
        with self._lock:
            self._running = process
            if process is not None and self._is_stopped:
                process.terminate()


STOP: ContextVar[Stop | None] = ContextVar("STOP", default=None)  # of what a thread runs


def ask(command: Sequence[str], timeout_s: float = ANSWER_S) -> Answer:
    """Run a program to its end and return what it said, whatever its exit code.

    Raises:
        ClusterError: it cannot be run, or does not end.
    """
    try:
        with _running(command, subprocess.PIPE) as process:
            output, words = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{show_command(command)}` has not ended in {timeout_s:g} s") from error
    except OSError as error:
        raise ClusterError(f"cannot run `{command[0]}`: {error.strerror}") from error
    return Answer(process.returncode, output, words)


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
    with _running(command, subprocess.STDOUT) as process:
        for line in process.stdout or ():
            lines.append(plain(line.rstrip()))
            say(lines[-1])
        return process.wait()


@contextmanager
def _running(command: Sequence[str], words: int) -> Iterator[subprocess.Popen[str]]:
    """Start a program; at the end of the block it has ended, after Ctrl-C, too."""
    stop = STOP.get()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        errors="replace",
        env=os.environ | ENVIRONMENT,
    ) as process:
        try:
            if stop is not None:
                stop.hold(process)
            yield process
        finally:
            if stop is not None:
                stop.hold(None)
            process.terminate()


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
