"""Sorted runs on the local disk that live no longer than the attempt that wrote them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

from pymr import failpoint
from pymr.errors import ResourceError
from pymr.shuffle.sorted_run import SortedRunReader, SortedRunWriter
from pymr.store.disk import room_after

_HINTS = {
    **{
        number: f"{first}, or choose another folder with --tmp-dir"
        for number, first in (
            (errno.ENOSPC, "free some space there"),
            (errno.EDQUOT, "free some of your quota"),
            (errno.EFBIG, "raise the limit of a file's size: ulimit -f unlimited"),
        )
    },
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files: ulimit -n 65536"),
}


class SpillFolder:
    """Writes, reads and removes spills in one private folder, which it makes when needed.

    No file is held open between calls, so the number of spills needs no limit of its own.
    """

    def __init__(self, path: str) -> None:
        self.count = 0  # written in all
        self._path = path
        self._files: dict[SortedRunReader, str] = {}

    def write(
        self, partitions: int, block_bytes: int, fill: Callable[[SortedRunWriter], None]
    ) -> SortedRunReader:
        """Write a sorted run with what `fill` adds to it, and return it opened.

        Raises:
            ResourceError: the disk is full, or the folder cannot be written.
        """
        name = os.path.join(self._path, f"{os.urandom(8).hex()}.spill")
        try:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise failure("write", self._path, error) from error
        try:
            writer = SortedRunWriter(lambda data: self._append(file, data), partitions, block_bytes)
            fill(writer)
            digest = writer.finish()
        except BaseException:
            remove_file(name)
            raise
        finally:
            os.close(file)
        self.count += 1
        reader = SortedRunReader(
            lambda offset, length: self._read(name, offset, length), writer.size, name, digest
        )
        self._files[reader] = name
        return reader

    def remove(self, reader: SortedRunReader) -> None:
        """Remove the file behind `reader`, if it is one of these spills."""
        name = self._files.pop(reader, None)
        if name is not None:
            remove_file(name)

    def discard(self) -> None:
        """Remove all spills; the folder itself stays with who gave it."""
        for reader in list(self._files):
            self.remove(reader)

    def _append(self, file: int, data: bytes) -> None:
        try:
            failpoint.hit("spill.write")
            while data:
                data = data[os.write(file, data) :]
        except OSError as error:
            raise failure("write", self._path, error) from error

    def _read(self, name: str, offset: int, length: int) -> bytes:
        try:
            file = os.open(name, os.O_RDONLY)
            try:
                return os.pread(file, length, offset)
            finally:
                os.close(file)
        except OSError as error:
            raise failure("read", self._path, error) from error


def failure(action: str, folder: str, error: OSError) -> ResourceError:
    """Return the error of a spill in `folder` that one cannot `action`: write or read."""
    room, have = room_after(error.errno or 0, folder)
    return ResourceError(
        f"cannot {action} a spill in `{folder}`: {error.strerror}{room}",
        hint=_HINTS.get(error.errno or 0, "choose another folder with --tmp-dir"),
        path=folder,
        **have,
    )


def remove_file(name: str) -> None:
    """Remove a file, if it is there and may be removed."""
    with contextlib.suppress(OSError):  # Who gave the folder removes it with all that is left.
        os.unlink(name)
