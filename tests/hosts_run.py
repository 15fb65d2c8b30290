"""A run on hosts of its own: a master, workers and a real store, on the real command line.

All are processes of this machine, and end with the block:

    with HostsRun(tmp_path, server) as run:
        master = run.start()
        worker = run.worker()
        assert master.ends() == 0

What the worker file does at a record or a key is told as in `stopped_run`; there `kill-runner` kills
the worker's own process, and not the master.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cli import PYMR, CommandLine
from pymr.failpoint import VARIABLE
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from pymr.task.commit import verify_output
from s3_request import Server
from services import access_to, new_bucket
from stopped_run import SETTINGS, prepare, processes_of

WAIT_S = 60.0  # for anything; what takes so long hangs


def until(what: str, holds: Callable[[], object], within_s: float = WAIT_S) -> None:
    """Return as soon as `holds` does."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, what
        pause.wait(0.02)


class Running:
    """A command that runs, and what it has said so far."""

    def __init__(
        self, cli: CommandLine, name: str, command: tuple[str, ...], environ: dict[str, str]
    ) -> None:
        self._log = cli.folder / f"{name}.log"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                ["env", "--default-signal", *command],
                cwd=cli.folder,
                env={**cli.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def says(self, part: str) -> Self:
        """Wait for it to say `part`."""
        until(
            f"`{part}` is not said:\n{self.said}",
            lambda: part in self.said or self.popen.poll() is not None,
        )
        assert part in self.said, f"exit {self.popen.returncode}\n{self.said}"
        return self

    def ends(self) -> int:
        """Wait for its end, and return its exit code."""
        until(f"it does not end:\n{self.said}", lambda: self.popen.poll() is not None)
        return int(self.popen.returncode)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> Self:
        """Send a signal; one that ends it is waited for."""
        self.popen.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            self.ends()
        return self


class HostsRun:
    """A folder, a bucket and the processes of one run."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.cli = CommandLine(folder)
        self.bucket = new_bucket(server)
        self._access = access_to(server)
        self._started: list[Running] = []
        self.cli.environ |= {
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_REGION": server.region,
        }
        prepare(self.cli)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._started:
            each.popen.kill()
            each.popen.wait()
        for pid in processes_of(self.cli):
            os.kill(int(pid), signal.SIGKILL)

    @property
    def output(self) -> str:
        """Where the result goes."""
        return f"s3://{self.bucket}/out"

    @property
    def objects(self) -> ObstoreStore:
        """The store of the output."""
        return open_objects(Address("s3", self.bucket, "out"), self._access)

    def run(self, *arguments: str, armed: str = "") -> Running:
        """Run a command of `pymr`; `armed` is a fail-point."""
        return self._run(arguments[0], (str(PYMR), *arguments), armed)

    def _run(self, name: str, command: tuple[str, ...], armed: str) -> Running:
        name = f"{len(self._started)}-{name}"
        running = Running(self.cli, name, command, {VARIABLE: armed} if armed else {})
        self._started.append(running)
        return running

    def quick_start(self, *, workers: int = 2, lease_s: float = 4.0) -> Running:
        """As `start`; a worker that is gone is missed after `lease_s`."""
        script = str(Path(__file__).with_name("quick_master.py"))
        command = (sys.executable, script, str(lease_s), f"s3://{self.bucket}", str(workers))
        return self._run("master", command, "")

    def workers(self, count: int) -> list[Running]:
        """Have so many workers join."""
        return [self.worker() for _ in range(count)]

    def start(self, *arguments: str, **run: str) -> Running:
        """Start the prepared job, with a master in that process."""
        store = f"--store=s3://{self.bucket}"
        to = ("--input=in.txt", f"--output={self.output}", store, "--join-file=run.join")
        return self.run(
            "start", "--on=hosts", "--workers=1", *to, *SETTINGS, *arguments, "worker.py", **run
        )

    def worker(self, *arguments: str, **run: str) -> Running:
        """Have a worker join, as soon as there is a join file."""
        until("there is no join file", (self.cli.folder / "run.join").exists)
        return self.run("worker", "--join-file=run.join", "--slots=1", *arguments, **run)

    def rows(self) -> list[str]:
        """Return the rows of the parts, in order."""
        store = self.objects
        parts = sorted(name for name in store.list_names("") if name.startswith("part-"))
        text = b"".join(store.get(key) for key in parts)
        return text.decode().split("\n")[:-1]

    def is_whole(self, expected: list[str]) -> None:
        """Assert that the result is `expected`, and nothing else is left of the run."""
        assert self.rows() == expected
        assert verify_output(self.objects) == []
        until("processes are left", lambda: processes_of(self.cli) == [], 10.0)
        assert list(self.cli.temporary.iterdir()) == []
