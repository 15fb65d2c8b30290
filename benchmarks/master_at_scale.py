"""A master at work for many workers, in one process: a side of `assignments`.

    python benchmarks/master_at_scale.py TASKS WORKERS PROCESSES

The server, its encryption, the core, group commit, feed and history are those of a run. The store
is memory, in which the object of each attempt is found to be as its receipt says. Prints the wall
and CPU seconds of this process as JSON, from the first grant to the last decision.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from obstore.store import MemoryStore as MemoryClient

from pymr.cluster.admission import Admission
from pymr.cluster.attendance import Attendance
from pymr.cluster.certificate import Authority, new_authority
from pymr.cluster.decisions import Decisions
from pymr.cluster.handler import MasterHandler, Terms
from pymr.cluster.join import Tokens, join_file, new_tokens, write_join_file
from pymr.cluster.master import Master
from pymr.cluster.message import WorkerSettings
from pymr.cluster.server import Server
from pymr.core.events import Entry, WorkersConnected
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.spec import Code, InputFile, JobSpec, MapTask, Shape, Split, Stored
from pymr.errors import InternalError
from pymr.observe.feed import Feed, JsonLines, thin
from pymr.store.access import Access
from pymr.store.object_place import ObjectPlace
from pymr.store.object_store import ObstoreStore

RUN = "20260101-000000-at-scale"
ADDRESS = "memory://bucket/out"
SIZE = 7  # bytes of the object of each attempt
THREADS = 32  # as a master has
TICK_S = 0.5
WAIT_S = 60.0  # for the workers
SPEC = JobSpec(
    run=RUN,
    name="at-scale",
    worker="worker.py",
    shape=Shape(input_format="lines", reducer=None, combiner=None, digest="d"),
    reducers=0,
)


class Memory(ObstoreStore):
    """A store that finds the parts of all attempts, which nobody has written."""

    def size(self, key: str) -> int:
        """Return the size that all receipts tell."""
        return SIZE if key.rpartition("/")[2].startswith("map-") else super().size(key)


class Clock:
    """Starts when all workers are there."""

    def __init__(self) -> None:
        self._from = 0.0, 0.0

    def __call__(self, entry: Entry) -> None:
        """Take note of an event of the feed."""
        if isinstance(entry.event, WorkersConnected):
            self._from = time.perf_counter(), time.process_time()

    def taken(self) -> tuple[float, float]:
        """Return wall and CPU seconds since then."""
        wall, cpu = self._from
        return time.perf_counter() - wall, time.process_time() - cpu


async def run(tasks: int, workers: int, processes: int) -> tuple[float, float]:
    """Return the wall and CPU seconds that all tasks took."""
    threads = ThreadPoolExecutor(THREADS)
    place = ObjectPlace(Memory(MemoryClient()), ADDRESS)
    with place.history(RUN, thin) as history:
        decisions = Decisions(place.create_journal(RUN, 1), threads)
        clock = Clock()
        feed = Feed([JsonLines(history.append), clock], time.time)
        master = _master(tasks, place, decisions, feed, threads)
        master.watch(decisions.run(master.durable))
        server, authority, tokens = _server(master)
        address = await server.start("127.0.0.1:0", run=RUN, epoch=1)
        join = join_file(authority, tokens, "worker", (str(address),))
        try:
            with _workers(join, workers // processes, processes):
                return await _until_done(master, workers, clock)
        finally:
            await master.stop()
            await server.stop(0)


async def _until_done(master: Master, workers: int, clock: Clock) -> tuple[float, float]:
    master.watch(Attendance(master, workers, WAIT_S).watch())
    while not master.ended.done():
        await asyncio.wait((master.ended,), timeout=TICK_S)
        master.tick()
    master.ended.result()
    return clock.taken()


def _master(
    tasks: int, place: ObjectPlace, decisions: Decisions, feed: Feed, threads: Executor
) -> Master:
    inputs = [InputFile(b"in", tasks, 1)]
    plan = [MapTask(n, (Split(0, n, n + 1),)) for n in range(tasks)]
    return Master(
        Job(SPEC, inputs, plan, PhaseLimits()),
        inputs=inputs,
        tasks=plan,
        epoch=1,
        store=place.objects,
        decisions=decisions,
        feed=feed,
        threads=threads,
        publish=lambda: None,
    )


def _server(master: Master) -> tuple[Server, Authority, Tokens]:
    authority, tokens = new_authority(RUN), new_tokens()
    terms = Terms(
        epoch=1,
        lease_s=15.0,
        root=ADDRESS,
        access=Access(),
        spec=SPEC,
        code=Code(path="worker.py"),
        settings=WorkerSettings(),
    )

    async def read(_stored: Stored) -> bytes:
        raise InternalError("all receipts are small")

    handler = MasterHandler(
        master,
        terms,
        read=read,
        detail=dict,
        cancel=lambda: None,
        explain=lambda failure: failure,
    )
    admission = Admission(RUN, tokens, connections_max=10_000)
    identity = authority.for_master(["127.0.0.1"])
    return Server(handler, admission, authority.certificate, identity), authority, tokens


@contextmanager
def _workers(join: object, streams: int, processes: int) -> Iterator[None]:
    """Run processes with so many streams each until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "join"))
        write_join_file(path, join)  # type: ignore[arg-type]
        script = str(Path(__file__).with_name("worker_streams.py"))
        command = [sys.executable, script, path, RUN, str(streams)]
        started = [subprocess.Popen(command) for _ in range(processes)]
        try:
            yield
        finally:
            for process in started:
                process.kill()
                process.wait()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(*map(int, sys.argv[1:4])))))
