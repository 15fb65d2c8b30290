"""The master's end of the control plane. Decides nothing: a `Handler` does.

    call ─► admission (certificate, token, rate) ─► decoded ─► of this run and epoch? ─► Handler

Nothing of a message is looked at before its sender was let in. An error of the handler travels
back as it is; what is no error of ours is told to it (`failed`), and to the caller only that it
happened.

A worker has one stream: a second one ends the first, since a worker that comes back knows that
its stream is gone before we do. A stream on which nothing came for STREAM_SILENCE_S is over. The
end of a stream means nothing by itself: the lease decides about what the worker held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import pymr
from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.address import HostPort, parse_host_port, unbound
from pymr.cluster.admission import Admission
from pymr.cluster.certificate import Identity, Role
from pymr.cluster.status import status_of
from pymr.cluster.stream import Outbox, WorkerStream, received_items
from pymr.cluster.transport import (
    SERVER_OPTIONS,
    aio,
    grpc,
    server_credentials,
)
from pymr.errors import (
    ClusterError,
    InternalError,
    ProtocolError,
    PymrError,
    RefusedError,
    UnknownWorkerError,
)

WORKER_IDS_MAX: Final = 1_000_000  # ids that one master gives
_HEALTHY: Final = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse: SERVING
_FAILED: Final = "the master failed at this call; its log says why"

_Request = TypeVar("_Request", m.RegisterRequest, m.StatusRequest, m.CancelRequest)
_T = TypeVar("_T")


class Handler(Protocol):
    """What a master does with what it is asked. Errors of ours travel back to who asked."""

    async def register(self, request: m.RegisterRequest) -> m.RegisterReply:
        """Take a worker, which has come when its stream begins; if it asks again, another id."""
        ...

    async def lease(
        self, hello: m.Hello, inbox: AsyncIterator[tuple[m.FromWorker, ...]], outbox: Outbox
    ) -> None:
        """Serve the stream of a worker until `inbox` ends; returning ends it too.

        Completions do not come through `inbox`, but to `complete`, before what was said after them.
        """
        ...

    async def complete(self, worker: str, completion: m.Completion) -> m.CompletionReply:
        """Return the verdict, once the journal has it; the same as often as the same comes.

        An error is a verdict too: RETRY if it is retryable, else REFUSED.
        """
        ...

    async def status(self, request: m.StatusRequest) -> m.StatusReply:
        """Say how far the run is."""
        ...

    async def cancel(self, request: m.CancelRequest) -> m.CancelReply:
        """Stop the run."""
        ...

    def refused(self, peer: str, error: PymrError) -> None:
        """Learn of a call that was not let in, or was no message."""
        ...

    def failed(self, error: Exception) -> None:
        """Learn of a bug: an exception that is no PymrError came out of this handler."""
        ...


class Server:
    """Serves one run in one epoch, at one address."""

    def __init__(
        self, handler: Handler, admission: Admission, authority: bytes, identity: Identity
    ) -> None:
        """`authority`: PEM of the certificate that all peers have theirs from."""
        self._handler = handler
        self._admission = admission
        self._credentials = server_credentials(authority, identity)
        self._server: Any = None
        self._run = ""
        self._epoch = 0
        self._workers: set[str] = set()
        self._streams: dict[str, asyncio.Task[None]] = {}

    async def start(self, listen: str, *, run: str, epoch: int) -> HostPort:
        """Listen at `HOST:PORT`, and return where that is: port 0 is any.

        Raises:
            ConfigError: no address to listen at, or not one of this machine.
            ClusterError: somebody listens there.
        """
        self._run, self._epoch = run, epoch
        host, port = parse_host_port(listen)
        address = HostPort(host, port)
        server = aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((_Calls(self._methods()),))
        try:
            port = server.add_secure_port(str(address), self._credentials)
        except RuntimeError as error:  # It does not say why.
            raise unbound(address) from error
        await server.start()
        self._server = server
        return HostPort(host, port)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and end those that take longer than `grace_s`."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _methods(self) -> dict[str, Any]:
        handler = self._handler
        unary = grpc.unary_unary_rpc_method_handler
        stream = grpc.stream_stream_rpc_method_handler
        calls = {
            "Register": unary(self._unary("worker", m.RegisterRequest, self._register)),
            "Lease": stream(self._lease),
            "Status": unary(self._unary("operator", m.StatusRequest, handler.status)),
            "Cancel": unary(self._unary("operator", m.CancelRequest, handler.cancel)),
        }
        methods = {f"/{wire.SERVICE}/{name}": call for name, call in calls.items()}
        methods["/grpc.health.v1.Health/Check"] = unary(_check_health)
        return methods

    def _unary(
        self,
        role: Role,
        message_type: type[_Request],
        answer: Callable[[_Request], Awaitable[wire.Message]],
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(body: bytes, context: Any) -> bytes:
            async def work() -> bytes:
                request = wire.decode(message_type, body)
                self._check_run(request.run)
                return wire.encode(await answer(request))

            return await self._let_in(context, role, work)

        return call

    async def _let_in(self, context: Any, role: Role, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do the work of a call if its sender may ask for it; its errors end the call."""
        peer = context.peer()
        problem: PymrError
        try:
            self._admission.enter(peer, role, context.invocation_metadata(), context.auth_context())
            try:
                return await work()
            finally:
                self._admission.leave(peer)
        except PymrError as error:
            if isinstance(error, RefusedError | ProtocolError):
                self._handler.refused(peer, error)
            problem = error
        except Exception as error:  # noqa: BLE001 - told to the handler
            self._handler.failed(error)
            problem = InternalError(_FAILED)
        status = status_of(problem)
        await context.abort(status.code, status.details, status.metadata)
        raise problem  # Not reached: abort raises.

    async def _register(self, request: m.RegisterRequest) -> m.RegisterReply:
        if (request.protocol, request.pymr) != (m.PROTOCOL, pymr.__version__):
            raise ProtocolError(
                f"worker on `{request.host}` has PyMR {request.pymr}, protocol"
                f" {request.protocol}; expected {pymr.__version__}, protocol {m.PROTOCOL}",
                hint=f"pip install 'pymr[cluster]=={pymr.__version__}'",
            )
        if len(self._workers) >= WORKER_IDS_MAX:
            raise ClusterError(f"{WORKER_IDS_MAX} workers have registered, that is the limit")
        reply = await self._handler.register(request)
        self._workers.add(reply.worker)
        return reply

    async def _lease(self, _requests: object, context: Any) -> None:
        await self._let_in(context, "worker", lambda: self._stream(context))

    async def _stream(self, context: Any) -> None:
        """Serve one stream: its first item says whose it is."""
        await context.write(b"")  # You are let in.
        received = received_items(context)
        try:
            first = await anext(received)
        except StopAsyncIteration:
            return  # It was given up before it began.
        hello = self._known(first[0])
        stream = WorkerStream(
            context,
            lambda completion: self._judge(hello.worker, completion),
            lambda inbox, outbox: self._handler.lease(hello, inbox, outbox),
        )
        earlier = self._streams.get(hello.worker)
        if earlier is not None:
            earlier.cancel()
        task = asyncio.current_task()
        assert task is not None
        self._streams[hello.worker] = task
        try:
            await stream.run(first[1:], received)
        finally:
            if self._streams.get(hello.worker) is task:
                del self._streams[hello.worker]

    async def _judge(self, worker: str, completion: m.Completion) -> m.CompletionReply:
        try:
            return await self._handler.complete(worker, completion)
        except PymrError:
            raise
        except Exception as error:
            self._handler.failed(error)
            raise InternalError(_FAILED) from error

    def _known(self, item: m.FromWorker) -> m.Hello:
        """Return the Hello of a worker that has registered here."""
        if not isinstance(item, m.Hello):
            raise ProtocolError(f"a stream began with `{type(item).__name__}`, expected `Hello`")
        self._check_run(item.run)
        if item.epoch != self._epoch or item.worker not in self._workers:
            raise UnknownWorkerError(
                f"worker `{item.worker}` of epoch {item.epoch} is not known in epoch"
                f" {self._epoch}: it must register",
                epoch=self._epoch,
            )
        return item

    def _check_run(self, run: str) -> None:
        if run != self._run:
            raise RefusedError(f"this is of run `{run}`, the master works on `{self._run}`")


async def _check_health(_request: bytes, _context: Any) -> bytes:
    return _HEALTHY


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The calls that there are."""

    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, call: Any) -> Any:
        return self._methods.get(call.method)
