"""An event loop whose clock jumps to the next thing that is due: hours pass in no time.

All that runs in it is deterministic, if threads are `Inline`. A loop in which nothing is left to
come, while something is waited for, would wait for ever: that is an error here.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class Inline(Executor):
    """Does at once what it is given; while it `is_stuck`, only when it is told to go on."""

    def __init__(self) -> None:
        self.error: Exception | None = None  # what all that is done comes to
        self.is_stuck = False
        self._waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Return what has been done, or will be."""
        done: Future[T] = Future()

        def work() -> None:
            if self.error is not None:
                done.set_exception(self.error)
                return
            try:
                done.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - it is whoever waits who is told
                done.set_exception(error)

        if self.is_stuck:
            self._waiting.append(work)
        else:
            work()
        return done

    def go_on(self) -> None:
        """Do what has waited."""
        self.is_stuck = False
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()


class _Skipping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, else let the time pass that would be waited for."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("all wait, and nothing will ever come")
        if not ready:
            self.now += timeout or 0.0
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time that has been skipped."""
        return self._skipping.now


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


async def after(seconds: float) -> None:
    """Return when so much time has passed, which takes none."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


def stand_still(seconds: float) -> None:
    """Let so much time pass in which nothing in the loop runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop), "time is virtual"
    loop._skipping.now += seconds
