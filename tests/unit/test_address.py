"""`HOST:PORT`, and how others call a master."""

from __future__ import annotations

import socket

import pytest

from pymr.cluster.address import HostPort, hosts_of, parse_host_port
from pymr.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:50051", "0.0.0.0", 50051),
        ("master.example:0", "master.example", 0),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    """And is the same text again."""
    assert parse_host_port(text) == (host, port)
    assert str(parse_host_port(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "host", ":1", "host:", "host:65536", "host:x", "::1:1", "a b:1", "http://h:1", "h:-1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With examples."""
    with pytest.raises(
        ConfigError, match="is no address to listen at, expected HOST:PORT"
    ) as caught:
        parse_host_port(text)

    assert "0.0.0.0:50051" in (caught.value.hint or "")


def test_a_host_is_called_by_its_name() -> None:
    """Whatever was given is what others get."""
    assert hosts_of("master.example") == ("master.example",)
    assert hosts_of("10.0.0.7") == ("10.0.0.7",)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_stand_for_those_that_others_can_reach(host: str) -> None:
    """The machine's name is one of them; none is `0.0.0.0`, which is nobody's."""
    found = hosts_of(host)

    assert socket.gethostname() in found
    assert not {"0.0.0.0", "::"} & set(found)


def test_an_address_with_colons_has_brackets() -> None:
    """As everywhere."""
    assert str(HostPort("::1", 1)) == "[::1]:1"
