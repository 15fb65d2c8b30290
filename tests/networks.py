"""Networks for hosts that are none: a namespace for each, on one bridge, and ways to break them.

    hub, 10.77.0.1 ──bridge──┬── master, 10.77.0.2
                             ├── w1, 10.77.0.3
                             └── …

Nothing of it touches the networks of this machine: the bridge is in a namespace, too. What tests
serve to the hosts listens there, by sockets that a thread has opened inside.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

HUB: Final = "hub"
_CLONE_NEWNET: Final = 0x40000000
_numbers = count()


def need_networks() -> None:
    """Skip the test where no networks can be made; with CI set, fail it."""
    if os.geteuid() == 0 and all(map(shutil.which, ("ip", "iptables", "unshare"))):
        return
    why = "needs root, `ip` and `iptables`: each host has a network namespace"
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


class Networks:
    """The namespaces of one test, until `close`."""

    def __init__(self) -> None:
        self._tag = f"pymr-{os.getpid()}-{next(_numbers)}"
        self._addresses: dict[str, str] = {}
        self._names = tempfile.TemporaryDirectory(prefix="pymr-names-")
        self._make(HUB)
        self._in(HUB, "ip link add bridge0 type bridge")
        self._in(HUB, f"ip address add {self.address(HUB)}/24 dev bridge0")
        self._in(HUB, "ip link set bridge0 up")

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return self._addresses[name]

    def add(self, name: str) -> None:
        """Connect a new host."""
        self._make(name)
        end = f"to{len(self._addresses)}"
        self._in(HUB, f"ip link add {end} type veth peer name eth0 netns {self._tag}-{name}")
        self._in(HUB, f"ip link set {end} master bridge0 up")
        self._in(name, f"ip address add {self.address(name)}/24 dev eth0")
        self._in(name, "ip link set eth0 up")

    def entry(self, name: str) -> list[str]:
        """Return how a command begins that runs on a host, under the name of that.

        It has a table of names of its own: `ip` gives it a mount namespace.
        """
        lines = 'mount --bind "$0" /etc/hosts && hostname "$1" && shift && exec "$@"'
        renamed = ("unshare", "--uts", "sh", "-c", lines, str(self._table(name)), name)
        return ["ip", "netns", "exec", f"{self._tag}-{name}", *renamed]

    def tell_names(self, name: str, *known: str) -> None:
        """Let a host look up the names of other hosts, and no others."""
        rows = ["127.0.0.1 localhost", *(f"{self.address(each)} {each}" for each in known)]
        self._table(name).write_text("\n".join(rows) + "\n")

    def _table(self, name: str) -> Path:
        return Path(self._names.name, name)

    def drop(self, source: str, target: str) -> None:
        """Lose all that `source` sends to `target`; the other direction goes on."""
        self._in(target, f"iptables -A INPUT -s {self.address(source)} -j DROP")

    def cut(self, one: str, other: str) -> None:
        """Lose all between two hosts."""
        self.drop(one, other)
        self.drop(other, one)

    def reset(self, source: str, target: str) -> None:
        """End all connections from `source` to `target`, and refuse new ones; `target` is not told."""
        refuse = "-p tcp -j REJECT --reject-with tcp-reset"
        self._in(source, f"iptables -A OUTPUT -d {self.address(target)} {refuse}")

    def lose(self, name: str, share: float) -> None:
        """Lose a share of the packets that come to a host."""
        chance = f"-m statistic --mode random --probability {share}"
        self._in(name, f"iptables -A INPUT -i eth0 {chance} -j DROP")

    def heal(self) -> None:
        """Lose nothing any more."""
        for name in self._addresses:
            self._in(name, "iptables -F")

    def unplug(self, name: str) -> None:
        """Take a host off the network."""
        self._in(name, "ip link set eth0 down")

    def plug(self, name: str) -> None:
        """Put a host back."""
        self._in(name, "ip link set eth0 up")

    def inside(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns that runs in the hub; sockets it opens belong there."""
        done: list[Any] = []

        def enter() -> None:
            with Path(f"/run/netns/{self._tag}-{HUB}").open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            done.append(work())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        [result] = done
        return result

    def listener(self) -> socket.socket:
        """Return a socket that listens to all hosts."""
        address: socket.socket = self.inside(lambda: socket.create_server((self.address(HUB), 0)))
        return address

    def close(self) -> None:
        """Remove all namespaces. May be called twice."""
        names, self._addresses = list(self._addresses), {}
        for name in names:
            subprocess.run(["ip", "netns", "delete", f"{self._tag}-{name}"], check=False)
        self._names.cleanup()

    def _make(self, name: str) -> None:
        subprocess.run(["ip", "netns", "add", f"{self._tag}-{name}"], check=True)
        self._addresses[name] = f"10.77.0.{len(self._addresses) + 1}"
        self._in(name, "ip link set lo up")
        self.tell_names(name)

    def _in(self, name: str, command: str) -> None:
        subprocess.run(["ip", "netns", "exec", f"{self._tag}-{name}", *command.split()], check=True)


class Loopback:
    """What stands for networks where none are needed: all hosts are this machine."""

    def address(self, name: str) -> str:
        """Return the address of a host."""
        del name
        return "127.0.0.1"

    def add(self, name: str) -> None:
        """Do nothing."""

    def entry(self, name: str) -> list[str]:
        """Return how a command begins that runs on a host."""
        del name
        return []

    def listener(self) -> socket.socket:
        """Return a socket that listens to all hosts."""
        return socket.create_server(("127.0.0.1", 0))

    def close(self) -> None:
        """Do nothing."""
