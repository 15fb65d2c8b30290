"""A worker whose master does not answer: what it holds for it, and how it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import Any

import msgspec
import pytest

from cluster_stub import SPEC, request
from core_samples import receipt
from pymr.cluster import worker as of_worker
from pymr.cluster.certificate import new_authority
from pymr.cluster.client import Client
from pymr.cluster.join import join_file, new_tokens
from pymr.cluster.link import Link
from pymr.cluster.message import Done, RegisterReply, WorkerSettings
from pymr.cluster.worker import Worker, _Held
from pymr.core import events
from pymr.core.budget import TaskMemory
from pymr.core.spec import Attempt, Code, Receipt, SplitReceipt, Stored
from pymr.errors import InternalError
from pymr.names import MANIFEST, cancelled_key
from pymr.runner.hang import HangWatch
from pymr.runner.pool import Pool
from pymr.runner.slots import Slots
from pymr.store.access import Access
from pymr.task.manifest import (
    Manifest,
    ManifestWorker,
    Settings,
    Versions,
    encode_manifest,
)
from pymr.task.stored_object import get_stored
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
HELD = Attempt("map", 0, 1)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[tuple[Worker, Slots]]:
    """Return a worker without task processes that holds an attempt, and whose master is gone."""
    nobody = join_file(new_authority("run-1"), new_tokens(), "worker", ("127.0.0.1:1",))
    link = Link(Client(nobody, wait_s=600.0), request(), JOINED)
    pool = Pool(None)
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
    worker._held[HELD] = _Held("k", 1)
    yield worker, slots
    pool.close()
    link.close()


def test_a_worker_without_a_master_sees_that_the_run_is_done(
    lonely: tuple[Worker, Slots],
) -> None:
    """The last master was killed when all was published: the next one has nothing to listen for."""
    worker, slots = lonely
    manifest = Manifest(
        run=JOINED.run,
        name="words",
        created=0.0,
        finished=1.0,
        versions=Versions(pymr="1", python="3"),
        worker=ManifestWorker(file="worker.py", digest="d"),
        settings=Settings(
            input_format="text", output_format="tsv", reducers=1, reducer="sum", combiner=None
        ),
        inputs=(),
        parts=(),
    )
    worker._store.put_if_absent(MANIFEST, encode_manifest(manifest))

    assert worker.run(slots) == Done()


def test_a_worker_without_a_master_sees_that_the_run_was_cancelled(
    lonely: tuple[Worker, Slots],
) -> None:
    """Nobody is left to tell it, and there will be no other master."""
    worker, slots = lonely
    worker._store.put_if_absent(cancelled_key(JOINED.run), b"")

    done = worker.run(slots)

    assert done is not None
    assert done.error is not None
    assert done.error["message"] == "cancelled by `pymr cancel`"


def test_a_worker_that_is_told_twice_goes_though_its_master_is_gone(
    lonely: tuple[Worker, Slots], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gives back nobody takes note of; the leases end by themselves."""
    monkeypatch.setattr(of_worker, "FAREWELL_S", 0.2)
    worker, slots = lonely
    worker.leave("it was told to end")
    worker.leave("it was told to end")

    began = time.monotonic()
    assert worker.run(slots) is None

    assert time.monotonic() - began < 20.0


def test_a_worker_that_is_told_to_go_does_not_wait_long_for_another_master(
    lonely: tuple[Worker, Slots], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run may have been deleted: what it finishes nobody would take."""
    monkeypatch.setattr(of_worker, "ALONE_S", 0.2)
    monkeypatch.setattr(of_worker, "FAREWELL_S", 0.2)
    worker, slots = lonely
    worker.leave("it was told to end")

    began = time.monotonic()
    assert worker.run(slots) is None

    assert time.monotonic() - began < 20.0


def test_a_receipt_that_is_too_long_for_a_message_is_an_object(
    lonely: tuple[Worker, Slots],
) -> None:
    """That of a map-only attempt of very many small files; the master reads it from the store."""
    worker, _slots = lonely
    splits = tuple(
        SplitReceipt(input=n, start=0, end=1, bytes=1, records=1, digest=1 << 127)
        for n in range(8000)
    )
    whole = receipt(HELD, splits=splits)

    worker.report(events.Finished(HELD, whole, 0.0))

    (completion,) = worker._link._unanswered.values()
    assert isinstance(completion.outcome, Stored)
    body = get_stored(worker._store, completion.outcome)
    assert msgspec.json.decode(body, type=Receipt) == whole


class Broken(Client):
    """A client with a bug."""

    def dial(self) -> Any:
        """Raise what nobody foresaw."""
        raise ValueError("no such thing")


def test_a_bug_in_the_link_ends_the_worker() -> None:
    """It would wait for a master for ever else."""
    nobody = join_file(new_authority("run-1"), new_tokens(), "worker", ("127.0.0.1:1",))
    link = Link(Broken(nobody, wait_s=600.0), request(), JOINED)
    try:
        assert select([link], [], [], 20.0)[0]
        with pytest.raises(InternalError, match="no such thing"):
            link.receive()
    finally:
        link.close()
