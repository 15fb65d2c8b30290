"""A task process as its runner sees it: started, talked to, killed, reaped."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec

from pymr import errors
from pymr.core.spec import Attempt, AttemptSpec, Code, JobSpec, SampleWork
from pymr.core.trial import MapTrialWork, ReduceTrialWork
from pymr.offspring import children_of, offspring_of
from pymr.runner.prints import Logs, Prints
from pymr.runner.stacks import read_stacks
from pymr.store.access import Access
from pymr.task import channel, huge_pages
from pymr.task.descriptors import EXIT_CLOSED
from pymr.task.hung import INTERRUPT_SIGNAL, STACKS_SIGNAL

READ_BYTES = 1 << 16
END_WAIT_S = 1.0  # from the end of its pipes to its own
STACKS_WAIT_S = 1.0  # for the stacks of a process that is asked for them
RECENT_LINES_MAX = 40  # of prints, with a failure
PRINTS_PIPE_BYTES = 1 << 20  # what fits while this process does something else
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Our own package comes first, and is then looked up last: the folder that holds it must not
# win over the standard library in the user's code.
_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[3])
import pymr.task.process
sys.path.append(sys.path.pop(0))
pymr.task.process.main(*map(int, (sys.argv[1], sys.argv[2], sys.argv[4])))
"""

_HINTS = {
    errno.EMFILE: "raise the limit of open files: ulimit -n 65536",
    errno.EAGAIN: "lower --workers, or raise the limit of processes: ulimit -u",
}
_CRASH = ", a crash in compiled code"
_MEANING = {
    "SIGABRT": ", by which compiled code gives up",
    "SIGBUS": _CRASH,
    "SIGFPE": _CRASH,
    "SIGILL": _CRASH,
    "SIGKILL": ", from outside, or as memory ran out",
    "SIGSEGV": _CRASH,
}

_groups: set[int] = set()  # of task processes that were not reaped; for the end of all


class TaskProcess:
    """One child process; `attempt` is what it was given to run, if anything."""

    def __init__(self, name: str, folder: str | None = None) -> None:
        """Start it, in `folder`; it waits for `load`.

        Raises:
            ResourceError: no process, or no pipe, can be had.
        """
        self.name = name
        self.attempt: Attempt | None = None
        self.is_loaded = False
        self.started = time.monotonic()
        self.was_killed = False  # by this process
        self.memory_bytes_max = 0  # what the attempt may use
        self.used_bytes = 0  # the most that it was seen to use
        self.prints = Prints()  # of the attempt, else of the process
        self._own_prints = self.prints
        self._first_bytes: int | None = None  # its memory after the first attempt
        self._logs: Logs | None = None
        self._requests_fd = self.replies_fd = self.prints_fd = -1
        self.end_fd = -1  # readable when the process has ended, whoever holds its pipes
        requests_read = replies_write = prints_write = -1
        try:
            requests_read, self._requests_fd = os.pipe()
            self.replies_fd, replies_write = os.pipe()
            self.prints_fd, prints_write = os.pipe()
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # a file in the current folder shadows no module
                    "-c",
                    _PROGRAM,
                    str(requests_read),
                    str(replies_write),
                    _PACKAGE_PARENT,
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=prints_write,
                stderr=prints_write,
                pass_fds=(requests_read, replies_write),
                env=_environment(),
                cwd=folder,
                process_group=0,  # Ctrl-C reaches the runner, which decides
            )
        except OSError as error:
            self.close()
            raise errors.ResourceError(
                f"cannot start task process `{name}`: {error.strerror}",
                hint=_HINTS.get(error.errno or 0, "lower --workers"),
            ) from error
        finally:
            for fd in (requests_read, replies_write, prints_write):
                if fd >= 0:
                    os.close(fd)
        _groups.add(self.pid)
        self._replies = channel.ReplyBuffer()
        self._listen()

    def _listen(self) -> None:
        for fd in (self.replies_fd, self.prints_fd):
            os.set_blocking(fd, False)
        with suppress(OSError):  # There is a limit for all pipes of a user.
            fcntl.fcntl(self.prints_fd, fcntl.F_SETPIPE_SZ, PRINTS_PIPE_BYTES)
        with suppress(OSError):  # Else the end of its replies tells.
            self.end_fd = os.pidfd_open(self.pid)

    @property
    def pid(self) -> int:
        """The process id, which is its process group's too."""
        return self._popen.pid

    @property
    def is_idle(self) -> bool:
        """It can be given something to do."""
        return self.is_loaded and self.attempt is None and not self.was_killed

    def load(self, code: Code) -> None:
        """Have it import the user's code; comes first, and once."""
        self.started = time.monotonic()
        self._send(channel.Load(code))

    def sample(self, spec: JobSpec, work: SampleWork, access: Access) -> None:
        """Start mapping a part of the input for its keys; the process must be idle."""
        self._send(channel.Sample(spec, work, access))

    def begin(self, spec: JobSpec, root: str, access: Access, *, is_watched: bool = False) -> None:
        """Name the run that all later attempts belong to, and whether each call is told of.

        `access` opens the stores of inputs and output.
        """
        self._send(channel.Begin(spec, root, is_watched, access))

    def run(self, attempt: AttemptSpec, memory_bytes_max: int) -> None:
        """Start an attempt; the process must be idle."""
        assert self.attempt is None, f"{self.name} already runs {self.attempt}"
        self.drain()
        self.attempt = attempt.attempt
        self.memory_bytes_max, self.used_bytes = memory_bytes_max, 0
        self.prints = Prints()
        if self._logs is not None:
            self.prints.keep(self._logs, self._logs.key_of(self.name, self.attempt))
        self._send(channel.Run(attempt))

    def try_out(self, work: MapTrialWork | ReduceTrialWork) -> None:
        """Start a trial; the process must be idle."""
        self._send(channel.Try(work))

    @property
    def is_too_large(self) -> bool:
        """Whether its attempt was seen to use more memory than it may."""
        is_at_work = self.attempt is not None and not self.was_killed
        return is_at_work and self.used_bytes > self.memory_bytes_max

    def keep_prints(self, logs: Logs) -> None:
        """Write what is printed into files, also what was printed so far; the process is idle."""
        self._logs = logs
        self._own_prints.keep(logs, logs.key_of(self.name, None))

    def grown_bytes(self, private_bytes: int | None) -> int:
        """Return by how much its memory has grown since its first attempt, of what it has now.

        What the first one has left is what all of them need: modules, models, tables.
        """
        if private_bytes is None:
            return 0
        if self._first_bytes is None:
            self._first_bytes = private_bytes
        return private_bytes - self._first_bytes

    def end_attempt(self) -> None:
        """Take note that the attempt has reported its end: what it printed is complete."""
        if self.attempt is not None:
            self.drain()
            self.prints.close()
            self.attempt, self.prints = None, self._own_prints

    def drain(self) -> int:
        """Take what was printed, but no more than the pipe holds; return how many bytes."""
        size = 0
        for _ in range(PRINTS_PIPE_BYTES // READ_BYTES):
            try:
                data = os.read(self.prints_fd, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            self.prints.add(data)
            size += len(data)
        return size

    def receive(self) -> tuple[list[channel.FromProcess], bool]:
        """Return the messages that have arrived, and whether there will be others."""
        messages: list[channel.FromProcess] = []
        while True:
            has_ended = self._has_ended()  # Asked first: what it sent before is then there.
            try:
                data = os.read(self.replies_fd, READ_BYTES)
            except BlockingIOError:
                return messages, not has_ended
            if not data:
                return messages, False
            messages += map(self._with_prints, self._replies.feed(data))

    def _ends_soon(self) -> bool:
        """Say whether a process whose pipe is closed has ended, or does so at once."""
        if self.end_fd < 0:
            return True
        return bool(select.select([self.end_fd], [], [], END_WAIT_S)[0])

    def _has_ended(self) -> bool:
        """Say whether the process has ended; it stays there until it is reaped."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, how) is not None
        except ChildProcessError:  # SIGCHLD is ignored, or others wait for all children.
            return True

    def _with_prints(self, message: channel.FromProcess) -> channel.FromProcess:
        """Add to the message of a failure what was printed before it."""
        match message:
            case channel.LoadFailed() | channel.SampleFailed() | channel.TryFailed():
                return msgspec.structs.replace(message, error=self._told(message.error))
            case channel.Failed():
                return msgspec.structs.replace(message, error=self._told(message.error))
        return message

    def _told(self, error: dict[str, Any]) -> dict[str, Any]:
        _, lines = self._last_prints()
        return {**error, "fields": {**error["fields"], **lines}}

    def _last_prints(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return as fields of an error what was printed last: stacks, and other lines."""
        self.drain()
        frames, lines = read_stacks(self.prints.recent())
        return {"frames": frames}, {"prints": lines[-RECENT_LINES_MAX:]} if lines else {}

    def where(self) -> dict[str, Any]:
        """Return, as fields of an error, where its code is, and what was printed last."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, STACKS_SIGNAL)
        until, pause_s = time.monotonic() + STACKS_WAIT_S, STACKS_WAIT_S
        while select.select([self.prints_fd], [], [], pause_s)[0] and time.monotonic() < until:
            self.drain()
            pause_s = STACKS_WAIT_S / 10  # It is written word by word.
        frames, lines = self._last_prints()
        return {**frames, **lines}

    def interrupt(self) -> None:
        """Have the stacks of its threads printed, and HungError raised in user code."""
        with suppress(ProcessLookupError):
            for number in (STACKS_SIGNAL, INTERRUPT_SIGNAL):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        self.was_killed = True
        if self._popen.returncode is None:  # Else it is gone, and its id another's.
            _kill_group(self.pid)

    def reap(self) -> errors.TaskLostError:
        """Wait for the end of a process that was killed or has closed its pipe; say how."""
        has_closed = not (self.was_killed or self._ends_soon())
        self.kill()  # What it left behind goes with it.
        code = self._popen.wait()
        if has_closed:  # It lived on, and nobody could talk to it.
            code = EXIT_CLOSED
        _groups.discard(self.pid)
        _adopted.end()
        frames, lines = self._last_prints()
        self.end_attempt()
        self._own_prints.close()
        self.close()
        return errors.TaskLostError(
            f"task process `{self.name}` {_how(code)}",
            reason=_how(code),
            returncode=code,
            pid=self.pid,
            **frames,
            **lines,
        )

    def close(self) -> None:
        """Close the pipes."""
        for fd in (self._requests_fd, self.replies_fd, self.prints_fd, self.end_fd):
            if fd >= 0:
                os.close(fd)
        self._requests_fd = self.replies_fd = self.prints_fd = self.end_fd = -1

    def _send(self, message: channel.Message) -> None:
        with suppress(BrokenPipeError):  # It is gone; the end of its replies says so.
            channel.write_all(self._requests_fd, channel.frame(message))


class _Adopted:
    """Processes of user code that come to this one, when their own parents have ended."""

    def __init__(self) -> None:
        self._before: set[int] | None = None  # children of this process's own; None: it adopts none

    def begin(self) -> None:
        from pymr._native import adopt_orphans

        if adopt_orphans():
            self._before = set(children_of())

    def end(self) -> None:
        """End them; daemons of a task process that has ended are among them."""
        while self._before is not None:
            adopted = set(children_of()) - self._before - _groups
            for pid in adopted:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in adopted:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            if not adopted:
                return


_adopted = _Adopted()


def adopt_orphans() -> None:
    """Become the parent of what task processes leave, to end it: for a command's own process."""
    _adopted.begin()


def kill_all() -> None:
    """End all task processes of this process, and all that they have started, at once."""
    for group in list(_groups):
        _kill_group(group)


def _kill_group(pid: int) -> None:
    """End a process that leads a group, all of that, and its offspring that has left it."""
    outside = offspring_of(pid)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for each in (pid, *outside):  # It may have left its group itself.
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _how(code: int) -> str:
    if code == EXIT_CLOSED:
        return "ended: its code had closed the pipes of its process"
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"was killed by signal {-code}"
    return f"was killed by {name}{_MEANING.get(name, '')}"


def _environment() -> dict[str, str]:
    """Return the environment of a task process: the same hashes in each of them."""
    return {**huge_pages.asked_for(os.environ), "PYTHONHASHSEED": "0"}
