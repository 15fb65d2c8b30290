"""What a master has to say to one worker, on its way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.transport import HEARTBEAT_S
from pymr.errors import ClusterError

OUTBOX_ITEMS_MAX: Final = 10_000  # for one worker; one that does not read has lost its stream


class Outbox:
    """Items for one worker, in their order. Belongs to the loop of the server."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._wanted = asyncio.Event()
        self._is_closed = False

    def put(self, *items: m.ForWorker) -> None:
        """Send the items. To a stream that is over nothing is sent, and nobody is told.

        Raises:
            InternalError: one is larger than a message.
        """
        if not self._is_closed:
            self._pieces.extend(wire.encode_item(item) for item in items)
            self._wanted.set()

    def close(self) -> None:
        """End the stream when all of it is sent. May be called twice."""
        self._is_closed = True
        self._wanted.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages to send, until `close`; an empty one is the heartbeat.

        Raises:
            ClusterError: there are too many items, so nobody reads them.
        """
        while self._pieces or not self._is_closed:
            if not self._pieces:
                self._wanted.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await self._wanted.wait()
            pieces, self._pieces = self._pieces, deque()
            if len(pieces) > OUTBOX_ITEMS_MAX:
                raise ClusterError(
                    f"{len(pieces)} items wait for a worker, expected at most {OUTBOX_ITEMS_MAX}"
                )
            for message in wire.pack(pieces):
                yield message
            if not pieces and not self._is_closed:
                yield b""
