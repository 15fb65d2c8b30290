"""Real stores for tests: MinIO, built once from its pinned Go module, and Ceph from Debian.

    python tests/services.py install             builds and installs what is missing
    python tests/services.py run COMMAND …       starts both, runs the command, stops them

A test that asks for the fixture `minio` or `ceph` uses those that `run` has started; without, a
MinIO is started for the process if it is built, and what is not there is skipped; with CI set, it
fails. Data is in temporary folders, ports are free ones, keys are made up each time.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from pymr.cluster.certificate import Authority
from pymr.store.access import Access, Address
from pymr.store.object_probe import Probed, Trait
from pymr.store.object_store import ObstoreStore, open_objects
from pymr.store.safety import keep
from s3_request import Server, send

MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
CEPH = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "ceph-common")  # packages of Debian
TOOLS = {"ip": "iproute2", "iptables": "iptables"}  # of `networks`: the program, its package
CACHE = Path(os.environ.get("PYMR_SERVICES_CACHE") or "~/.cache/pymr-services/bin").expanduser()
STARTED: dict[str, list[str]] = json.loads(os.environ.get("PYMR_SERVICES") or "{}")
HOW = "make test-services   starts it; python tests/services.py install   gets it"
_START_S = 120.0
PIECE = bytes(range(256)) * 4096  # 1 MiB


class Minio:
    """A MinIO with its data in `folder`, until `kill`; it can be started again.

    With `room`, such as `64m`, they are on a disk of that size, which goes with it; for root only.
    With an `authority` it speaks TLS, and that one vouches for it.
    """

    def __init__(
        self, folder: Path, room: str | None = None, authority: Authority | None = None
    ) -> None:
        self.data = folder / "data"
        self._room = room
        self._log = folder / "log"
        self._address = f"127.0.0.1:{free_port()}"
        keys = secrets.token_hex(8), secrets.token_hex(16)
        self.server = Server(f"http://{self._address}", *keys)
        self._certificates = folder / "certificates"
        self._certificates.mkdir()
        if authority is not None:
            write_certificate(authority, self._certificates)
            vouched = authority.certificate.decode()
            self.server = Server(f"https://{self._address}", *keys, root_certificates=vouched)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers; a test that starts one needs it."""
        require("minio")
        environ = {
            "HOME": str(self.data.parent),
            "MINIO_ROOT_USER": self.server.access_key_id,
            "MINIO_ROOT_PASSWORD": self.server.secret_access_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        command = ["/usr/bin/setpriv", "--pdeathsig", "KILL"]  # it ends if we are killed
        command += [str(CACHE / "minio"), "server", "--quiet", "--address", self._address]
        command += ["--certs-dir", str(self._certificates), str(self.data)]
        if self._room is not None:
            self.data.mkdir(exist_ok=True)
            mount = f'mount -t tmpfs -o size={self._room} none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, str(self.data), *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        _wait(lambda: new_bucket(self.server), self._log, self._process)

    def fill(self) -> None:
        """Leave no room on its own disk."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while filler.write(PIECE):
                pass

    def make_room(self) -> None:
        """Give that back, and return when it has seen so: it looks at its disk once a second."""
        self._filler.unlink()
        _wait(self._take_a_piece, self._log, self._process)

    def _take_a_piece(self) -> None:
        send(self.server, "PUT", f"/{new_bucket(self.server)}/fits", body=PIECE)

    @property
    def _filler(self) -> Path:
        assert self._process is not None, "it has begun"
        seen_by_it = Path(f"/proc/{self._process.pid}/root")  # No other process has mounted that.
        return seen_by_it / self.data.relative_to("/") / "filler"

    def kill(self) -> None:
        """Kill it: nobody hears of it before."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def write_certificate(authority: Authority, folder: Path, *hosts: str) -> None:
    """Write what MinIO serves with at 127.0.0.1 and `hosts`, under the names that it expects."""
    identity = authority.for_master(hosts)
    (folder / "public.crt").write_bytes(identity.certificate)
    (folder / "private.key").write_bytes(identity.key)


@contextmanager
def small_minio(folder: Path) -> Iterator[Minio]:
    """Have a MinIO on a small disk of its own, as long as the block lasts: tests fill it."""
    data = folder / "minio"
    data.mkdir()
    running = Minio(data, room="64m")
    running.start()
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def minio(parent: Path | None = None) -> Iterator[Server]:
    """Run a MinIO until the end of the block; its data is in `parent`, or among temporary files."""
    with tempfile.TemporaryDirectory(prefix="pymr-minio-", dir=parent) as folder:
        running = Minio(Path(folder))
        try:
            running.start()
            yield running.server
        finally:
            running.kill()


@contextmanager
def ceph() -> Iterator[Server]:
    """Run a Ceph with one gateway until the end of the block."""
    keys = secrets.token_hex(8), secrets.token_hex(16)
    script = str(Path(__file__).with_name("ceph.sh"))
    with tempfile.TemporaryDirectory(prefix="pymr-ceph-") as folder:
        log = Path(folder, "up.log")
        ports = str(free_port()), str(free_port())
        server = Server(f"http://127.0.0.1:{ports[1]}", *keys)
        try:
            with log.open("wb") as out:
                subprocess.run(
                    [script, "up", folder, *ports, *keys], stdout=out, stderr=out, check=True
                )
            _wait(lambda: new_bucket(server), log)
            yield server
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"Ceph does not start:\n{log.read_text()}") from error
        finally:
            subprocess.run([script, "down", folder], check=False)


SERVICES: dict[str, Callable[[], object]] = {"minio": minio, "ceph": ceph}


def is_installed(name: str) -> bool:
    """Say whether a service can be started here."""
    programs = [str(CACHE / "minio")] if name == "minio" else [*CEPH[:4], "ceph"]
    return all(shutil.which(program) for program in programs)


def require(name: str) -> None:
    """Refuse a test whose service is not installed."""
    if not is_installed(name):
        refuse_absent(name)


def refuse_absent(name: str) -> NoReturn:
    """Skip a test whose service is not here; with CI set, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"no {name} here: {HOW}", pytrace=False)
    pytest.skip(f"no {name} here: {HOW}")


def new_bucket(server: Server) -> str:
    """Make a bucket and return its name."""
    name = f"b-{secrets.token_hex(6)}"
    send(server, "PUT", f"/{name}")
    return name


def trust(server: Server, bucket: str, state: Path, **access: object) -> None:
    """Take a bucket for safe, for all whose `XDG_STATE_HOME` is `state`: no run there is to wait.

    `test_store_probe` has tried these stores.
    """
    probed = Probed((Trait("all", "SAFE", "tried elsewhere"),), time.time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        keep(Address("s3", bucket, ""), access_to(server, **access), probed)


def open_bucket(server: Server, **access: object) -> ObstoreStore:
    """Return the objects under a prefix of a new bucket."""
    address = Address("s3", new_bucket(server), "a/prefix")
    return open_objects(address, access_to(server, **access))


def write_object(store: ObstoreStore, key: str, mebibytes: int) -> bytes:
    """Write an object of so many MiB as a stream, and return its bytes."""
    with store.create(key) as writer:
        for _ in range(mebibytes):
            writer.write(PIECE)
        writer.commit()
    return PIECE * mebibytes


def unfinished_uploads(server: Server, bucket: str) -> int:
    """Return how many uploads of a bucket are neither complete nor aborted."""
    return send(server, "GET", f"/{bucket}", {"uploads": ""}).count(b"<UploadId>")


def access_to(server: Server, **changes: object) -> Access:
    """Return the access of a server's owner."""
    return msgspec.convert({**server._asdict(), **changes}, Access)


def install() -> None:
    """Build MinIO, and install Ceph's packages, and those that make networks for hosts."""
    if not is_installed("minio"):
        sys.stderr.write(f"building MinIO in {CACHE}\n")
        subprocess.run(
            ["go", "install", "-trimpath", "-ldflags=-s -w", MINIO],
            env={**os.environ, "GOBIN": str(CACHE), "CGO_ENABLED": "0"},
            check=True,
        )
    wanted = [] if is_installed("ceph") else [*CEPH]
    wanted += [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if wanted:
        apt = [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-qq"]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", *wanted], check=True)


def run(command: list[str]) -> int:
    """Run a command beside all services that are installed."""
    with ExitStack() as stack:
        started = {}
        for name, start in SERVICES.items():
            if is_installed(name):
                started[name] = stack.enter_context(start())  # type: ignore[arg-type]
            else:
                sys.stderr.write(f"skipped: tests on {name}   {HOW}\n")
        environ = {**os.environ, "PYMR_SERVICES": json.dumps(started)}
        return subprocess.run(command, env=environ, check=False).returncode


def free_port() -> int:
    """Return a port that nobody listens at, of those that the system gives nobody unasked.

    So it is free as long as who is to listen there starts, or is away for a while.
    """
    while True:
        port = secrets.choice(range(20_000, 30_000))  # `random` is the same in all that test here
        with suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port


def _wait(
    ask: Callable[[], object], log: Path, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Return as soon as the service does what it is asked for."""
    deadline, pause = time.monotonic() + _START_S, threading.Event()
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            ask()
        except (OSError, HTTPException, AssertionError):
            pause.wait(0.05)
        else:
            return
    raise RuntimeError(f"the service does not start:\n{log.read_text(errors='replace')}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["install"]:
        install()
    elif sys.argv[1:2] == ["run"] and sys.argv[2:]:
        if os.environ.get("CI"):
            install()
        sys.exit(run(sys.argv[2:]))
    else:
        sys.exit(__doc__)
