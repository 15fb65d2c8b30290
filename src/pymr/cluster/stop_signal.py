"""Signals while an event loop runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def between_steps(
    loop: asyncio.AbstractEventLoop, stop: Callable[[KeyboardInterrupt], None]
) -> Iterator[None]:
    """Have `stop` called by the loop with what the handler of a signal raises, within the block.

    Raised where it comes, it would end whatever task has its turn: the stream, for one, on which a
    worker is told that the run is over. For the main thread; signals that have no handler in
    Python stay as they are.
    """
    before = {each: signal.getsignal(each) for each in _STOPS}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, _handing(handler, loop, stop))
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)


def _handing(
    handler: Handler, loop: asyncio.AbstractEventLoop, stop: Callable[[KeyboardInterrupt], None]
) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt as raised:
            loop.call_soon_threadsafe(stop, raised)

    return handle
