"""A run on this machine's own workers: the commands of `docs/hosts.md`, started by a measure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bucket import PYMR, Bucket
from command import FOLDER, SHOWN_BYTES, SideFailedError

POLL_S = 0.005
WAIT_S = 600.0  # for what takes seconds, or a minute where tasks are many

Event = dict[str, Any]


class ClusterRun:
    """A run in a bucket: its master, and workers that are killed, or wait for the next master."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self.name = name
        self._store = bucket.address
        self.output = f"{bucket.address}/{name}"
        self._environment = bucket.environment
        self._join_file = FOLDER / f"{name}.join"
        self._errors = FOLDER / f"{name}.err"
        self._events = FOLDER / f"{name}.jsonl"
        self._seen = 0  # bytes of the events that were read
        self.master: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, worker: Path, text: Path | str, *options: str) -> None:
        """Start the run, which waits for workers."""
        for path in (self._join_file, self._errors, self._events):
            path.unlink(missing_ok=True)
        place = ["--name", self.name, "--store", self._store, "--output", self.output]
        place += ["--join-file", str(self._join_file)]
        command = ["start", "--on", "hosts", *place, "--input", str(text), *options, str(worker)]
        self.master = self._command(command)

    def add_worker(self, slots: int) -> None:
        """Start a worker, as soon as there is a join file."""
        self._wait(self._join_file.exists, "no join file is written")
        command = ["worker", "--join-file", str(self._join_file), "--slots", str(slots)]
        self.workers.append(self._command(command, is_told=False))

    def resume(self) -> None:
        """Start the next master."""
        self._seen = self._events.stat().st_size
        self.master = self._command(["resume", self.name])

    def wait_for(self, is_it: Callable[[Event], bool]) -> Event:
        """Return the first event that is it, of those that were not read yet."""
        found: list[Event] = []

        def look() -> bool:
            for event in self._new_events():
                if is_it(event):
                    found.append(event)
                    return True
            return False

        self._wait(look, "an event did not come")
        return found[0]

    def wait_master(self) -> None:
        """Wait until the run is done."""
        assert self.master is not None
        self._expect_success(self.master)

    def wait_workers(self) -> None:
        """Wait until all workers have gone."""
        while self.workers:
            self._expect_success(self.workers.pop())

    def _expect_success(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait(WAIT_S):
            raise SideFailedError(f"exit code {process.returncode}: {self._told()}")

    def kill_master(self) -> None:
        """End the master in the midst of its work."""
        assert self.master is not None
        _kill(self.master)

    def kill_worker(self, number: int) -> None:
        """End a worker and its task processes in the midst of their work."""
        _kill(self.workers.pop(number))

    @property
    def master_cpu(self) -> float:
        """The CPU seconds that the master has taken so far."""
        assert self.master is not None
        fields = Path(f"/proc/{self.master.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End all that runs."""
        for process in (self.master, *self.workers):
            if process is not None:
                _kill(process)

    def _command(self, arguments: list[str], *, is_told: bool = True) -> subprocess.Popen[bytes]:
        options = ["--json"] if is_told else []
        with self._errors.open("ab") as errors, self._events.open("ab") as events:
            return subprocess.Popen(
                [PYMR, arguments[0], *options, *arguments[1:]],
                cwd=FOLDER,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=events if is_told else errors,
                stderr=errors,
                start_new_session=True,
            )

    def _new_events(self) -> Iterator[Event]:
        """Yield what has come, each once; a line that is not whole yet comes later."""
        with self._events.open("rb") as file:
            file.seek(self._seen)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._seen += len(line)
                yield json.loads(line)

    def _wait(self, is_so: Callable[[], bool], problem: str) -> None:
        assert self.master is not None
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            if self.master.poll() or time.monotonic() > deadline:
                raise SideFailedError(f"{problem}: {self._told()}")
            time.sleep(POLL_S)

    def _told(self) -> str:
        return self._errors.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
