"""A task process as its runner sees it: started, talked to, killed, reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

from pymr import errors
from pymr.core.spec import Attempt, AttemptSpec, Code, JobSpec, SampleWork
from pymr.core.trial import MapTrialWork, ReduceTrialWork
from pymr.task import channel

READ_BYTES = 1 << 16
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

_groups: set[int] = set()  # of task processes that were not reaped; for the end of all


class TaskProcess:
    """One child process; `attempt` is what it was given to run, if anything."""

    def __init__(self, name: str, code: Code, folder: str | None = None) -> None:
        self.name = name
        self.attempt: Attempt | None = None
        self.is_loaded = False
        requests_read, self._requests_fd = os.pipe()
        self.replies_fd, replies_write = os.pipe()
        try:
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
                stdout=2,  # stdout is for results; what user code prints goes to stderr
                pass_fds=(requests_read, replies_write),
                env=_environment(),
                cwd=folder,
                process_group=0,  # Ctrl-C reaches the runner, which decides
            )
        except OSError as error:
            self.close()
            raise errors.ResourceError(
                f"cannot start task process `{name}`: {error.strerror}", hint="lower --workers"
            ) from error
        finally:
            os.close(requests_read)
            os.close(replies_write)
        _groups.add(self.pid)
        self._replies = channel.ReplyBuffer()
        self._send(channel.Load(code))

    @property
    def pid(self) -> int:
        """The process id, which is its process group's too."""
        return self._popen.pid

    def sample(self, spec: JobSpec, work: SampleWork) -> None:
        """Start mapping a part of the input for its keys; the process must be idle."""
        self._send(channel.Sample(spec, work))

    def begin(self, spec: JobSpec, root: str) -> None:
        """Name the run that all later attempts belong to."""
        self._send(channel.Begin(spec, root))

    def run(self, attempt: AttemptSpec) -> None:
        """Start an attempt; the process must be idle."""
        assert self.attempt is None, f"{self.name} already runs {self.attempt}"
        self.attempt = attempt.attempt
        self._send(channel.Run(attempt))

    def try_out(self, work: MapTrialWork | ReduceTrialWork) -> None:
        """Start a trial; the process must be idle."""
        self._send(channel.Try(work))

    def receive(self) -> list[channel.FromProcess] | None:
        """Return the messages that have arrived, or None at the end of the pipe.

        Blocks only if nothing has arrived: call it when `replies_fd` is readable.
        """
        data = os.read(self.replies_fd, READ_BYTES)
        if not data:
            return None
        return list(self._replies.feed(data))

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        with suppress(ProcessLookupError):  # It has ended by itself.
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> errors.TaskLostError:
        """Wait for the end of a process that was killed or has closed its pipe; say how."""
        self.kill()  # What it left behind goes with it.
        code = self._popen.wait()
        _groups.discard(self.pid)
        self.close()
        return errors.TaskLostError(
            f"task process `{self.name}` {_how(code)}",
            reason=_how(code),
            returncode=code,
            pid=self.pid,
        )

    def close(self) -> None:
        """Close the pipes."""
        for fd in (self._requests_fd, self.replies_fd):
            if fd >= 0:
                os.close(fd)
        self._requests_fd = self.replies_fd = -1

    def _send(self, message: channel.Message) -> None:
        with suppress(BrokenPipeError):  # It is gone; the end of its replies says so.
            channel.write_all(self._requests_fd, channel.frame(message))


def kill_all() -> None:
    """End all task processes of this process, and all that they have started, at once."""
    for group in list(_groups):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _environment() -> dict[str, str]:
    """Return the environment of a task process: the same hashes in each of them."""
    return {**os.environ, "PYTHONHASHSEED": "0"}
