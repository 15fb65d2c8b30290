"""A port of this machine that leads to a Service of the cluster, as long as a block lasts.

kubectl does it: the API server's own protocol for it is not worth a second client. kubectl leads to
one pod, and ends when that goes; then another is started at the same port, so that whoever uses the
port sees a store that is out of reach for a moment, and waits for that as for any store.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Self

from pymr.errors import ClusterError
from pymr.text_form import show_text

FORWARD_START_S: Final = 30.0  # for kubectl to say the port
FORWARD_AGAIN_S: Final = 0.5  # between two tries, when the pod is gone
FORWARD_END_S: Final = 5.0
_SAID_CHARACTERS_MAX: Final = 300
# Runs a command until it ends, or whoever holds the other end of its standard input does.
_UNTIL_WE_END: Final = '("$@" < /dev/null; kill $$) & read _; kill 0'
_PORT: Final = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ")


class Target(NamedTuple):
    """What a port leads to: `service/minio`, port 9000, in a namespace of a context."""

    context: str
    namespace: str
    name: str
    port: int

    def command(self, local_port: int | None = None) -> list[str]:
        """Return kubectl's line for it; None: any port here that is free."""
        where = ["--context", self.context, "--namespace", self.namespace]
        ports = f"{local_port or ''}:{self.port}"
        return ["kubectl", *where, "port-forward", "--address", "127.0.0.1", self.name, ports]


class Forward:
    """The port, from `open` to `close`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = threading.Event()
        self._lock = threading.Lock()
        self._watch = threading.Thread(target=self._keep_open, name="pymr-forward", daemon=True)

    @property
    def endpoint(self) -> str:
        """The URL of what is behind the port."""
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> Self:
        """Start kubectl, which takes a while; `open` waits for it.

        Raises:
            ClusterError: there is none.
        """
        self._process = _started(self.target.command())
        return self

    def open(self) -> Self:
        """Return when the port leads somewhere.

        Raises:
            ClusterError: there is no kubectl, or it says why not.
        """
        if self._process is None:
            self.begin()
        assert self._process is not None, "it was started"
        port, said = _port_of(self._process)
        if port is None:
            self._process = None
            raise ClusterError(
                f"no port of this machine leads to {self.target.name} in namespace"
                f" `{self.target.namespace}`: {_last_words(said)}",
                hint=" ".join(self.target.command()),
            )
        self.port = port
        self._watch.start()
        return self

    def close(self) -> None:
        """Give the port back. May be called twice."""
        self._is_closed.set()
        with self._lock:
            _end(self._process)
        if self._watch.is_alive():
            self._watch.join(FORWARD_END_S)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_open(self) -> None:
        """Start kubectl again whenever it ends."""
        while not self._is_closed.is_set():
            assert self._process is not None, "it was opened"
            self._process.wait()
            with self._lock:
                _end(self._process)  # What is left of it.
            if self._is_closed.wait(FORWARD_AGAIN_S):
                return
            process = _started(self.target.command(self.port))
            port, _ = _port_of(process)
            with self._lock:
                self._process = process
                if self._is_closed.is_set() or port is None:
                    _end(process)


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start kubectl.

    Raises:
        ClusterError: there is none.
    """
    if shutil.which(command[0]) is None:
        raise ClusterError(
            "there is no kubectl here, which leads a port of this machine into the cluster",
            hint="https://kubernetes.io/docs/tasks/tools/",
        )
    return subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_WE_END, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us: what we do last still needs the store.
    )


def _port_of(process: subprocess.Popen[bytes]) -> tuple[int | None, bytes]:
    """Return the port that kubectl says, and all that it says; None: there is none, and it ends."""
    late = threading.Timer(FORWARD_START_S, _end, [process])
    late.start()
    said = b""
    assert process.stdout is not None, "it is a pipe"
    try:
        for line in process.stdout:
            said += line
            if found := _PORT.search(line):
                _drain(process)
                return int(found[1]), said
        process.stdout.close()
        _end(process)
        return None, said
    finally:
        late.cancel()


def _drain(process: subprocess.Popen[bytes]) -> None:
    """Read what kubectl says of each connection, or it would wait for somebody who does."""

    def read() -> None:
        assert process.stdout is not None, "it is a pipe"
        with process.stdout:
            for _ in process.stdout:
                pass

    threading.Thread(target=read, name="pymr-forward-says", daemon=True).start()


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # It leads a group of its own.
        with suppress(subprocess.TimeoutExpired):
            process.wait(FORWARD_END_S)
            break
    assert process.stdin is not None, "it is a pipe"
    process.stdin.close()


def _last_words(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return show_text(lines[-1])[:_SAID_CHARACTERS_MAX] if lines else "kubectl says nothing"
