"""What happens to objects of a namespace, as the cluster tells it: by watches, none is polled.

    watch of each kind ──► queue ──next()──► whoever waits, with a deadline of its own

A watch that breaks begins anew: it tells once more what is there, and what has gone meanwhile. So
nothing is missed and some is heard twice, and an API server that is away for a while is no error.
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
from pymr.kubernetes.refusal import refusing

WATCH_AGAIN_S: Final = 1.0  # between two tries of a watch that broke
WATCH_ANEW_S: Final = 300  # a watch is asked for anew: an idle one may be cut off unnoticed
WATCH_CONNECT_S: Final = 10.0
_ANEW: Final = ("Expired", "Gone")  # the server has forgotten the version to go on from


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
        self._is_closed = False
        self._away: dict[type[Any], UnreachableError] = {}  # of watches that have begun

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

    @property
    def away(self) -> UnreachableError | None:
        """What keeps the cluster from telling, as of the last `next`; None: nothing does."""
        return next(iter(self._away.values()), None)

    def close(self) -> None:
        """End the watches. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
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
        """List and watch, over and over: as controllers of the cluster itself do."""
        known: dict[str, Any] = {}
        has_begun = False
        while True:
            try:
                version = await self._list(wanted, known)
                has_begun = True
                self._away.pop(wanted.kind, None)
                await self._follow(wanted, known, version)
            except UnreachableError as error:
                if not has_begun:
                    self._queue.put_nowait(error)
                    return
                self._away[wanted.kind] = error
            except ClusterError as error:
                if error.fields.get("reason") not in _ANEW:
                    self._queue.put_nowait(error)
                    return
            await asyncio.sleep(WATCH_AGAIN_S)

    async def _list(self, wanted: Wanted, known: dict[str, Any]) -> str:
        """Tell what is there, and what is no more; return the version to go on from."""
        assert self._client is not None, "it is made first"
        there = {}
        with refusing(self._kube.told, f"list {plural(wanted.kind)}"):
            listed = self._client.list(wanted.kind, **self._selection(wanted))
            async for one in listed:
                there[str(one.metadata.name)] = one
        for name in [name for name in known if name not in there]:
            self._queue.put_nowait(Item("DELETED", known.pop(name)))
        for one in there.values():
            self._queue.put_nowait(Item("ADDED", one))
        known.update(there)
        return listed.resourceVersion

    async def _follow(self, wanted: Wanted, known: dict[str, Any], version: str) -> None:
        assert self._client is not None, "it is made first"
        with refusing(self._kube.told, f"watch {plural(wanted.kind)}"):
            async for what, one in self._client.watch(
                wanted.kind,
                resource_version=version,
                server_timeout=WATCH_ANEW_S,
                **self._selection(wanted),
            ):
                if what == "DELETED":
                    known.pop(str(one.metadata.name), None)
                else:
                    known[str(one.metadata.name)] = one
                self._queue.put_nowait(Item(what, one))

    def _selection(self, wanted: Wanted) -> dict[str, Any]:
        return {
            "namespace": self._kube.namespace,
            "labels": dict(wanted.labels) if wanted.labels else None,
            "fields": dict(wanted.fields) if wanted.fields else None,
        }
