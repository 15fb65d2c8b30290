"""A master looks now and then whether its run was cancelled, in a thread."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pymr.cluster.crew import tick_and_look


def fail() -> None:
    raise ValueError("it was cancelled")


def test_what_a_look_finds_ends_the_watch() -> None:
    """At the next tick."""
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="it was cancelled"):
        asyncio.run(tick_and_look(lambda: None, fail, threads))


@pytest.mark.parametrize("is_done", [True, False])
def test_what_a_look_finds_when_the_run_has_ended_is_not_printed(*, is_done: bool) -> None:
    """Whether it was found before or after the end: asyncio tells of errors that nobody took."""
    told = list[dict[str, Any]]()
    begun, at_end = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        at_end.wait(timeout=30)
        fail()

    async def end() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        watch = asyncio.create_task(tick_and_look(lambda: None, look, threads))
        assert await asyncio.to_thread(begun.wait, 30)
        if is_done:
            at_end.set()
            await loop.run_in_executor(threads, int)  # One thread: the look is over.
        watch.cancel()
        await asyncio.wait([watch])
        at_end.set()
        await loop.run_in_executor(threads, int)
        del watch
        gc.collect()

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(end())

    assert told == []
