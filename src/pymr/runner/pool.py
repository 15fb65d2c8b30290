"""The task processes of a run: started, waited for, replaced."""

from __future__ import annotations

import math
import os
import selectors
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from pymr import errors
from pymr.core.budget import RUNNER_BYTES, ProcessSize
from pymr.core.spec import Attempt, Code, Shape
from pymr.memory_use import MemoryMeter, pages_of
from pymr.runner.prints import Logs
from pymr.runner.process import READ_BYTES, TaskProcess
from pymr.task import channel

TICK_S = 0.5  # how often the core learns the time when nothing else happens
PRINTS_PAUSE_S = 0.002  # between looks at what is printed little by little
LOAD_S = 120.0  # an import that takes longer is stuck
LOAD_TRIES_MAX = 3  # a kill may come from outside (memory ran out); thrice is the code's fault


class Pool:
    """Task processes: started, watched, replaced."""

    def __init__(
        self, deadline: float | None = None, folder: str | None = None, name: str = "worker"
    ) -> None:
        """Start nothing yet; `deadline` is a monotonic time, for the loading of the code.

        Processes work in `folder`; None: in the current one. They are called `name-1` and so on.
        """
        self.name = name  # may be another one before the first process has loaded the code
        self._deadline = deadline
        self._folder = folder
        self._code: Code | None = None
        self._selector = selectors.DefaultSelector()
        self._prints = _PrintsSelector(self._selector)
        self.logs: Logs | None = None  # where prints are kept, once that is known
        self._called = object()  # stands for who else may end a wait
        self._started = 0
        self._warm: TaskProcess | None = None  # that waits for the code
        self._memory = MemoryMeter(_private_bytes_of_the_caller())
        self._shape: Shape | None = None  # of the job, when a process has loaded the code
        self.process_size = ProcessSize()  # of one that has loaded the code, when it has
        self.processes: dict[str, TaskProcess] = {}

    def warm_up(self) -> None:
        """Start a process before the code is known: the next `start` need not wait for Python.

        Best effort; where it cannot be started the next `start` says so.
        """
        with suppress(errors.ResourceError):
            self._warm = self._warm or TaskProcess(self.name, self._folder)

    def start(self, code: Code | None = None) -> TaskProcess:
        """Start one more task process, which loads `code` at once; None: the same as before.

        Raises:
            ResourceError: this machine has no more of something.
        """
        self._code = code or self._code
        assert self._code is not None, "the first process is given the code"
        self._started += 1
        name = f"{self.name}-{self._started}"
        process, self._warm = self._warm or TaskProcess(name, self._folder), None
        process.name = name
        process.load(self._code)
        self.processes[name] = process
        for fd in _watched(process):
            self._selector.register(fd, selectors.EVENT_READ, process)
        self._prints.add(process)
        if self.logs is not None:
            process.keep_prints(self.logs)
        return process

    def watch(self, fd: int) -> None:
        """End a wait also when there is something to read from `fd`, which the caller reads."""
        self._selector.register(fd, selectors.EVENT_READ, self._called)

    def keep_prints(self, logs: Logs) -> None:
        """Write what processes print into files from now on; they are idle."""
        self.logs = logs
        for process in self.processes.values():
            process.keep_prints(logs)

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most memory that all processes and this one used at once; None: nobody knows."""
        return self._memory.peak_bytes

    def wait(self, timeout_s: float) -> list[tuple[TaskProcess, list[channel.FromProcess] | None]]:
        """Return what arrived, within `timeout_s`; None stands for the end of a process.

        It may be nothing, and earlier, if a process is `too_large` or there is something to read
        where `watch` looks.
        """
        now = time.monotonic()
        deadline = now + timeout_s
        while True:
            due_in = min(self._memory.due_in(now), self._prints.due_in(now))
            ready = self._selector.select(min(deadline - now, due_in))
            now = time.monotonic()
            if not self._memory.due_in(now):
                self._sample(now)
            arrived = list(self._arrived(ready, now))
            is_called = any(key.data is self._called for key, _mask in ready)
            if arrived or is_called or now >= deadline or self.too_large:
                return arrived

    @property
    def too_large(self) -> list[tuple[TaskProcess, Attempt]]:
        """The processes whose attempts use more memory than they may, and those attempts."""
        processes = self.processes.values()
        return [(each, each.attempt) for each in processes if each.attempt and each.is_too_large]

    def _sample(self, now: float) -> None:
        used = self._memory.sample(self._pids(), now)
        for process in self.processes.values():
            process.used_bytes = max(process.used_bytes, used.get(process.pid, 0))

    def _arrived(
        self, ready: Iterable[tuple[selectors.SelectorKey, int]], now: float
    ) -> Iterator[tuple[TaskProcess, list[channel.FromProcess] | None]]:
        """Yield what `wait` returns; what was printed is taken on the way."""
        speaking: dict[TaskProcess, None] = {}
        for key, _mask in ready:
            if key.data is self._prints:
                self._prints.drain(now)
            elif key.data is not self._called:
                speaking[key.data] = None
        for process in speaking:
            messages, may_come = process.receive()
            if messages:
                yield process, messages
            if not may_come:
                yield process, None

    def _pids(self) -> Iterator[int]:
        yield os.getpid()
        for process in self.processes.values():
            yield process.pid

    def remove(self, process: TaskProcess) -> errors.TaskLostError:
        """Forget a process, end it if it still runs, and say how it ended."""
        for fd in _watched(process):
            self._selector.unregister(fd)
        self._prints.remove(process)
        del self.processes[process.name]
        return process.reap()

    def end_stuck(self, now: float) -> None:
        """End processes that have taken more than LOAD_S to import what the first one did."""
        for process in self.processes.values():
            if not process.is_loaded and now - process.started >= LOAD_S:
                process.kill()

    def close(self) -> None:
        """End all processes. May be called twice."""
        for process in self.processes.values():
            process.kill()
        for process in list(self.processes.values()):
            self.remove(process)
        if self._warm is not None:
            self._warm.kill()
            self._warm.reap()
            self._warm = None
        self._prints.close()
        self._selector.close()
        if self.logs is not None:
            self.logs.close()

    def wait_shape(self) -> Shape:
        """Return the shape of the job that the first process found; later on, the same at once.

        Raises:
            WorkerFileError: the code cannot be used, or took more than LOAD_S to import.
            TimeoutReachedError: the deadline of the run has passed.
        """
        if self._shape is not None:
            return self._shape
        loaded_by = time.monotonic() + LOAD_S
        while (now := time.monotonic()) < loaded_by:
            if self._deadline is not None and now >= self._deadline:
                raise errors.TimeoutReachedError(
                    "--timeout was reached while the worker's code was imported"
                )
            for process, messages in self.wait(TICK_S):
                if messages is None:
                    self._start_again(process)
                    continue
                for message in messages:
                    if isinstance(message, channel.LoadFailed):
                        raise errors.from_dict(message.error)
                    assert isinstance(message, channel.Loaded)
                    process.is_loaded = True
                    if message.memory is not None:
                        self.process_size = ProcessSize(*message.memory)
                    self._shape = message.shape
                    return message.shape
        process = next(iter(self.processes.values()))
        text = f"the worker's code was not imported within {LOAD_S:.0f} s"
        raise errors.WorkerFileError(text, **process.where())

    def _start_again(self, process: TaskProcess) -> None:
        """Replace a process that ended while it imported the code, unless the code did it.

        Raises:
            WorkerFileError: it ended by itself, or was killed LOAD_TRIES_MAX times.
        """
        lost = self.remove(process)
        if lost.fields["returncode"] >= 0 or self._started >= LOAD_TRIES_MAX:
            raise errors.WorkerFileError(
                f"the worker's code ended its process while it was imported:"
                f" it {lost.fields['reason']}",
                **{name: lost.fields.get(name) for name in ("frames", "prints")},
            )
        self.start()


def _watched(process: TaskProcess) -> tuple[int, ...]:
    return tuple(fd for fd in (process.replies_fd, process.end_fd) if fd >= 0)


class _PrintsSelector:
    """Sees that processes have printed: one thing to wait for, in the selector `outer`.

    Who prints line by line would wake this process for each; after few bytes it takes a pause.
    """

    def __init__(self, outer: selectors.BaseSelector) -> None:
        self._outer = outer
        self._inner = selectors.EpollSelector()
        self._outer.register(self._inner.fileno(), selectors.EVENT_READ, self)
        self._resumes: float | None = None  # when the pause ends

    def add(self, process: TaskProcess) -> None:
        self._inner.register(process.prints_fd, selectors.EVENT_READ, process)

    def remove(self, process: TaskProcess) -> None:
        self._inner.unregister(process.prints_fd)

    def due_in(self, now: float) -> float:
        """Return how long there is a pause yet; at its end, listen again."""
        if self._resumes is None:
            return math.inf
        if now < self._resumes:
            return self._resumes - now
        self._resumes = None
        self._outer.register(self._inner.fileno(), selectors.EVENT_READ, self)
        return math.inf

    def drain(self, now: float) -> None:
        """Take what was printed."""
        size = sum(key.data.drain() for key, _mask in self._inner.select(0))
        if size < READ_BYTES:
            self._resumes = now + PRINTS_PAUSE_S
            self._outer.unregister(self._inner.fileno())

    def close(self) -> None:
        self._inner.close()


def _private_bytes_of_the_caller() -> int:
    """Return what this process held before: of a notebook that is the user's own."""
    pages = pages_of()
    return max(0, pages.private - RUNNER_BYTES) if pages else 0
