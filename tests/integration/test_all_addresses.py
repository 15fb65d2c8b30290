"""A master that listens at `[::]`, as those in pods do: over IPv4 and IPv6."""

from __future__ import annotations

import socket
from urllib.request import urlopen

import pytest

from cluster_stub import RunningMaster, request
from pymr.cluster.address import parse_host_port
from pymr.cluster.client import Client
from pymr.cluster.metrics import Gauges, MetricsServer


def has_ipv6() -> bool:
    """Say whether this machine can talk to itself by IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


BOTH = [
    "127.0.0.1",
    pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")),
]


@pytest.mark.parametrize("host", BOTH)
def test_f125_a_master_that_listens_at_all_addresses_is_found_by_each(host: str) -> None:
    """Whichever kind its Service has; its certificate is for its name, not for an address."""
    with RunningMaster(host="[::]") as master:
        port = parse_host_port(master.address).port
        client = Client(master.join("worker", f"{host}:{port}"), wait_s=20.0)
        try:
            assert client.register(request()).run == "run-1"
        finally:
            client.close()


@pytest.mark.parametrize("host", BOTH)
def test_f125_its_numbers_are_asked_for_by_either_kind(host: str) -> None:
    """The kubelet asks at the address that the pod has."""
    with (
        MetricsServer(Gauges(), "[::]:0") as server,
        urlopen(f"http://{host}:{server.address.port}/healthz", timeout=20) as answer,
    ):
        assert answer.read() == b"ok\n"
