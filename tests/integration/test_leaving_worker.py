"""A worker that is told to go, whatever became of its master."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cluster_stub import SPEC, request
from pymr.cluster import worker as of_worker
from pymr.cluster.certificate import new_authority
from pymr.cluster.client import Client
from pymr.cluster.join import join_file, new_tokens
from pymr.cluster.link import Link
from pymr.cluster.message import Grant, RegisterReply, WorkerSettings
from pymr.cluster.worker import Worker
from pymr.core.budget import TaskMemory
from pymr.core.spec import Attempt, Code, MapWork
from pymr.runner.hang import HangWatch
from pymr.runner.pool import Pool
from pymr.runner.slots import Slots
from pymr.store.access import Access
from staged_run import memory_store

JOINED = RegisterReply(
    worker="w",
    run="run-1",
    epoch=1,
    lease_s=15.0,
    root="memory://b/o",
    access=Access(),
    spec=SPEC,
    code=Code(path="worker.py"),
    settings=WorkerSettings(),
)


def test_a_worker_that_is_told_twice_goes_though_its_master_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it gives back nobody takes note of; the leases end by themselves."""
    monkeypatch.setattr(of_worker, "FAREWELL_S", 0.2)
    nobody = join_file(new_authority("run-1"), new_tokens(), "worker", ("127.0.0.1:1",))
    link = Link(Client(nobody, wait_s=600.0), request(), JOINED)
    pool = Pool(None)
    try:
        worker = Worker(link, JOINED, memory_store(), str(tmp_path))
        slots = Slots(
            worker,
            pool,
            wanted=0,
            spec=SPEC,
            root=JOINED.root,
            access=JOINED.access,
            memory=TaskMemory(1, 1),
            hangs=HangWatch(None),
        )
        worker.slots = slots
        grant = Grant(epoch=1, attempt=Attempt("map", 0, 1), key="k", work=MapWork((), {}))
        worker._take(grant)
        worker.leave("it was told to end")
        worker.leave("it was told to end")

        began = time.monotonic()
        assert worker.run(slots) is None

        assert time.monotonic() - began < 20.0
    finally:
        pool.close()
        link.close()
