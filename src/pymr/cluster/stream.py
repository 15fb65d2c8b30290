"""The master's end of one worker's stream: items both ways, signs of life, verdicts.

worker ─► FromWorker ─┬─ Completion ─► handler.complete ─► CompletionReply ─┐
                      └─ all others ─► inbox of handler.lease               ├─► outbox ─► worker
                                                items ──────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.transport import STREAM_IDLE_S, STREAM_SILENCE_S, aio
from pymr.errors import ClusterError, PymrError, to_dict

COMPLETIONS_MAX: Final = 2_000  # of one worker without a verdict; it has some for each slot
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
        """Yield messages to send, until `close`; an empty one is a sign of life.

        Raises:
            ClusterError: there are too many items, so nobody reads them.
        """
        while self._pieces or not self._is_closed:
            if not self._pieces:
                self._wanted.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(STREAM_IDLE_S):
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


Judge = Callable[[m.Completion], Awaitable[m.CompletionReply]]
Serve = Callable[[AsyncIterator[tuple[m.FromWorker, ...]], Outbox], Awaitable[None]]


async def received_items(context: Any) -> AsyncIterator[tuple[m.FromWorker, ...]]:
    """Yield what a worker sends, until its stream ends or it is silent.

    Raises:
        ProtocolError: it sends what is no message.
    """
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(STREAM_SILENCE_S):
                body = await context.read()
            if body is aio.EOF:
                return
            if items := wire.decode_from_worker(body):
                yield items


class WorkerStream:
    """One stream, from its Hello to its end."""

    def __init__(self, context: Any, judge: Judge, serve: Serve) -> None:
        """`judge` and `serve` are what the handler does with completions, and with the rest."""
        self._context = context
        self._judge = judge
        self._serve = serve
        self._outbox = Outbox()
        self._judging: set[asyncio.Task[None]] = set()

    async def run(
        self,
        first: tuple[m.FromWorker, ...],
        received: AsyncIterator[tuple[m.FromWorker, ...]],
    ) -> None:
        """Serve until either side ends it; `first` came before what is `received`.

        Completions that are being judged then are judged to the end: the worker asks again.

        Raises:
            PymrError: what the handler raised, or is wrong with what the worker sends.
        """
        serving = asyncio.ensure_future(self._serve(self._others(first, received), self._outbox))
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait((serving, writing), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
                self._outbox.close()
            await writing
        finally:
            self._outbox.close()
            serving.cancel()
            writing.cancel()
            await asyncio.gather(serving, writing, return_exceptions=True)

    async def _others(
        self,
        first: tuple[m.FromWorker, ...],
        received: AsyncIterator[tuple[m.FromWorker, ...]],
    ) -> AsyncIterator[tuple[m.FromWorker, ...]]:
        """Yield all items but completions, which are given to the judge before."""
        if others := await self._take(first):
            yield others
        async for items in received:
            if others := await self._take(items):
                yield others

    async def _take(self, items: tuple[m.FromWorker, ...]) -> tuple[m.FromWorker, ...]:
        completions = [each for each in items if isinstance(each, m.Completion)]
        if not completions:
            return items
        if len(self._judging) + len(completions) > COMPLETIONS_MAX:
            raise ClusterError(
                f"a worker waits for more than {COMPLETIONS_MAX} verdicts, that is the limit"
            )
        for completion in completions:
            task = asyncio.create_task(self._answer(completion))
            self._judging.add(task)
            task.add_done_callback(self._judging.discard)
        await asyncio.sleep(0)  # They begin before what the worker said after them.
        return tuple(each for each in items if not isinstance(each, m.Completion))

    async def _answer(self, completion: m.Completion) -> None:
        try:
            reply = await self._judge(completion)
        except PymrError as error:
            verdict = m.Verdict.RETRY if error.retryable else m.Verdict.REFUSED
            reply = m.CompletionReply(verdict, to_dict(error))
        self._outbox.put(msgspec.structs.replace(reply, seq=completion.seq))

    async def _write(self) -> None:
        with suppress(aio.BaseError):  # The worker is gone.
            async for message in self._outbox.messages():
                await self._context.write(message)
