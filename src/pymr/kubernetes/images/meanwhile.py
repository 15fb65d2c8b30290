"""Images that are made while something else is done: a run is planned and uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from pymr.kubernetes.images.tool import STOP, Stop
from pymr.runner.cancel_mark import CANCEL_LOOK_S

Made = TypeVar("Made")
Look = Callable[[], object]


@contextmanager
def meanwhile(make: Callable[[], Made]) -> Iterator[Callable[[Look], Made]]:
    """Have images made in a thread while the block runs; what it gives waits for them.

    Meanwhile it calls a function twice a second, which may raise.

    However the block ends, no builder goes on behind it: one that is at work is ended.
    What `make` raises is raised where it is waited for.
    """
    stop = Stop()

    def made() -> Made:
        STOP.set(stop)  # of this thread alone
        return make()

    with ThreadPoolExecutor(1, thread_name_prefix="pymr-images") as threads:
        future = threads.submit(made)

        def wait_for_it(look: Look) -> Made:
            while not future.done():
                look()
                wait([future], CANCEL_LOOK_S)
            return future.result()

        try:
            yield wait_for_it
        finally:
            stop.stop()
