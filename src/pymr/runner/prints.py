"""What task processes print, kept in bounds: the start and the end of it, by attempt.

    fd 1 and 2 of a task process ──pipe──► Prints ──► logs/map-00017-1.log    while an attempt runs
                                                 └──► logs/worker-3-1.log     else: imports, mostly

Laws: whoever prints waits for nobody but this process; no disk is filled, whatever is printed;
what is printed is for people, and never data. A file appears with its first byte, is written
beside the run's journal without a sync, and one that cannot be written is given up in silence.
In a store it is an object, which appears when it is complete.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from pymr.core.spec import Attempt
from pymr.names import attempt_log_key, process_log_key
from pymr.store.place import Place

if TYPE_CHECKING:
    from pymr.runner.log_uploads import LogUploads

HEAD_BYTES_MAX = 1 << 20  # of one file: written as they come
TAIL_BYTES_MAX = 1 << 20  # of one file: the last ones, written at its end
LOGS_BYTES_MAX = 256 << 20  # of all files of one process's work on a run
RECENT_BYTES_MAX = 16 << 10  # at hand for a message


class Logs:
    """What is kept of one process's work on a run, in an output, and the sums of it."""

    def __init__(self, place: Place, run: str, epoch: int, tmp: str | None = None) -> None:
        """Write files into `place`, if it is a folder; else into `tmp`, until they are objects."""
        self._folder = place.folder
        self._run = run
        self._epoch = epoch
        self._tmp = tmp
        self._uploads: LogUploads | None = None
        if place.folder is None:
            from pymr.runner.log_uploads import LogUploads

            self._uploads = LogUploads(place.objects)
        self.room = LOGS_BYTES_MAX
        self.printed_bytes = 0
        self.left_out_bytes = 0

    def key_of(self, worker: str, attempt: Attempt | None) -> str:
        """Return the key of an attempt's log, or of what a worker prints between attempts."""
        if attempt is None:
            return process_log_key(self._run, worker, self._epoch)
        return attempt_log_key(self._run, attempt.phase, attempt.task, attempt.number)

    def open(self, key: str) -> int:
        """Return a descriptor to append a log to. Raises OSError."""
        if self._folder is None:
            import tempfile

            fd, path = tempfile.mkstemp(prefix="pymr-log-", dir=self._tmp)
            os.unlink(path)  # It goes with its descriptor, however this process ends.
            return fd
        path = f"{self._folder}/{key}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o666)

    def close_one(self, key: str, fd: int) -> None:
        """Close the descriptor of a log that is complete."""
        if self._uploads is not None:
            body = b""
            with suppress(OSError):
                body = os.pread(fd, os.fstat(fd).st_size, 0)
            if not self._uploads.put(key, body):
                self.left_out_bytes += len(body)
        os.close(fd)

    def close(self) -> None:
        """Wait, but not long, for what is on its way into a store. May be called twice."""
        if self._uploads is not None:
            self._uploads.close()


class Prints:
    """What was printed in one stretch: its head, its tail, and how much was between them.

    Until `keep` names a place for it, it is held in memory.
    """

    def __init__(self) -> None:
        self.size = 0
        self._recent = b""
        self._head = b""  # what of it is not written yet
        self._head_left = HEAD_BYTES_MAX
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out = 0
        self._logs: Logs | None = None
        self._key = ""
        self._fd = -1

    def keep(self, logs: Logs, key: str) -> None:
        """Write it into the log `key` from now on, and what there is already."""
        self._logs, self._key = logs, key
        logs.printed_bytes += self.size
        logs.left_out_bytes += self._left_out
        self._write_head()

    def add(self, data: bytes) -> None:
        """Take what was printed next."""
        self.size += len(data)
        if self._logs is not None:
            self._logs.printed_bytes += len(data)
        self._recent = (self._recent + data)[-RECENT_BYTES_MAX:]
        if self._head_left:
            self._head += data[: self._head_left]
            data, self._head_left = data[self._head_left :], max(0, self._head_left - len(data))
            self._write_head()
        if data:
            self._tail.append(data)
            self._tail_bytes += len(data)
            while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES_MAX:
                self._leave_out(len(self._tail.popleft()))

    def close(self) -> None:
        """Write the tail, behind a line that says what was left out before it."""
        if self._logs is not None and self._tail:
            tail = b"".join(self._tail)
            if self._left_out:
                note = f"\n… {self._left_out:,} bytes left out …\n"
                tail = note.encode() + tail.partition(b"\n")[2]
            self._write(tail)
        if self._fd >= 0 and self._logs is not None:
            self._logs.close_one(self._key, self._fd)
            self._fd = -1

    def recent(self) -> list[str]:
        """Return the last lines; the first may have lost its start."""
        return self._recent.decode("utf-8", "replace").splitlines()

    def _leave_out(self, size: int) -> None:
        self._tail_bytes -= size
        self._left_out += size
        if self._logs is not None:
            self._logs.left_out_bytes += size

    def _write_head(self) -> None:
        if self._logs is not None and self._head:
            self._write(self._head)
            self._head = b""

    def _write(self, data: bytes) -> None:
        """Append `data`, as far as there is room for it."""
        assert self._logs is not None, "it has a place"
        body = data[: self._logs.room]
        written = 0
        with suppress(OSError):  # A full disk is told of by what must be written to it.
            if self._fd < 0 and body:
                self._fd = self._logs.open(self._key)
            written = os.write(self._fd, body) if body else 0
        self._logs.room -= written
        self._logs.left_out_bytes += len(data) - written
