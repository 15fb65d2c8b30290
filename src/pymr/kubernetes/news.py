"""What happens to objects of a namespace, as the cluster tells it: by watches, none is polled.

    watch of each kind ──► queue ──next()──► whoever waits, with a deadline of its own

A watch that breaks begins anew, and tells once more what is there: nothing is missed, some is heard
twice. So an API server that is away for a while is no error here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self

import httpx2
import lightkube

from pymr.errors import ClusterError, UnreachableError
from pymr.kubernetes.kube import Kube, plural
from pymr.kubernetes.refusal import Told, refusing

WATCH_AGAIN_S: Final = 1.0  # between two tries of a watch that broke
WATCH_ANEW_S: Final = 300  # a watch is asked for anew: an idle one may be cut off unnoticed
WATCH_CONNECT_S: Final = 10.0


class Wanted(NamedTuple):
    """Objects to be told of: a kind, and what they must have."""

    kind: type[Any]
    labels: Mapping[str, str] | None = None
    fields: Mapping[str, str] | None = None


class Item(NamedTuple):
    """Something has happened to an object: `ADDED`, `MODIFIED` or `DELETED`."""

    what: str
    object: Any


class News:
    """The news of some objects, from `open` to `close`. For one thread."""

    def __init__(self, kube: Kube, *wanted: Wanted) -> None:
        self._kube = kube
        self._wanted = wanted
        self._runner = asyncio.Runner()
        self._queue: asyncio.Queue[Item | ClusterError] = asyncio.Queue()
        self._client: lightkube.AsyncClient | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def next(self, timeout_s: float) -> Item | None:
        """Return what has happened next; None: nothing in that time.

        Objects that are there already come first, as `ADDED`.

        Raises:
            ClusterError: a watch is refused.
        """
        item = self._runner.run(self._next(timeout_s))
        if isinstance(item, ClusterError):
            raise item
        return item

    def close(self) -> None:
        """End the watches. May be called twice."""
        with suppress(RuntimeError):  # closed before
            self._runner.run(self._end())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _next(self, timeout_s: float) -> Item | ClusterError | None:
        if self._client is None:
            self._client = lightkube.AsyncClient(
                self._kube.client.config,
                namespace=self._kube.namespace,
                timeout=httpx2.Timeout(WATCH_CONNECT_S),
            )
            self._tasks = [asyncio.create_task(self._watch(each)) for each in self._wanted]
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._queue.get()
        return None

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _watch(self, wanted: Wanted) -> None:
        has_begun = False
        while True:
            try:
                await self._watch_once(wanted, self._kube.told)
                has_begun = True
            except UnreachableError as error:
                if not has_begun:
                    self._queue.put_nowait(error)
                    return
            except ClusterError as error:
                if error.fields.get("reason") != "Expired":  # The watch begins anew.
                    self._queue.put_nowait(error)
                    return
            await asyncio.sleep(WATCH_AGAIN_S)

    async def _watch_once(self, wanted: Wanted, told: Told) -> None:
        assert self._client is not None, "it is made first"
        with refusing(told, f"watch {plural(wanted.kind)}"):
            async for what, one in self._client.watch(
                wanted.kind,
                namespace=told.namespace,
                labels=dict(wanted.labels) if wanted.labels else None,
                fields=dict(wanted.fields) if wanted.fields else None,
                server_timeout=WATCH_ANEW_S,
            ):
                self._queue.put_nowait(Item(what, one))
