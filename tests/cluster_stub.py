"""A master without a plan, over the real server: what tests of the transport talk to.

    python tests/cluster_stub.py FOLDER RUN EPOCH PORT     serves, and writes the join files

It grants what it is told to, and has one verdict for each attempt, as a journal would.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from pymr import names
from pymr.cluster import message as m
from pymr.cluster.admission import Admission
from pymr.cluster.certificate import Authority, new_authority
from pymr.cluster.join import JoinFile, Tokens, join_file, new_tokens, write_join_file
from pymr.cluster.server import Server
from pymr.cluster.stream import Outbox
from pymr.core.spec import Attempt, Code, JobSpec, MapWork, Receipt, Shape
from pymr.errors import PymrError
from pymr.store.access import Access
from services import free_port

SPEC = JobSpec(
    run="r",
    name="words",
    worker="worker.py",
    shape=Shape(input_format="lines", reducer="sum", combiner=None, digest="d"),
    reducers=1,
)


def grant(task: int, epoch: int = 1) -> m.Grant:
    """Return a grant of the first attempt of a map task."""
    key = f"_pymr/r/map-{task:05d}-1-n"
    work = MapWork((), {})
    return m.Grant(epoch=epoch, attempt=Attempt("map", task, 1), key=key, work=work)


def request(run: str = "run-1", **changes: Any) -> m.RegisterRequest:
    """Return what a worker says of itself."""
    from pymr import __version__

    said = {"host": "h", "pid": 1, "pymr": __version__, "python": "3.11", "slots": 2, **changes}
    return m.RegisterRequest(run=run, **said)


def receipt(task: int, nonce: str = "n") -> Receipt:
    """Return what an attempt says of its object."""
    attempt = Attempt("map", task, 1)
    return Receipt(
        attempt=attempt, key=f"_pymr/r/map-{task:05d}-1-{nonce}", size=1, code_digest="c"
    )


class StubMaster:
    """Implements `Handler`."""

    def __init__(self, run: str, epoch: int) -> None:
        self.run = run
        self.epoch = epoch
        self.granted = 0
        self.hellos: list[m.Hello] = []
        self.items: list[m.FromWorker] = []
        self.outboxes: dict[str, Outbox] = {}
        self.committed: dict[tuple[str, int], str] = {}
        self.completions = 0
        self.refusals: list[PymrError] = []
        self.failures: list[Exception] = []
        self.before_reply: Callable[[m.Completion], Coroutine[Any, Any, None]] | None = None
        self.fails_with: Exception | None = None
        self.ended_streams = 0

    async def register(self, request: m.RegisterRequest) -> m.RegisterReply:
        """Take anybody."""
        return m.RegisterReply(
            worker=names.new_nonce(),
            run=request.run,
            epoch=self.epoch,
            lease_s=15.0,
            root="memory://bucket/out",
            access=Access(secret_access_key="canary-of-the-store"),
            spec=SPEC,
            code=Code(path="worker.py"),
            settings=m.WorkerSettings(),
        )

    async def lease(
        self, hello: m.Hello, inbox: AsyncIterator[tuple[m.FromWorker, ...]], outbox: Outbox
    ) -> None:
        """Grant as many as are asked for, of attempts that nobody had before."""
        self.hellos.append(hello)
        self.outboxes[hello.worker] = outbox
        granted = 0
        try:
            async for items in inbox:
                self.items += items
                for item in items:
                    if isinstance(item, m.Ask):
                        free = item.slots - (granted - item.grants_seen)
                        tasks = range(self.granted, self.granted + max(0, free))
                        new = [grant(task, self.epoch) for task in tasks]
                        self.granted += len(new)
                        granted += len(new)
                        outbox.put(*new)
        finally:
            self.ended_streams += 1

    async def complete(self, worker: str, completion: m.Completion) -> m.CompletionReply:
        """Judge, and then do what the test wants."""
        self.completions += 1
        verdict = self.judge(completion)
        if self.before_reply is not None:
            await self.before_reply(completion)
        return m.CompletionReply(verdict)

    def judge(self, completion: m.Completion) -> m.Verdict:
        """Return one verdict for each attempt, as a journal would."""
        if isinstance(completion.outcome, m.Failure):
            return m.Verdict.NOTED
        assert isinstance(completion.outcome, Receipt)
        attempt = completion.attempt
        key = completion.outcome.key
        winner = self.committed.setdefault((attempt.phase, attempt.task), key)
        if winner != key:
            return m.Verdict.STALE
        return m.Verdict.COMMITTED

    async def status(self, request: m.StatusRequest) -> m.StatusReply:
        """Say who is there, or fail."""
        if self.fails_with is not None:
            raise self.fails_with
        workers = len(self.outboxes)
        return m.StatusReply(
            run=request.run, epoch=self.epoch, state="map", workers=workers, slots=2 * workers
        )

    async def cancel(self, request: m.CancelRequest) -> m.CancelReply:
        """Agree."""
        return m.CancelReply(was_running=True)

    def refused(self, peer: str, error: PymrError) -> None:
        """Keep it."""
        self.refusals.append(error)

    def failed(self, error: Exception) -> None:
        """Keep it."""
        self.failures.append(error)


class RunningMaster:
    """A stub that serves, from a loop in a thread of its own; at a port that another may take on."""

    def __init__(
        self,
        run: str = "run-1",
        epoch: int = 1,
        port: int = 0,
        host: str = "127.0.0.1",
        authority: Authority | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self.stub = StubMaster(run, epoch)
        self.authority = authority or new_authority(run)
        self.tokens = tokens or new_tokens()
        self.identity = self.authority.for_master(["127.0.0.1"])
        self.admission = Admission(run, self.tokens, connections_max=500)
        self._listen = f"{host}:{port or free_port()}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.server = self.do(self._new_server())
        try:
            self.address = str(
                self.do(self.server.start(self._listen, run=self.stub.run, epoch=self.stub.epoch))
            )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _stop(self) -> None:
        await self.server.stop(0.1)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _new_server(self) -> Server:
        return Server(self.stub, self.admission, self.authority.certificate, self.identity)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop of the server."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        """Stop serving."""
        if self._thread.is_alive():
            self.do(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def put(self, worker: str, *items: m.ForWorker) -> None:
        """Send items to a worker."""
        self._loop.call_soon_threadsafe(self.stub.outboxes[worker].put, *items)

    def join(self, role: Any = "worker", *addresses: str) -> JoinFile:
        """Return a join file."""
        return join_file(self.authority, self.tokens, role, addresses or (self.address,))


async def serve(folder: Path, run: str, epoch: int, port: int) -> None:
    """Serve until this process is ended."""
    authority, tokens = new_authority(run), new_tokens()
    stub = StubMaster(run, epoch)
    identity = authority.for_master([])
    server = Server(
        stub, Admission(run, tokens, connections_max=500), authority.certificate, identity
    )
    address = await server.start(f"127.0.0.1:{port}", run=run, epoch=epoch)
    for role in ("worker", "operator"):
        write_join_file(str(folder / role), join_file(authority, tokens, role, (str(address),)))
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
