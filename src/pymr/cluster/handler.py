"""What the server is told to do with what it is asked: the master's side of each call."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from pymr.cluster import message as m
from pymr.cluster.master import Master
from pymr.cluster.stream import Outbox
from pymr.core.spec import Code, JobSpec, Receipt, Stored
from pymr.errors import ProtocolError, PymrError, UnknownWorkerError
from pymr.store.access import Access


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker of a run is told when it registers."""

    epoch: int
    lease_s: float
    root: str
    access: Access
    spec: JobSpec | Stored
    code: Code
    settings: m.WorkerSettings


class MasterHandler:
    """Answers calls for `master`."""

    def __init__(
        self,
        master: Master,
        terms: Terms,
        *,
        read: Callable[[Stored], Awaitable[bytes]],
        detail: Callable[[], dict[str, Any]],
        cancel: Callable[[], None],
        explain: Callable[[m.Failure], m.Failure],
    ) -> None:
        """`read` returns an object; `detail` says how far the run is, in plain values.

        `explain` returns a failure with what this run has for an answer.
        """
        self._master = master
        self._terms = terms
        self._read = read
        self._detail = detail
        self._cancel = cancel
        self._explain = explain

    async def register(self, request: m.RegisterRequest) -> m.RegisterReply:
        """Take a worker in, which has come when its stream begins."""
        member = self._master.register(request.host, request.slots)
        terms = self._terms
        return m.RegisterReply(
            worker=member.name,
            run=request.run,
            epoch=terms.epoch,
            lease_s=terms.lease_s,
            root=terms.root,
            access=terms.access,
            spec=terms.spec,
            code=terms.code,
            settings=terms.settings,
        )

    async def lease(
        self, hello: m.Hello, inbox: AsyncIterator[tuple[m.FromWorker, ...]], outbox: Outbox
    ) -> None:
        """Serve the stream of a worker until it ends."""
        member = self._master.roster.get(hello.worker)
        if member is None:
            raise UnknownWorkerError(f"no worker `{hello.worker}`: it must register")
        self._master.hello(member, hello.held, outbox)
        try:
            async for items in inbox:
                if member.outbox is not outbox:
                    return  # It speaks by another stream now, and this is of the past.
                for item in items:
                    self._master.take(member, item)
        finally:
            self._master.part(member, outbox)

    async def complete(self, worker: str, completion: m.Completion) -> m.CompletionReply:
        """Return what becomes of an attempt."""
        del worker  # The attempt says it all.
        outcome = completion.outcome
        if isinstance(outcome, Stored):
            try:
                outcome = msgspec.json.decode(await self._read(outcome), type=Receipt)
            except msgspec.MsgspecError as error:
                raise ProtocolError(f"a receipt is none: {error}") from error
        if isinstance(outcome, m.Failure):
            outcome = self._explain(outcome)
        return await self._master.complete(completion.attempt, outcome)

    async def status(self, request: m.StatusRequest) -> m.StatusReply:
        """Say how far the run is."""
        master = self._master
        return m.StatusReply(
            run=request.run,
            epoch=self._terms.epoch,
            state=master.job.state,
            workers=len(master.roster.connected),
            slots=master.roster.slots,
            detail=self._detail(),
        )

    async def cancel(self, request: m.CancelRequest) -> m.CancelReply:
        """Stop the run."""
        del request
        was_running = not self._master.ended.done()
        self._cancel()
        return m.CancelReply(was_running)

    def refused(self, peer: str, error: PymrError) -> None:
        """Tell the log of a caller that was not let in."""
        sys.stderr.write(f"refused {peer}: {error.message}\n")

    def failed(self, error: Exception) -> None:
        """End the run: a bug is no reason to go on."""
        self._master.fail(error)
