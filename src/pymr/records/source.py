"""Reads the bytes of one input, and makes sure they are those of the planned one.

An input is a file, or an object of a store (`records.object_source`). Files are
read by large `pread`s, not mapped: a mapped file that is truncated kills the process, and its
pages count as memory. Whoever changes an input while it is read gets an error, not a mix: size,
inode and time of change are compared when the file is opened and when it has been read. A file
that has only grown is read up to its planned size.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from types import TracebackType
from typing import Any, Protocol, Self

from pymr._native import xxh3_128
from pymr.core.spec import InputFile
from pymr.errors import InputDeviceError, InputError, PymrError, ResourceError
from pymr.store.access import Access
from pymr.text_form import show_path

_RESOURCES = {
    errno.EMFILE: "raise the limit of open files: ulimit -n 65536",
    errno.ENFILE: "the whole system has too many open files: end other programs",
    errno.ENOMEM: "lower --workers",
}
_DIGEST_MASK = (1 << 128) - 1


def compare(seen: os.stat_result, planned: InputFile) -> tuple[str, str] | None:
    """Return what is seen of a file and what was expected; None for the file that was planned.

    One that has only grown is that file: what was added is not read.
    """
    if seen.st_size < planned.size:
        return f"it has {seen.st_size} bytes", f"{planned.size} as when it was planned"
    if not stat.S_ISREG(seen.st_mode):
        return "it is not a regular file", "the file that was planned"
    if not planned.inode:
        return None  # A plan without times: there is nothing more to compare.
    if seen.st_ino != planned.inode:
        return f"it was replaced (inode {seen.st_ino})", f"inode {planned.inode}"
    if seen.st_mtime_ns != planned.mtime_ns and seen.st_size == planned.size:
        return (
            f"it was written to (time of change {_show_time(seen.st_mtime_ns)})",
            f"{_show_time(planned.mtime_ns)} as when it was planned",
        )
    return None


class Source(Protocol):
    """One open input. A context manager; safe to read at any offset, in any order."""

    file: InputFile
    name: str  # for messages
    grown: bool  # there are more bytes than planned; they are not read

    def expect(self, start: int, end: int) -> None:
        """Be told that [start, end) will be read from front to back; nothing else follows of it."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset + length), which must lie in the plan.

        Raises:
            InputError: the input has changed, or cannot be read.
        """

    def check(self) -> None:
        """Compare the input with the plan; sets `grown`.

        Raises:
            InputError: it is not the one that was planned.
        """

    def close(self) -> None:
        """Close it; it may be called twice."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""


def open_input(file: InputFile, access: Access) -> Source:
    """Open an input; `access` opens the store of one that is an object.

    Raises:
        InputError: it cannot be opened, or is not the one that was planned.
    """
    if file.etag is None:
        return FileSource(file)
    from pymr.records.object_source import ObjectSource

    return ObjectSource(file, access)


folder: int | None = None  # where names are looked up; None: in the current folder


class FileSource:
    """A file as a `Source`."""

    def __init__(self, file: InputFile) -> None:
        """Open `file`.

        Raises:
            InputError: it cannot be opened, or is not the file that was planned.
        """
        self.file = file
        self.name = show_path(file.name)
        self.grown = False
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC
            self._descriptor = os.open(file.spool or file.path, flags, dir_fd=folder)
        except FileNotFoundError as error:
            raise changed(self.name, "it is gone", "the file that was planned") from error
        except OSError as error:
            raise _unreadable(error, f"open `{self.name}`", input=self.name) from error
        try:
            self.check()
        except BaseException:
            self.close()
            raise

    def expect(self, start: int, end: int) -> None:
        """Do nothing: the kernel reads ahead."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset + length), which must lie in the plan.

        Raises:
            InputError: the file has become shorter, or cannot be read.
        """
        data = self._pread(offset, length)
        if len(data) == length:
            return data
        parts = [data]
        while (missing := length - sum(map(len, parts))) > 0:
            data = self._pread(offset + length - missing, missing)
            if not data:
                end = offset + length - missing
                raise changed(self.name, f"it ends at byte {end}", f"{self.file.size} bytes")
            parts.append(data)
        return b"".join(parts)

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            what = f"read `{self.name}` at byte {offset}"
            raise _unreadable(error, what, input=self.name, offset=offset) from error

    def check(self) -> None:
        """Compare the file with the plan; sets `grown`.

        Raises:
            InputError: it is shorter, another file, or was written to.
        """
        seen = os.fstat(self._descriptor)
        found = compare(seen, self.file)
        if found is not None:
            raise changed(self.name, *found)
        # A plan without times knows of nothing that was added.
        self.grown = bool(self.file.inode) and seen.st_size > self.file.size

    def close(self) -> None:
        """Close the file; it may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


class RangeReader:
    """Reads a range of a file from front to back, and takes its digest.

    The digest is Σ xxh3_128(offset of the cell, 8 bytes little-endian, + bytes of the cell)
    mod 2**128 over the cells of [start, end): it adds up over ranges of whole cells, so that
    an input's digest does not depend on how it was split. Reading may go on beyond `end`, up
    to the end of the file; what lies there is not part of the digest.
    """

    def __init__(self, source: Source, start: int, end: int, *, step: int, read_bytes: int) -> None:
        self.position = start  # of the next byte to read
        self._source = source
        self._start, self._end = start, end
        self._read_bytes = read_bytes
        # Beyond the end only the rest of one record is wanted, and most are short.
        self._read_bytes_beyond = min(read_bytes, 64 << 10)
        self._step = step
        self._sum = 0
        self._cell = start  # offset of the first byte that is not in the sum
        self._pending: list[bytes] = []  # pieces of a cell that is not complete
        self._pending_bytes = 0

    def read(self) -> bytes:
        """Return the next bytes, b"" at the end of the file."""
        if self.position < self._end:
            length = min(self._read_bytes, self._end - self.position)
            data = self._source.read_at(self.position, length)
            self._add(data)
        else:
            length = min(self._read_bytes_beyond, self._source.file.size - self.position)
            data = self._source.read_at(self.position, length) if length > 0 else b""
        self.position += len(data)
        return data

    def drain(self) -> None:
        """Read what is left of the range."""
        while self.position < self._end:
            self.read()

    @property
    def bytes_read(self) -> int:
        """How many bytes of the range were read."""
        return min(self.position, self._end) - self._start

    def digest(self) -> int:
        """Return the digest of the range; it must have been read."""
        assert self.position >= self._end, "the range was not read to its end"
        if self._pending:
            self._hash(b"".join(self._pending))
            self._pending, self._pending_bytes = [], 0
        return self._sum

    def _add(self, data: bytes) -> None:
        start = 0
        if self._pending:
            start = self._step - self._pending_bytes
            self._pending.append(data[:start])
            self._pending_bytes += len(self._pending[-1])
            if self._pending_bytes < self._step:
                return
            self._hash(b"".join(self._pending))
            self._pending, self._pending_bytes = [], 0
        whole = start + (len(data) - start) // self._step * self._step
        for offset in range(start, whole, self._step):
            self._hash(data[offset : offset + self._step])
        if whole < len(data):
            self._pending, self._pending_bytes = [data[whole:]], len(data) - whole

    def _hash(self, cell: bytes) -> None:
        digest = xxh3_128(self._cell.to_bytes(8, "little") + cell)
        self._sum = (self._sum + digest) & _DIGEST_MASK
        self._cell += len(cell)


def _show_time(time_ns: int) -> str:
    """Return a time of change as `ls --full-time` has it: all digits, two may be close."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest_ns:09d}"


def _unreadable(error: OSError, what: str, **fields: Any) -> PymrError:
    """Return what the system's answer to opening or reading an input means."""
    message = f"cannot {what}: {error.strerror}"
    if error.errno in _RESOURCES:
        return ResourceError(message, hint=_RESOURCES[error.errno], **fields)
    error_class = InputDeviceError if error.errno == errno.EIO else InputError
    return error_class(message, **fields)


def changed(name: str, seen: str, expected: str) -> InputError:
    """Return the error of an input that is not as it was when the run was planned."""
    return InputError(
        f"input changed: `{name}`: {seen}, expected {expected}",
        hint="start again when nobody writes to the input",
        input=name,
        seen=seen,
        expected=expected,
    )
