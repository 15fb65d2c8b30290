"""`HOST:PORT`: where a master listens, and where others find it."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from contextlib import suppress
from typing import Final, NamedTuple

from pymr.errors import ClusterError, ConfigError, PymrError

PORT_MAX: Final = 65_535
_FORM: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]/]+)):(\d{1,5})")

_BOUND: Final = {
    errno.EADDRINUSE: "another process listens there",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "it may not be used by this user",
}


class HostPort(NamedTuple):
    """A host, without brackets, and a port; as text with brackets where they are needed."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """Return the parts of `HOST:PORT`; port 0 is any that is free.

    Raises:
        ConfigError: it is no such thing.
    """
    match = _FORM.fullmatch(text)
    if match is None or int(match[3]) > PORT_MAX:
        raise ConfigError(
            f"`{text}` is no address to listen at, expected HOST:PORT",
            hint="0.0.0.0:50051, master.example:50051 or [::1]:50051",
        )
    return HostPort(match[1] or match[2], int(match[3]))


def hosts_of(host: str) -> tuple[str, ...]:
    """Return what others can call a machine that listens at `host`, the likeliest first.

    All addresses of it stand for the machine's name, and the address that leads to the world.
    """
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            found = [_outbound_address(), socket.gethostname()]
            return tuple(dict.fromkeys(each for each in found if each)) or ("127.0.0.1",)
    return (host,)


def is_of_this_machine(host: str) -> bool:
    """Say whether nobody but this machine can call `host`."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _outbound_address() -> str | None:
    """Return the address that packets to the world come from; sends none."""
    for family, remote in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))  # A documentation address: only the route is looked up.
            return str(probe.getsockname()[0])
    return None


def unbound(address: HostPort, flag: str = "--listen") -> PymrError:
    """Return why nobody can listen at an address, as a try tells: gRPC does not."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        why = f"cannot listen at `{address}`: no such host, {error.strerror}"
        return ConfigError(why, hint=_all_addresses(address, flag))
    except OSError as error:
        reason = _BOUND.get(error.errno or 0, os.strerror(error.errno or 0))
        if error.errno == errno.EADDRINUSE:
            return ClusterError(
                f"cannot listen at `{address}`: {reason}",
                hint=f"{flag} {HostPort(address.host, 0)} takes any free port",
                port=address.port,
            )
        hint = _all_addresses(address, flag) if error.errno == errno.EADDRNOTAVAIL else None
        return ConfigError(f"cannot listen at `{address}`: {reason}", hint=hint)
    return ClusterError(f"cannot listen at `{address}`", port=address.port)


def _all_addresses(address: HostPort, flag: str) -> str:
    return f"{flag} 0.0.0.0:{address.port} takes all addresses of this machine"
