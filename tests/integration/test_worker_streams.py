"""The limits of a worker's stream, and what its ends do with errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from cluster_stub import RunningMaster, grant, receipt
from cluster_worker import StubWorker, eventually
from pymr import errors
from pymr.cluster import message as m
from pymr.cluster import stream, wire
from pymr.cluster.link import Answered, Opened
from pymr.cluster.stream import Outbox
from pymr.cluster.transport import CLIENT_OPTIONS, client_credentials, grpc
from pymr.core.spec import Attempt
from pymr.errors import ClusterError, ConfigError, InternalError, StoreUnavailableError


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    """Return a master that serves."""
    with RunningMaster() as running:
        yield running


@pytest.fixture
def worker(master: RunningMaster) -> Iterator[StubWorker]:
    """Return a worker whose stream is open, and known to the master."""
    one = StubWorker(master.join())
    eventually(lambda: one.id in master.stub.outboxes)
    yield one
    one.link.close()


def test_a_worker_that_is_told_too_much_at_once_has_lost_its_stream(
    master: RunningMaster, worker: StubWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read, or the master is mad; memory is bounded."""
    monkeypatch.setattr(stream, "OUTBOX_ITEMS_MAX", 10)

    master.put(worker.id, *[m.Revoke(Attempt("map", task, 1)) for task in range(11)])

    with pytest.raises(ClusterError, match="11 items wait for a worker, expected at most 10"):
        worker.until(m.Done)


def test_a_worker_that_reports_without_end_has_lost_its_stream(
    master: RunningMaster, worker: StubWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each report is memory of the master until its verdict."""
    monkeypatch.setattr(stream, "COMPLETIONS_MAX", 10)

    async def never(_: m.Completion) -> None:
        await asyncio.Event().wait()

    master.stub.before_reply = never
    for task in range(11):
        worker.complete(task, seq=task + 1)

    with pytest.raises(ClusterError, match="waits for more than 10 verdicts"):
        worker.until(m.Done)


def test_a_decision_that_fails_for_now_is_asked_for_again(
    master: RunningMaster, worker: StubWorker
) -> None:
    """While the store does not answer, say."""
    problems = [StoreUnavailableError("no answer"), StoreUnavailableError("no answer")]

    async def fail(_: m.Completion) -> None:
        if problems:
            raise problems.pop()

    master.stub.before_reply = fail
    worker.complete(7, seq=1)

    [answered] = worker.until(Answered)

    assert answered.reply.verdict is m.Verdict.COMMITTED
    assert master.stub.completions == 3


@pytest.mark.parametrize("problem", [ConfigError("no"), ValueError("canary")])
def test_a_decision_that_fails_for_good_is_a_refusal(
    master: RunningMaster, worker: StubWorker, problem: Exception
) -> None:
    """With the reason, unless it is a bug: that is the master's to know."""

    async def fail(_: m.Completion) -> None:
        raise problem

    master.stub.before_reply = fail
    worker.complete(7, seq=1)

    [answered] = worker.until(Answered)

    assert answered.reply.verdict is m.Verdict.REFUSED
    error = errors.from_dict(answered.reply.error)
    if isinstance(problem, ConfigError):
        assert (type(error), error.message) == (ConfigError, "no")
        assert master.stub.failures == []
    else:
        assert type(error) is InternalError
        assert "canary" not in error.message
        assert master.stub.failures == [problem]


def test_verdicts_come_as_they_are_made(master: RunningMaster, worker: StubWorker) -> None:
    """One that takes long holds no other up."""
    go = asyncio.Event()

    async def wait(completion: m.Completion) -> None:
        if completion.seq == 1:
            await go.wait()
        if completion.seq == 3:
            go.set()

    master.stub.before_reply = wait
    for seq in (1, 2, 3):
        worker.complete(seq, seq)

    answered = worker.until(Answered, 3)

    assert [each.attempt.task for each in answered] == [2, 3, 1]


def test_a_stream_that_the_master_ends_with_an_error_tells_the_worker(
    master: RunningMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is; after all that was sent before."""

    async def lease(
        _hello: m.Hello, inbox: AsyncIterator[tuple[m.FromWorker, ...]], _outbox: Outbox
    ) -> None:
        async for _ in inbox:
            raise ConfigError("this run needs `--workers`", hint="--workers 2")

    monkeypatch.setattr(master.stub, "lease", lease)
    worker = StubWorker(master.join())
    worker.link.send(m.Ask(1, 0))

    with pytest.raises(ConfigError, match="this run needs `--workers`") as caught:
        worker.until(m.Done)

    worker.link.close()
    assert caught.value.hint == "--workers 2"


def test_the_last_words_of_a_master_arrive(
    master: RunningMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that returns has said all, and the worker gets all of it."""

    async def lease(
        _hello: m.Hello, _inbox: AsyncIterator[tuple[m.FromWorker, ...]], outbox: Outbox
    ) -> None:
        outbox.put(*[grant(task) for task in range(2000)], m.Done())

    monkeypatch.setattr(master.stub, "lease", lease)
    worker = StubWorker(master.join())

    worker.until(m.Done)

    worker.link.close()
    assert len([each for each in worker.arrived if isinstance(each, m.Grant)]) == 2000


def test_items_sent_while_no_stream_is_open_are_dropped(master: RunningMaster) -> None:
    """They were of a stream that is gone; completions alone are kept."""
    worker = StubWorker(master.join())
    port = int(master.address.rpartition(":")[2])
    master.stop()
    eventually(lambda: worker.link._call is None)
    worker.link.send(m.Ask(5, 0))
    worker.link.complete(m.Completion(1, 1, Attempt("map", 7, 1), receipt(7)))

    later = RunningMaster(epoch=2, port=port, authority=master.authority, tokens=master.tokens)
    with later:
        worker.until(Opened, 2)
        worker.until(Answered)

        worker.link.close()
    assert later.stub.items == []
    assert later.stub.completions == 1


def test_the_health_of_a_master_can_be_asked_for(master: RunningMaster) -> None:
    """By whoever has a certificate of the run; `grpc.health.v1`, serving."""
    join = master.join("operator")
    credentials = client_credentials(join.authority.encode(), join.identity)

    with grpc.secure_channel(master.address, credentials, CLIENT_OPTIONS) as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", 20.0)

    assert answer == b"\x08\x01"


def test_a_grant_that_is_too_large_is_told_to_the_master(master: RunningMaster) -> None:
    """When it is put, not when it is sent: who made it can still store its list."""
    huge = m.Drain("x" * wire.MESSAGE_BYTES_MAX)

    async def put() -> None:
        with pytest.raises(InternalError, match="message `Drain` has"):
            Outbox().put(huge)

    master.do(put())
