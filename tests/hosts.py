"""A master and workers on hosts of their own, before a real store: `pymr start --on hosts`.

    with Hosts(tmp_path, minio) as hosts:
        hosts.hold("line17")                    # whoever maps that line waits there
        master = hosts.start(workers=2)
        hosts.worker("w1"), hosts.worker("w2")
        held = hosts.held("line17")             # "w1"
        hosts.networks.cut(held, "master")
        …
        assert master.ended() == 0, master.said
        hosts.assert_whole()

Each host has a folder, a home, and (unless `namespaces=False`) a network and a name of its own.
The store is reached through `hosts.proxy`, a `FaultProxy`. The job joins the numbers of the lines
in which a word stands, so its bytes tell whether a line was lost, came twice, or out of order.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from cli import CommandLine
from fault_proxy import FaultProxy
from networks import HUB, Loopback, Networks, need_networks
from oracle import reference
from pymr.core import events
from pymr.core.spec import Attempt
from pymr.names import MANIFEST
from pymr.observe.feed import read_entries
from pymr.store.access import Access, open_store
from pymr.store.base import ObjectStore
from pymr.store.place import open_place
from s3_request import Server
from services import access_to, new_bucket, trust

MASTER: Final = "master"
STORE: Final = HUB  # what hosts reach the store at
LOOK_S: Final = 0.05
SOON_S: Final = 30.0  # for what happens at once, on a machine that is busy
REDUCERS: Final = 2
MAPPERS: Final = 4
JOIN: Final = "run.join"
SAYS_JOIN: Final = "on the other machines:"  # the master listens
WORKER: Final = """\
import os, select
import pymr

def stop_at(ctx, place):
    folder = ctx.params["folder"]
    host = os.environ["TEST_HOST"]
    for name in (f"at-{place}@{host}", f"at-{place}"):
        try:
            os.rename(f"{folder}/{name}", f"{folder}/came-{place}@{host}")
            break
        except FileNotFoundError:
            pass
    else:
        return
    while not os.path.exists(f"{folder}/go-{place}"):
        select.select([], [], [], 0.02)

def mapper(ctx, line):
    number, *words = line.split()
    stop_at(ctx, number)
    for word in words:
        ctx.emit(word, number)

def reducer(ctx, key, values):
    stop_at(ctx, f"key-{key}")
    ctx.emit(key, "|".join(values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
# 32 lines of 14 bytes: 8 for each of four map tasks.
# … of which these are the first lines.
FIRST: Final = ("line00", "line08", "line16", "line24")
LINES: Final = [f"line{n:02d} {'even' if n % 2 else 'odds'} {n % 4}\n" for n in range(32)]


def until(is_so: Callable[[], object], what: str, wait_s: float = SOON_S) -> None:
    """Wait until it is so; else fail, and say what was waited for."""
    deadline, pause = time.monotonic() + wait_s, threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, f"not within {wait_s:g} s: {what}"
        pause.wait(LOOK_S)


class HostProcess:
    """A command on a host; what it writes is in `said`, as it comes."""

    def __init__(
        self, host: str, command: list[str | Path], folder: Path, environ: dict[str, str]
    ) -> None:
        self.host = host
        self.said = ""
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],  # It ends if the tests are killed.
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, to this process alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and return when it has ended."""
        self._process.kill()
        self._process.wait()

    def wait_for(self, pattern: str, wait_s: float = SOON_S) -> re.Match[str]:
        """Wait until it has written what a pattern finds."""
        deadline, pause = time.monotonic() + wait_s, threading.Event()
        while (found := re.search(pattern, self.said)) is None:
            has_ended = not self.is_running
            if has_ended:
                self._reader.join(SOON_S)
            late = time.monotonic() > deadline
            if (has_ended or late) and not re.search(pattern, self.said):
                how = f"ended ({self._process.returncode})" if has_ended else f"{wait_s:g} s"
                raise AssertionError(f"{self.host}, {how}: no `{pattern}` in\n{self.said}")
            pause.wait(LOOK_S)
        return found

    def ended(self, wait_s: float = SOON_S) -> int:
        """Wait for its end, and return its exit code."""
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.host} goes on after {wait_s:g} s\n{self.said}") from error
        self._reader.join(SOON_S)
        return code

    def close(self) -> None:
        """Kill it, if it is there."""
        self.kill()
        self._reader.join(SOON_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            while data := os.read(stdout.fileno(), 1 << 16):
                self.said += data.decode(errors="replace")


class Hosts:
    """Hosts that are there until the end of the block, and the store that they share."""

    def __init__(
        self,
        folder: Path,
        server: Server,
        *,
        namespaces: bool = True,
        direct: bool = False,
        seed: int = 0,
    ) -> None:
        """`direct`: the store is reached without the proxy, which needs no namespaces."""
        if namespaces:
            need_networks()
        self.folder = folder
        self.server = server
        self._bucket = new_bucket(server)
        self.address = f"s3://{self._bucket}"
        self.output = f"{self.address}/out"
        self.objects: ObjectStore = open_store(self.output, access_to(server))
        self.processes: list[HostProcess] = []
        self._places = folder / "places"  # of the job, where tests hold it
        self._places.mkdir()
        self._tag = secrets.token_hex(8)
        self._hosts: dict[str, CommandLine] = {}
        self._stack = ExitStack()
        self._loopback = Loopback()
        try:
            self._networks = Networks() if namespaces else None
            net = self._net
            self._stack.callback(net.close)
            proxy = FaultProxy(server.endpoint, seed, net.listener())
            self.proxy = self._stack.enter_context(proxy)
            self.endpoint = server.endpoint if direct else self.proxy.endpoint
            self._stack.callback(self._end_processes)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def networks(self) -> Networks:
        """The networks, to break them."""
        assert self._networks is not None, "these hosts have no networks"
        return self._networks

    @property
    def _net(self) -> Networks | Loopback:
        return self._networks or self._loopback

    @property
    def access(self) -> Access:
        """How hosts reach the store."""
        return access_to(self.server, endpoint=self.endpoint)

    # -- processes -----------------------------------------------------------------------------

    def host(self, name: str) -> CommandLine:
        """Return the folder and home of a host, which is made if it is new."""
        if name not in self._hosts:
            self._net.add(name)
            (self.folder / name).mkdir()
            cli = self._hosts[name] = CommandLine(self.folder / name)
            trust(self.server, self._bucket, cli.home / "state", endpoint=self.endpoint)
        return self._hosts[name]

    def run(self, host: str, *arguments: str | Path, **environ: str) -> HostProcess:
        """Start `pymr` with the arguments on a host, and the variables besides its own."""
        cli = self.host(host)
        given = {**cli.environ, "TEST_HOST": host, "TEST_TAG": self._tag, **environ}
        command = [*self._net.entry(host), cli.pymr, *arguments]
        process = HostProcess(host, command, cli.folder, given)
        self.processes.append(process)
        return process

    def with_keys(self) -> dict[str, str]:
        """Return the variables of one who may use the store."""
        return {
            "AWS_ACCESS_KEY_ID": self.server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_access_key,
            "AWS_REGION": self.server.region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def start(
        self,
        *arguments: str,
        workers: int = 1,
        files: dict[str, str | bytes] | None = None,
        **environ: str,
    ) -> HostProcess:
        """Start the job on the host `master`; return when workers may join.

        `files` are written there first: by default the job of this module, and its input.
        """
        cli = self.host(MASTER)
        for name, content in (files or {"worker.py": WORKER, "in.txt": "".join(LINES)}).items():
            cli.write(name, content)
        shown = [] if any(a.startswith("--input") for a in arguments) else ["--input=in.txt"]
        process = self.run(
            MASTER,
            *("start", "--on=hosts", f"--listen={self._net.address(MASTER)}:0", "--name=words"),
            *(f"--join-file={JOIN}", f"--workers={workers}"),
            *(f"--store={self.address}", f"--output={self.output}"),
            *(f"--set=folder={self._places}", f"--reducers={REDUCERS}", f"--mappers={MAPPERS}"),
            *(*shown, *arguments, "worker.py"),
            **self.with_keys(),
            **environ,
        )
        process.wait_for(SAYS_JOIN)
        return process

    def resume(self, *arguments: str, host: str = MASTER, **environ: str) -> HostProcess:
        """Take the run on, on the host that began it; return at once."""
        return self.run(host, "resume", self.output, *arguments, **self.with_keys(), **environ)

    def worker(self, name: str, *arguments: str, slots: int = 1, **environ: str) -> HostProcess:
        """Start a worker on a host of that name, with the join file that is there now."""
        target = self.host(name).folder / JOIN
        shutil.copy(self.host(MASTER).folder / JOIN, target)
        target.chmod(0o600)
        given = (f"--join-file={JOIN}", f"--slots={slots}")
        return self.run(name, "worker", *given, *arguments, **environ)

    def left(self) -> list[str]:
        """Return the process ids of all that was started on hosts, and is still there."""
        return list(self._pids())

    def _pids(self) -> Iterator[str]:
        mark = f"TEST_TAG={self._tag}\0".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # It has ended, or is another user's.
                if mark in path.read_bytes():
                    yield path.parent.name

    def _end_processes(self) -> None:
        for process in self.processes:
            process.close()
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    # -- the job -------------------------------------------------------------------------------

    def hold(self, *places: str, host: str | None = None) -> None:
        """Have who comes to a line (`line17`) or a key (`key-even`) wait there, once.

        `host`: only that one waits.
        """
        for place in places:
            name = f"at-{place}" if host is None else f"at-{place}@{host}"
            (self._places / name).touch()

    def held(self, place: str, wait_s: float = SOON_S) -> str:
        """Wait until somebody has come there, and return the name of the host."""
        until(lambda: list(self._places.glob(f"came-{place}@*")), f"{place}, {self.told()}", wait_s)
        [came] = self._places.glob(f"came-{place}@*")
        return came.name.rpartition("@")[2]

    def came(self, count: int = 0) -> dict[str, str]:
        """Return the host that has come to each place, when there are so many."""

        def found() -> dict[str, str]:
            names = [path.name.removeprefix("came-") for path in self._places.glob("came-*")]
            return dict(name.split("@") for name in sorted(names))

        until(lambda: len(found()) >= count, f"{count} places, {self.told()}")
        return found()

    def release(self, *places: str) -> None:
        """Let those go on who wait there."""
        for place in places:
            (self._places / f"go-{place}").touch()

    # -- what comes out ------------------------------------------------------------------------

    def told(self) -> str:
        """Return what all processes have written, for a failed test."""
        return "\n".join(f"-- {each.host}\n{each.said}" for each in self.processes)

    def parts(self) -> list[str]:
        """Return the text of each part in the store, stray ones too."""
        return [self.objects.get(key).decode() for key in self.part_keys()]

    def part_keys(self) -> list[str]:
        """Return the keys of all parts in the store."""
        return sorted(e.key for e in self.objects.list("") if "part-" in e.key)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of the output."""
        found: dict[str, Any] = msgspec.json.decode(self.objects.get(MANIFEST))
        return found

    def happened(self, *kinds: type[events.Event]) -> list[Any]:
        """Return the events of those kinds that are in the store, in their order."""
        place = open_place(self.output, access_to(self.server))
        (run,) = place.runs()
        entries = read_entries(list(place.read_history(run)))
        return [entry.event for entry in entries if isinstance(entry.event, kinds)]

    def committed(self) -> list[Attempt]:
        """Return the attempts that are committed, as far as the history is written."""
        return [event.receipt.attempt for event in self.happened(events.TaskCommitted)]

    def assert_whole(self, expected: list[str] | None = None, wait_s: float = SOON_S) -> None:
        """Assert that the output is complete, and nothing else is: no part, no process."""
        expected = expected if expected is not None else expected_parts("".join(LINES))
        assert self.parts() == expected, self.told()
        named = [part["name"] for part in self.manifest()["parts"]]
        assert self.part_keys() == sorted(named)
        until(lambda: not self.left(), "all processes end", wait_s)

    def assert_nothing(self) -> None:
        """Assert that nothing in the store looks like a result."""
        assert self.part_keys() == []
        assert not [entry.key for entry in self.objects.list("") if entry.key == MANIFEST]


def expected_parts(text: str, reducers: int = REDUCERS) -> list[str]:
    """Return the text of each part of the job of this module, by the reference."""

    def pairs(line: str) -> list[tuple[str, str]]:
        number, *words = line.split()
        return [(word, number) for word in words]

    parts = reference(text.splitlines(), pairs, lambda _key, values: "|".join(values), reducers)
    return ["".join(f"{key}\t{value}\n" for key, value in rows) for rows in parts]
