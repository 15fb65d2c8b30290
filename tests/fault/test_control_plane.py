"""What happens to the control plane when replies, connections and peers go missing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from cluster_stub import RunningMaster, receipt, request
from cluster_worker import WAIT_S, StubWorker, eventually
from pymr.cluster import message as m
from pymr.cluster import server as server_module
from pymr.cluster.client import REDIAL_MAX_S, Client, pauses
from pymr.cluster.join import read_join_file, write_join_file
from pymr.cluster.link import Answered, Link, Opened
from pymr.errors import UnreachableError
from services import free_port
from tcp_proxy import TcpProxy

TESTS = Path(__file__).parents[1]
NOTICED_S = 20.0  # within so much time a peer that was stopped is noticed


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    """Return a master that serves."""
    with RunningMaster() as running:
        yield running
        assert running.stub.failures == []


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script of the tests until it is ended."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    started = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def line(started: subprocess.Popen[str]) -> str:
    """Return the next line that the process prints."""
    assert started.stdout is not None
    return started.stdout.readline().strip()


def test_f26_f30_a_verdict_that_got_lost_is_given_again(master: RunningMaster) -> None:
    """The stream breaks after the decision and before the reply; nothing is decided twice."""
    with TcpProxy(master.address) as proxy:
        worker = StubWorker(master.join("worker", proxy.address))

        async def lose(_: m.Completion) -> None:
            if master.stub.completions == 1:
                proxy.cut()

        master.stub.before_reply = lose
        worker.complete(7, seq=1)
        [answered] = worker.until(Answered)

        worker.link.close()
    assert answered.reply.verdict is m.Verdict.COMMITTED
    assert master.stub.completions == 2
    assert master.stub.committed == {("map", 7): receipt(7).key}
    assert len(master.stub.hellos) == 2


def test_f26_replies_that_are_swallowed_are_noticed_and_asked_for_again(
    master: RunningMaster,
) -> None:
    """What the worker says arrives, what it hears is nothing: it dials anew in time."""
    with TcpProxy(master.address) as proxy:
        worker = StubWorker(master.join("worker", proxy.address))
        proxy.swallows_replies = True
        worker.complete(7, seq=1)
        eventually(lambda: master.stub.completions == 1)
        begun = time.monotonic()
        eventually(lambda: proxy.accepted == 2, NOTICED_S)
        took_s = time.monotonic() - begun
        proxy.cut()
        proxy.swallows_replies = False

        [answered] = worker.until(Answered)

        worker.link.close()
    assert took_s < NOTICED_S
    assert answered.reply.verdict is m.Verdict.COMMITTED
    assert len(master.stub.committed) == 1


def test_f27_a_hundred_equal_completions_have_one_verdict(master: RunningMaster) -> None:
    """The worker learns of it once."""
    worker = StubWorker(master.join())

    completion = worker.complete(7, seq=1)
    worker.link.send(*[completion] * 99)
    eventually(lambda: master.stub.completions == 100)
    worker.complete(8, seq=2)
    answered = worker.until(Answered, 2)

    worker.link.close()
    assert [each.attempt.task for each in answered] == [7, 8]
    assert len(master.stub.committed) == 2


def test_the_later_of_two_attempts_is_stale(master: RunningMaster) -> None:
    """Whoever comes second, in whatever order they were granted."""
    worker = StubWorker(master.join())

    worker.complete(7, seq=1)
    worker.complete(7, seq=2, outcome=receipt(7, nonce="other"))
    first, second = worker.until(Answered, 2)

    worker.link.close()
    assert (first.reply.verdict, second.reply.verdict) == (m.Verdict.COMMITTED, m.Verdict.STALE)


def test_a_completion_that_cannot_be_decided_yet_is_sent_again(master: RunningMaster) -> None:
    """The worker sees the verdict, not the wait."""
    worker = StubWorker(master.join())
    judge = master.stub.judge
    master.stub.judge = lambda completion: (  # type: ignore[method-assign]
        m.Verdict.RETRY if master.stub.completions < 3 else judge(completion)
    )

    worker.complete(7, seq=1)
    [answered] = worker.until(Answered)

    worker.link.close()
    assert answered.reply == m.CompletionReply(m.Verdict.COMMITTED, seq=1)
    assert master.stub.completions == 3


def test_f32_an_idle_connection_that_is_cut_is_dialled_again(master: RunningMaster) -> None:
    """By a load balancer, say: the worker keeps what it has, and says hello again."""
    with TcpProxy(master.address) as proxy:
        worker = StubWorker(master.join("worker", proxy.address))
        for count in range(2, 5):
            proxy.cut()
            worker.until(Opened, count)

        worker.link.send(m.Ask(1, 0))
        worker.until(m.Grant)

        worker.link.close()
    assert {each.worker for each in master.stub.hellos} == {worker.id}


def test_f32_a_goaway_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends connections for their age has the worker back at once."""
    options = dict(server_module.SERVER_OPTIONS)
    options |= {"grpc.max_connection_age_ms": 300, "grpc.max_connection_age_grace_ms": 100}
    monkeypatch.setattr(server_module, "SERVER_OPTIONS", list(options.items()))
    with RunningMaster() as master:
        worker = StubWorker(master.join())

        worker.until(Opened, 4)
        worker.complete(7, seq=1)
        worker.until(Answered)

        worker.link.close()
    assert {each.worker for each in master.stub.hellos} == {worker.id}


def test_f32_too_many_pings_are_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that finds us importunate ends the connection; we come back."""
    strict = dict(server_module.SERVER_OPTIONS)
    strict |= {"grpc.http2.min_ping_interval_without_data_ms": 3_600_000}
    strict |= {"grpc.http2.max_ping_strikes": 1}
    monkeypatch.setattr(server_module, "SERVER_OPTIONS", list(strict.items()))
    from pymr.cluster import client as client_module

    eager = {**dict(client_module.CLIENT_OPTIONS), "grpc.keepalive_time_ms": 200}
    monkeypatch.setattr(client_module, "CLIENT_OPTIONS", list(eager.items()))
    with RunningMaster() as master:
        worker = StubWorker(master.join())

        worker.until(Opened, 2)
        worker.complete(7, seq=1)
        worker.until(Answered)

        worker.link.close()


def test_our_own_pings_are_not_too_many() -> None:
    """What the client sends is what the server bears."""
    from pymr.cluster.transport import CLIENT_OPTIONS, SERVER_OPTIONS

    client, server = dict(CLIENT_OPTIONS), dict(SERVER_OPTIONS)

    bears = server["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_time_ms"] >= 2 * bears


def test_a_master_that_was_stopped_is_noticed(tmp_path: Path) -> None:
    """Nothing is closed, nothing answers: SIGSTOP."""
    with process(str(TESTS / "cluster_stub.py"), str(tmp_path), "run-1", "1", "0") as stopped:
        assert line(stopped)
        join = read_join_file(str(tmp_path / "worker"), "worker")
        joined = Client(join, wait_s=WAIT_S).register(request())
        link = Link(Client(join, wait_s=0.0), request(), joined)
        eventually(lambda: bool(link.receive()))
        link.send(m.Hello("run-1", 1, joined.worker))

        stopped.send_signal(signal.SIGSTOP)
        with pytest.raises(UnreachableError):
            eventually(lambda: bool(link.receive()), NOTICED_S)

        link.close()


def test_a_worker_that_was_stopped_is_noticed(master: RunningMaster, tmp_path: Path) -> None:
    """Its stream ends at the master; its lease is another matter."""
    write_join_file(str(tmp_path / "worker"), master.join())
    with process(str(TESTS / "cluster_worker.py"), str(tmp_path / "worker")) as stopped:
        assert line(stopped) == "open"
        eventually(lambda: len(master.stub.hellos) == 1)

        stopped.send_signal(signal.SIGSTOP)
        eventually(lambda: master.stub.ended_streams == 1, NOTICED_S)


def test_f58_a_later_master_gets_its_workers_and_their_completions(master: RunningMaster) -> None:
    """Same authority, same address, next epoch: the worker registers, and tells what it has."""
    worker = StubWorker(master.join())
    port = int(master.address.rpartition(":")[2])
    master.stop()
    worker.complete(7, seq=1)

    later = RunningMaster(epoch=2, port=port, authority=master.authority, tokens=master.tokens)
    with later:
        [answered] = worker.until(Answered)

        worker.link.close()
    assert answered.reply.verdict is m.Verdict.COMMITTED
    assert worker.joined.epoch == 2
    assert [each.epoch for each in later.stub.hellos] == [2]
    assert later.stub.committed == {("map", 7): receipt(7).key}


def test_the_next_address_is_tried(master: RunningMaster) -> None:
    """A master may have several, and not all lead there."""
    worker = StubWorker(master.join("worker", "127.0.0.1:1", "no.invalid:5", master.address))

    worker.link.close()
    assert master.stub.failures == []


def test_a_master_that_nobody_finds_is_given_up_with_all_that_was_tried(
    master: RunningMaster,
) -> None:
    """Exit 8, after the wait and not long after it; each address has its last error."""
    client = Client(master.join("worker", "127.0.0.1:1", "no.invalid:5"), wait_s=3.0)
    begun = time.monotonic()

    with pytest.raises(UnreachableError) as caught:
        client.register(request())

    error = caught.value
    assert time.monotonic() - begun < WAIT_S
    assert error.exit_code == 8
    assert error.message.startswith("no master of run `run-1` answered within 3 s: ")
    assert set(error.fields["tried"]) == {"127.0.0.1:1", "no.invalid:5"}
    assert "Connection refused" in error.fields["tried"]["127.0.0.1:1"]
    assert "lookup" in error.fields["tried"]["no.invalid:5"]
    assert error.hint is not None
    client.close()


def test_why_nobody_answers_is_told_though_the_last_try_had_no_time_left(
    master: RunningMaster,
) -> None:
    """Nobody listens there; in the end somebody does, who says nothing."""
    port, silent = free_port(), list[socket.socket]()

    def listen(_line: str) -> None:
        silent.append(socket.create_server(("127.0.0.1", port)))

    client = Client(master.join("worker", f"127.0.0.1:{port}"), wait_s=3.0, say=listen)
    with pytest.raises(UnreachableError, match="Connection refused"):
        client.register(request())
    client.close()

    [listener] = silent
    listener.close()


def test_a_master_that_goes_for_good_is_given_up(master: RunningMaster) -> None:
    """The link says so after its wait, with what it tried."""
    worker = StubWorker(master.join(), wait_s=1.0)
    master.stop()

    with pytest.raises(UnreachableError, match=r"no master of run `run-1` answered within 1 s: "):
        worker.until(Opened, 2)

    worker.link.close()


def test_pauses_grow_up_to_their_limit_and_differ() -> None:
    """Full jitter: a thousand workers do not come back at once."""
    drawn: list[list[float]] = [
        [pause for pause, _ in zip(pauses(), range(15), strict=False)] for _ in range(200)
    ]

    largest = [max(each) for each in zip(*drawn, strict=True)]
    assert all(0 <= pause <= REDIAL_MAX_S for each in drawn for pause in each)
    assert 0.1 < largest[0] <= 0.2
    assert 0.2 < largest[1] <= 0.25
    assert 0.8 * REDIAL_MAX_S < largest[14] <= REDIAL_MAX_S
    assert len({msgspec.json.encode(each) for each in drawn}) == 200
