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

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cli import PYMR, CommandLine
from pymr.failpoint import VARIABLE
from pymr.names import MANIFEST, journal_slot_key
from pymr.runner.find import find_run
from pymr.runner.stored import read_stored
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from pymr.store.place import open_place
from pymr.task.commit import verify_output
from s3_request import Server
from services import access_to, new_bucket
from stopped_run import SETTINGS, prepare, processes_of

# What the worker file does then: it waits for the file `go`, and says so by another.
WAIT = """\
import os, select
open("waits", "w")
while not os.path.exists("go"):
    select.select([], [], [], 0.01)
"""
WAIT_S = 60.0  # for anything; what takes so long hangs


def until(
    what: str,
    holds: Callable[[], object],
    within_s: float = WAIT_S,
    told: Callable[[], str] = str,
) -> None:
    """Return as soon as `holds` does; if it never does, `told` says more."""
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"{what}\n{told()}"
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

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def says(self, part: str) -> Self:
        """Wait for it to say `part`."""
        until(
            f"`{part}` is not said",
            lambda: part in self.said or self.popen.poll() is not None,
            told=lambda: self.said,
        )
        assert part in self.said, f"exit {self.popen.returncode}\n{self.said}"
        return self

    def ends(self) -> int:
        """Wait for its end, and return its exit code."""
        until("it does not end", lambda: self.popen.poll() is not None, told=self._told)
        return int(self.popen.returncode)

    def _told(self) -> str:
        logs = sorted(self._log.parent.glob("*.log"))
        return "\n".join(f"-- {log.name}\n{log.read_text(errors='replace')}" for log in logs)

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
        if server.root_certificates is not None:
            self.cli.write("authority.pem", server.root_certificates)
            self.cli.environ["AWS_CA_BUNDLE"] = str(self.cli.folder / "authority.pem")
        prepare(self.cli)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._started:
            each.popen.kill()
            each.popen.wait()
        for pid in processes_of(self.cli):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    @property
    def join_file(self) -> Path:
        """What a master writes."""
        return self.cli.folder / "run.join"

    @property
    def output(self) -> str:
        """Where the result goes."""
        return f"s3://{self.bucket}/out"

    @property
    def objects(self) -> ObstoreStore:
        """The store of the output."""
        return open_objects(Address("s3", self.bucket, "out"), self._access)

    def run(
        self, *arguments: str, armed: str = "", prefix: tuple[str, ...] = (str(PYMR),)
    ) -> Running:
        """Run a command of `pymr`; `armed` is a fail-point."""
        return self._run(arguments[0], (*prefix, *arguments), armed)

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

    def start(self, *arguments: str, **run: Any) -> Running:
        """Start the prepared job, with a master in that process."""
        store = f"--store=s3://{self.bucket}"
        to = ("--input=in.txt", f"--output={self.output}", store, "--join-file=run.join")
        return self.run(
            "start", "--on=hosts", "--workers=1", *to, *SETTINGS, *arguments, "worker.py", **run
        )

    def worker(self, *arguments: str, **run: Any) -> Running:
        """Have a worker join, as soon as there is a join file."""
        until("there is no join file", self.join_file.exists)
        return self.run("worker", "--join-file=run.join", "--slots=1", *arguments, **run)

    @property
    def id(self) -> str:
        """The id of the run that began last."""
        return find_run(self.output, lambda _: self._access).run

    def processes(self) -> list[str]:
        """Return the processes that were started for this run, by anybody."""
        return processes_of(self.cli)

    def rewrite_journal(self, old: bytes, new: bytes) -> None:
        """Change records of the journal, each chained anew, in one slot."""
        run, store = self.id, self.objects
        place = open_place(self.output, self._access)
        records = [record.replace(old, new) for record in place.read_journal(run)]
        store.delete_folder(journal_slot_key(run, 0).rpartition("/")[0])
        journal = place.create_journal(run, 1)
        for record in records:
            journal.append(record)
        journal.sync()

    def children_of(self, running: Running) -> list[int]:
        """Return the processes that a command has started."""
        pid = running.popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def parts(self) -> dict[str, bytes]:
        """Return the parts, by name."""
        store = self.objects
        names = [name for name in store.list_names("") if name.startswith("part-")]
        return {name: store.get(name) for name in names}

    def rows(self) -> list[str]:
        """Return the rows of the parts, in order."""
        text = b"".join(body for _, body in sorted(self.parts().items()))
        return text.decode().split("\n")[:-1]

    def history(self) -> list[dict[str, Any]]:
        """Return the events of the run, as `pymr show --json` has them."""
        shown = self.cli.run("show", self.output, "--json")
        assert shown.code == 0, shown.stderr
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def started(self) -> list[dict[str, Any]]:
        """Return the attempts that were granted or adopted."""
        return [entry for entry in self.history() if entry["kind"] == "AttemptStarted"]

    def committed(self) -> dict[str, int]:
        """Return the number of the attempt of each task in the manifest: `map-0000`."""
        tasks = json.loads(self.objects.get(MANIFEST))["tasks"]
        return {task["task"]: task["attempt"] for task in tasks}

    def is_whole(self, expected: list[str], killed: int = 0) -> None:
        """Assert that the result is `expected`, and nothing else is left of the run.

        A worker that was `killed` leaves its folder to the next one.
        """
        assert self.rows() == expected
        assert verify_output(self.objects) == []
        until("processes are left", lambda: processes_of(self.cli) == [])
        assert len(list(self.cli.temporary.iterdir())) <= killed
        assert self.journalled() == 6, "the journal has all commits"

    def journalled(self) -> int:
        """Return how many tasks are committed, by the journal."""
        found = find_run(self.output, lambda _: self._access)
        return len(read_stored(found.place, found.run).replay.committed)

    def is_unpublished(self) -> None:
        """Assert that nothing looks like a result."""
        assert self.rows() == []
        assert [name for name in self.objects.list_names("") if name != "_pymr/"] == []
