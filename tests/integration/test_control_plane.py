"""A worker and an operator talk to a master over real gRPC with mutual TLS, on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_stub import RunningMaster, grant, request
from cluster_worker import WAIT_S, StubWorker, eventually
from pymr import errors
from pymr.cluster import message as m
from pymr.cluster.client import Client
from pymr.cluster.link import Answered, Link, Opened
from pymr.core.spec import Attempt
from pymr.errors import (
    ClusterError,
    ConfigError,
    InternalError,
    ProtocolError,
    PymrError,
)


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    """Return a master that serves."""
    with RunningMaster() as running:
        yield running
        assert running.stub.failures == []


@pytest.fixture
def worker(master: RunningMaster) -> Iterator[StubWorker]:
    """Return a worker whose stream is open."""
    one = StubWorker(master.join())
    yield one
    one.link.close()


def test_a_worker_gets_work_and_a_verdict_on_it(master: RunningMaster, worker: StubWorker) -> None:
    """Ask, grant, complete, committed; and the slot is free again."""
    worker.link.send(m.Ask(2, 0))
    grants = worker.until(m.Grant, 2)
    for seq, granted in enumerate(grants, 1):
        worker.complete(granted.attempt.task, seq)
    done = worker.until(Answered, 2)
    worker.link.send(m.Ask(2, 2))
    worker.until(m.Grant, 4)

    assert grants == [grant(0), grant(1)]
    assert {each.reply.verdict for each in done} == {m.Verdict.COMMITTED}
    assert master.stub.hellos == [worker.hello]


def test_asking_again_before_the_grants_arrive_brings_no_more(
    master: RunningMaster, worker: StubWorker
) -> None:
    """An ask says how many slots are free, as of the grants that were seen."""
    worker.link.send(m.Ask(2, 0), m.Ask(2, 0))
    worker.link.send(m.Ask(2, 0))
    worker.link.send(m.Leaving("end of the test"))

    eventually(lambda: m.Leaving("end of the test") in master.stub.items)
    worker.until(m.Grant, 2)
    assert master.stub.granted == 2


def test_what_the_master_says_arrives_in_its_order(
    master: RunningMaster, worker: StubWorker
) -> None:
    """Across messages, and with items of any kind."""
    eventually(lambda: worker.id in master.stub.outboxes)
    items: list[m.ForWorker] = []
    for task in range(500):
        items += [grant(task), m.Revoke(Attempt("map", task, 1))]
    for item in items:
        master.put(worker.id, item)
    master.put(worker.id, m.Drain("night"), m.Done())

    worker.until(m.Done)

    assert [each for each in worker.arrived if not isinstance(each, Opened)] == [
        *items,
        m.Drain("night"),
        m.Done(),
    ]


def test_what_a_worker_says_arrives_in_its_order(master: RunningMaster, worker: StubWorker) -> None:
    """Heartbeats with progress, starts, notes."""
    items: list[m.FromWorker] = []
    for number in range(1, 500):
        attempt = Attempt("map", 1, number)
        items += [m.Started(attempt, "worker-1"), m.Renew((m.Progress(attempt, number, 1),))]
    for item in items:
        worker.link.send(item)

    eventually(lambda: len(master.stub.items) == len(items))
    assert master.stub.items == items


def test_an_operator_asks_and_cancels(master: RunningMaster) -> None:
    """With a file of its own."""
    operator = Client(master.join("operator"), wait_s=WAIT_S)

    status = operator.status(m.StatusRequest("run-1"))
    cancelled = operator.cancel(m.CancelRequest("run-1"))

    operator.close()
    assert (status.run, status.epoch, status.state) == ("run-1", 1, "map")
    assert cancelled.was_running


@pytest.mark.parametrize(
    "error",
    [
        errors.IncompleteError("stopping", hint="pymr resume r", epoch=3),
        errors.ConfigError("é\n\u2028", places=[{"line": 3}, None, 1 << 70, 0.5]),
        errors.InputError("x" * 100_000, offset=7, record="y" * 100_000),
    ],
)
def test_an_error_of_the_master_arrives_as_the_same_error(
    master: RunningMaster, error: PymrError
) -> None:
    """Class, message, hint and fields; of one that is huge, what has room."""
    master.stub.fails_with = error
    operator = Client(master.join("operator"), wait_s=WAIT_S)

    with pytest.raises(type(error)) as caught:
        operator.status(m.StatusRequest("run-1"))

    operator.close()
    back = caught.value
    assert back.hint == error.hint
    if len(error.message) < 1000:
        assert (back.message, back.fields) == (error.message, error.fields)
    else:
        assert back.message.startswith("xxx")
        assert back.fields == {"offset": 7}


def test_a_bug_of_the_master_is_told_to_it_and_not_to_the_world(master: RunningMaster) -> None:
    """The caller learns that there was one; what it was may hold a secret."""
    master.stub.fails_with = ValueError("canary")
    operator = Client(master.join("operator"), wait_s=WAIT_S)

    with pytest.raises(InternalError, match="the master failed at this call") as caught:
        operator.status(m.StatusRequest("run-1"))

    operator.close()
    assert "canary" not in f"{caught.value} {caught.value.fields}"
    assert [str(each) for each in master.stub.failures] == ["canary"]
    master.stub.failures.clear()


@pytest.mark.parametrize("changes", [{"pymr": "0.0.1"}, {"protocol": 99}])
def test_f19_a_worker_of_another_version_is_refused_with_both(
    master: RunningMaster, changes: dict[str, Any]
) -> None:
    """Its output might differ; exit 8, and what to type."""
    from pymr import __version__

    client = Client(master.join(), wait_s=WAIT_S)

    with pytest.raises(ProtocolError) as caught:
        client.register(request(**changes))

    client.close()
    found = next(iter(changes.values()))
    assert str(found) in caught.value.message
    assert f"expected {__version__}, protocol 1" in caught.value.message
    assert caught.value.exit_code == 8
    assert caught.value.hint == f"pip install 'pymr[cluster]=={__version__}'"


def test_f20_two_workers_of_one_machine_have_two_ids(master: RunningMaster) -> None:
    """A cloned container says the same of itself; the master tells them apart."""
    clients = [Client(master.join(), wait_s=WAIT_S) for _ in range(2)]

    ids = {client.register(request()).worker for client in clients}

    assert len(ids) == 2
    for client in clients:
        client.close()


@pytest.mark.parametrize(("epoch", "name"), [(1, "nobody"), (7, "")])
def test_a_worker_that_the_master_does_not_know_registers_again(
    master: RunningMaster, epoch: int, name: str
) -> None:
    """Of another epoch, or never registered: the link gets it a new id, and another stream."""
    client = Client(master.join(), wait_s=WAIT_S)
    joined = client.register(request())
    link = Link(client, request(), joined)
    opened: list[Opened] = []

    def has_opened(count: int) -> bool:
        opened.extend(each for each in link.receive() if isinstance(each, Opened))
        return len(opened) == count

    eventually(lambda: has_opened(1))
    link.send(m.Hello("run-1", epoch, name or joined.worker))
    eventually(lambda: has_opened(2))
    link.send(m.Hello("run-1", opened[1].epoch, opened[1].joined.worker))
    eventually(lambda: len(master.stub.hellos) == 1)

    link.close()
    assert opened[0] == Opened(1, joined)
    assert opened[1].joined.worker == master.stub.hellos[0].worker != joined.worker


def test_what_is_wrong_with_a_stream_comes_out_of_receive(master: RunningMaster) -> None:
    """After all that came before it; and again, as often as it is asked."""
    client = Client(master.join(), wait_s=WAIT_S)
    link = Link(client, request(), client.register(request()))
    eventually(lambda: bool(link.receive()))

    link.send(m.Ask(1, 0))

    with pytest.raises(ProtocolError, match="a stream began with `Ask`, expected `Hello`"):
        eventually(lambda: bool(link.receive()))
    with pytest.raises(ProtocolError):
        link.receive()
    link.close()
    assert [type(each) for each in master.stub.refusals] == [ProtocolError]


def test_a_second_stream_of_a_worker_ends_the_first(
    master: RunningMaster, worker: StubWorker
) -> None:
    """A worker that comes back knows before the master that its first stream is gone."""
    eventually(lambda: worker.id in master.stub.outboxes)
    second = Link(Client(master.join(), wait_s=WAIT_S), request(), worker.joined)

    eventually(lambda: Opened(1, worker.joined) in second.receive())
    second.send(m.Hello("run-1", 1, worker.id))

    eventually(lambda: master.stub.ended_streams == 1)
    second.close()


def test_two_masters_cannot_listen_at_one_port(master: RunningMaster) -> None:
    """The second says which port it is, and what to type."""
    port = int(master.address.rpartition(":")[2])

    with pytest.raises(ClusterError) as caught, RunningMaster(port=port):
        pass

    assert caught.value.message == (
        f"cannot listen at `127.0.0.1:{port}`: another process listens there"
    )
    assert caught.value.exit_code == 8
    assert caught.value.hint == "--listen 127.0.0.1:0 takes any free port"


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "this machine has no such address"), ("no.invalid", "no such")],
)
def test_an_address_of_another_machine_cannot_be_listened_at(host: str, reason: str) -> None:
    """Nor one that nobody has."""
    with pytest.raises(ConfigError, match=reason) as caught, RunningMaster(host=host):
        pass

    assert str(caught.value.hint).startswith("--listen 0.0.0.0:")


def test_a_message_of_a_worker_over_the_limit_is_not_sent(worker: StubWorker) -> None:
    """The error comes to who made it, with its name."""
    with pytest.raises(InternalError, match="message `Leaving` has"):
        worker.link.send(m.Leaving("x" * (1 << 20)))


def test_a_link_that_is_closed_leaves_no_thread_and_no_descriptor(master: RunningMaster) -> None:
    """A worker that registers again and again must not run out of either."""
    descriptors = Path("/proc/self/fd")
    StubWorker(master.join()).link.close()
    threads, opened = threading.active_count(), len(list(descriptors.iterdir()))

    for _ in range(3):
        StubWorker(master.join()).link.close()

    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: len(list(descriptors.iterdir())) <= opened)
