"""Streams of workers that do no work: all that they are granted is done at once.

    python benchmarks/worker_streams.py JOIN_FILE RUN STREAMS

Every worker has a connection of its own, as on a machine of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys

import pymr
from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.admission import bearer
from pymr.cluster.join import JoinFile, read_join_file
from pymr.cluster.transport import CLIENT_OPTIONS, aio, client_credentials
from pymr.core.spec import EdgeSum, MapWork, Receipt, SplitReceipt

SLOTS = 4  # of each worker
SERVICE = f"/{wire.SERVICE}"


async def work(join: JoinFile, run: str) -> None:
    """Be one worker until the stream ends."""
    credentials = client_credentials(join.authority.encode(), join.identity)
    told = bearer(join.token)
    # Else gRPC gives all the same connection.
    options = [*CLIENT_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    channel = aio.secure_channel(join.addresses[0], credentials, options=options)
    register = channel.unary_unary(f"{SERVICE}/Register")
    body = await register(wire.encode(request(run)), metadata=told)
    worker = wire.decode(m.RegisterReply, body).worker
    call = channel.stream_stream(f"{SERVICE}/Lease")(metadata=told)
    await call.read()

    async def send(*items: m.FromWorker) -> None:
        for message in wire.encode_items(items):
            await call.write(message)

    await send(m.Hello(run, 1, worker), m.Ask(SLOTS, 0))
    seen = 0
    while (body := await call.read()) is not aio.EOF:
        grants = [each for each in wire.decode_for_worker(body) if isinstance(each, m.Grant)]
        done = [
            m.Completion(seen + n, 1, grant.attempt, receipt(grant))
            for n, grant in enumerate(grants, start=1)
        ]
        seen += len(grants)
        if grants:
            await send(*done, m.Ask(SLOTS, seen))


def request(run: str) -> m.RegisterRequest:
    """Return what a worker says of itself."""
    return m.RegisterRequest(
        run=run,
        host=os.uname().nodename,
        pid=os.getpid(),
        pymr=pymr.__version__,
        python="3.11",
        slots=SLOTS,
    )


def receipt(grant: m.Grant) -> Receipt:
    """Return what an attempt says that has read one record and written one."""
    assert isinstance(grant.work, MapWork)
    split = grant.work.splits[0]
    return Receipt(
        attempt=grant.attempt,
        key=grant.key,
        size=7,
        sha256="0" * 64,
        code_digest="d",
        bytes_in=1,
        records_in=1,
        calls=1,
        emitted=1,
        combined_in=0,
        written=EdgeSum(1, 7, 1),
        records_out=1,
        bytes_out=7,
        key_type="str",
        value_type="int",
        splits=(
            SplitReceipt(
                input=split.input,
                start=split.start,
                end=split.end,
                bytes=split.end - split.start,
                records=1,
                first_offset=split.start,
                last_offset=split.start,
            ),
        ),
        wall_s=0.01,
        cpu_s=0.01,
    )


async def main() -> None:
    """Be all workers."""
    join = read_join_file(sys.argv[1], "worker")
    await asyncio.gather(*(work(join, sys.argv[2]) for _ in range(int(sys.argv[3]))))


if __name__ == "__main__":
    asyncio.run(main())
