"""Images that are made while something else is done: a run is planned and uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pymr.kubernetes.images.tool import STOP, Stop

Made = TypeVar("Made")


@contextmanager
def meanwhile(make: Callable[[], Made]) -> Iterator[Callable[[], Made]]:
    """Have images made in a thread while the block runs; what it gives waits for them.

    However the block ends, no builder goes on behind it: one that is at work is ended.
    What `make` raises is raised where it is waited for.
    """
    stop = Stop()

    def made() -> Made:
        STOP.set(stop)  # of this thread alone
        return make()

    with ThreadPoolExecutor(1, thread_name_prefix="pymr-images") as threads:
        future = threads.submit(made)
        try:
            yield future.result
        finally:
            stop.stop()
