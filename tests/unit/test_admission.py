"""Who is let in, and who is not listened to for a while."""

from __future__ import annotations

from typing import Any

import pytest

from pymr.cluster.admission import REFUSALS_MAX, Admission, bearer, host_of
from pymr.cluster.join import Tokens
from pymr.errors import RefusedError

TOKENS = Tokens("worker-secret", "operator-secret")
WORKER = {"x509_subject_alternative_name": [b"pymr://run-1/worker"]}
OPERATOR = {"x509_subject_alternative_name": [b"pymr://run-1/operator"]}
PEER = "ipv4:10.0.0.7:4711"


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def admission(**more: Any) -> Admission:
    """Return the admission of a run."""
    return Admission("run-1", TOKENS, **more)


def refused(guard: Admission, *call: Any) -> str:
    """Return why a call is not let in."""
    with pytest.raises(RefusedError) as caught:
        guard.enter(*call)
    return caught.value.message


def test_each_role_is_let_in_with_its_certificate_and_token() -> None:
    """Both are needed, and other metadata do not matter."""
    guard = admission()

    guard.enter(PEER, "worker", (("user-agent", "x"), *bearer("worker-secret")), WORKER)
    guard.enter(PEER, "operator", bearer("operator-secret"), OPERATOR)

    assert guard.refused == 0


@pytest.mark.parametrize(
    ("metadata", "certificate", "what"),
    [
        ((), WORKER, "token"),
        (bearer("operator-secret"), WORKER, "token"),
        (bearer("worker-secre"), WORKER, "token"),
        (bearer("worker-secret "), WORKER, "token"),
        (bearer("w\udcff"), WORKER, "token"),
        ((("authorization", "worker-secret"),), WORKER, "token"),
        ((("authorization", b"Basic worker-secret"),), WORKER, "token"),
        (bearer("worker-secret") * 2, WORKER, "token"),
        (bearer("worker-secret"), OPERATOR, "certificate"),
        (bearer("operator-secret"), OPERATOR, "certificate"),
        (bearer("worker-secret"), {}, "certificate"),
        (
            bearer("worker-secret"),
            {"x509_subject_alternative_name": [b"pymr://run-2/worker"]},
            "certificate",
        ),
    ],
)
def test_f35_without_the_right_certificate_and_token_nobody_is_let_in(
    metadata: Any, certificate: Any, what: str
) -> None:
    """The error says which it was, and not what was expected."""
    guard = admission()

    message = refused(guard, PEER, "worker", metadata, certificate)

    assert message == f"the {what} of `10.0.0.7` is not that of a worker of this run"
    assert "secret" not in message
    assert guard.refused == 1


def test_f35_a_host_that_was_refused_too_often_is_not_listened_to_for_a_minute() -> None:
    """Not even with the right token; other hosts are."""
    clock = Clock()
    guard = admission(clock=clock)
    for _ in range(REFUSALS_MAX):
        assert "token" in refused(guard, PEER, "worker", (), WORKER)

    good = "worker", bearer("worker-secret"), WORKER
    assert "was refused 10 times within 60 s" in refused(guard, PEER, *good)
    guard.enter("ipv4:10.0.0.8:1", *good)
    clock.now += 61.0
    guard.enter(PEER, *good)
    assert guard.refused == REFUSALS_MAX + 1


def test_refusals_that_are_spread_over_time_shut_nobody_out() -> None:
    """Ten in a minute are many, ten in an hour are not."""
    clock = Clock()
    guard = admission(clock=clock)
    for _ in range(3 * REFUSALS_MAX):
        assert "token" in refused(guard, PEER, "worker", (), WORKER)
        clock.now += 7.0


def test_the_memory_of_refused_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr("pymr.cluster.admission.HOSTS_MAX", 5)
    guard = admission()

    for number in range(100):
        refused(guard, f"ipv4:10.0.0.{number}:1", "worker", (), WORKER)

    assert len(guard._refusals) == 5


def test_a_host_has_so_many_connections_and_no_more() -> None:
    """Many calls on one of them are one; one that is over makes room."""
    guard = admission(connections_max=2)
    good = "worker", bearer("worker-secret"), WORKER
    for peer in ("ipv4:10.0.0.7:1", "ipv4:10.0.0.7:2", "ipv4:10.0.0.7:2"):
        guard.enter(peer, *good)

    third = "ipv4:10.0.0.7:3"
    assert "has 2 connections, expected at most 2" in refused(guard, third, *good)
    guard.enter("ipv4:10.0.0.8:1", *good)
    guard.leave("ipv4:10.0.0.7:2")
    assert "has 2 connections" in refused(guard, third, *good)
    guard.leave("ipv4:10.0.0.7:2")
    guard.enter(third, *good)


def test_what_was_left_is_forgotten() -> None:
    """A master that runs for days keeps nothing of those who have gone."""
    guard = admission()
    guard.enter(PEER, "worker", bearer("worker-secret"), WORKER)

    guard.leave(PEER)

    assert not guard._calls


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7"),
        ("ipv6:[::1]:4711", "::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("unix:", "unix:"),
    ],
)
def test_the_host_of_a_peer(peer: str, host: str) -> None:
    """As gRPC names it, the port left out."""
    assert host_of(peer) == host


def test_no_repr_has_a_token() -> None:
    """Whoever logs it gives nothing away."""
    assert repr(admission()) == "Admission('run-1')"
