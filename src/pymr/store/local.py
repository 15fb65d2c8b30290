"""Objects as files under one directory, durable and atomic.

An object is written to `.tmp-<nonce>` beside its place, fsynced, and then linked to its name:
`link` fails where the name exists, which an `O_EXCL` create could not promise together with
"whole or not at all". A crash leaves nothing but `.tmp-*` files, which no listing shows.

Costs, in fsyncs: 2 for a put, a replace or a writer's commit (file, folder), 1 for a `sync`, 1
for each folder that is made on demand, in the one above it, none for the rest.

After a failed fsync the file counts as lost: the kernel may have dropped the dirty pages, and
a second fsync would report success (Rebello et al., "Can Applications Recover from fsync
Failures?", USENIX ATC 2020).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Final, Self

from pymr import failpoint
from pymr.errors import StoreError
from pymr.names import new_nonce
from pymr.store.base import ObjectEntry, check_key
from pymr.store.disk import make_folder, sync_folder, translated

_TEMPORARY: Final = ".tmp-"
_NOT_WRITABLE: Final = 0o555
_BUFFER_BYTES: Final = 1 << 20  # one system call for each MiB
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP})


class LocalStore:
    """The objects of the directory `root`, which is made on demand. Threads may share it."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def __str__(self) -> str:
        return self.root

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Create the object in one atomic, durable step."""
        with self.create(key) as writer:
            writer.write(body)
            writer.commit()

    def replace(self, key: str, body: bytes) -> None:
        """Create or replace the object atomically and durably."""
        with LocalWriter(key, self._path(key), place=os.replace) as writer:
            writer.write(body)
            writer.commit()

    def create(self, key: str) -> LocalWriter:
        """Return a stream into a new object."""
        return LocalWriter(key, self._path(key), place=_link_and_unlink)

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        path = self._path(key)
        with translated("read", path, key=key), open(path, "rb") as file:
            return file.read()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes [start, start + length); shorter only where the object ends."""
        path = self._path(key)
        with translated("read", path, key=key), open(path, "rb", buffering=0) as file:
            return _read_at(file.fileno(), start, length)

    def path_of(self, key: str) -> str:
        """Return the file with the object's bytes; it may be read, not changed."""
        return self._path(key)

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        path = self._path(key)
        with translated("read", path, key=key):
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "a folder is no object")
            return os.stat(path).st_size

    def halves(self, prefix: str) -> list[ObjectEntry]:
        """Return what `sweep` would remove, with the size of each."""
        folder = self._folder(prefix)
        with translated("list", folder, key=prefix):
            names = sorted(filter(is_temporary_name, os.listdir(folder)))
            return [
                ObjectEntry(f"{prefix}/{name}".lstrip("/"), _size_of(f"{folder}/{name}"))
                for name in names
            ]

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects under the folder `prefix`, in key order."""
        folder = self._folder(prefix)
        with translated("list", folder, key=prefix):
            yield from _walk(folder, f"{prefix.rstrip('/')}/" if prefix else "")

    def copy(self, source: str, target: str) -> None:
        """Make `target` a second name of the file of `source` (a copy, where links fail)."""
        source_path, target_path = self._path(source), self._path(target)
        self.size(source)  # Raises, if it is missing.
        with translated("write", target_path, key=target):
            temporary = _temporary_beside(target_path)
            try:
                _link_or_copy(source_path, temporary)
                os.replace(temporary, target_path)
            finally:
                _remove(temporary)  # rename(2) leaves it if both are one file already.

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        path = self._path(key)
        with translated("delete", path, key=key):
            _remove(path)

    def delete_folder(self, prefix: str, *, but: Container[str] = ()) -> None:
        """Remove what is under the folder `prefix`, but the objects named in `but`."""
        top = self._path(prefix)
        with translated("delete", top, key=prefix):
            for folder, _, names in os.walk(top, topdown=False):
                for path in (f"{folder}/{name}" for name in names):
                    if path[len(self.root) + 1 :] not in but:
                        _remove(path)
                with suppress(OSError):  # A folder that is not empty stays.
                    os.rmdir(folder)

    def sweep(self, prefix: str) -> None:
        """Remove what crashed writers and probes left directly in the folder `prefix`.

        Only the owner of the output may: a living writer's file would go, too.
        """
        folder = self._folder(prefix)
        with translated("delete", folder, key=prefix):
            for name in os.listdir(folder):
                if is_temporary_name(name):
                    _remove_any(f"{folder}/{name}")

    def sync(self, prefix: str) -> None:
        """Make copies and deletions directly in the folder `prefix` durable."""
        folder = self._folder(prefix)
        with translated("sync", folder, key=prefix):
            failpoint.hit("publish.sync")
            sync_folder(folder)

    def _path(self, key: str) -> str:
        check_key(key)
        if is_temporary_name(key.rpartition("/")[2]):
            raise StoreError(f"key `{key}` is the name of a temporary file", key=key)
        return f"{self.root}/{key}"

    def _folder(self, prefix: str) -> str:
        return self._path(prefix.rstrip("/")) if prefix else self.root


class LocalWriter:
    """A stream into one new file. `place` moves the temporary file to its name."""

    def __init__(self, key: str, path: str, *, place: Callable[[str, str], None]) -> None:
        self._key = key
        self._path = path
        self._place = place
        self._buffer = bytearray()
        self._size = 0
        with self._translated():
            self._temporary = _temporary_beside(path)
            self._file = open(self._temporary, "xb", buffering=0)  # noqa: SIM115 - closed at exit

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._size += len(data)
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            with self._translated():
                self._drain()

    def commit(self) -> None:
        """Make the object visible and durable."""
        with self._translated():
            self._drain()
            # A part is a link to this object: what writes to the part must not write here.
            os.fchmod(self._file.fileno(), os.fstat(self._file.fileno()).st_mode & _NOT_WRITABLE)
            failpoint.hit("object.sync")
            os.fsync(self._file.fileno())
            self._file.close()
            failpoint.hit("object.link")
            self._place(self._temporary, self._path)
            failpoint.hit("object.linked")
            sync_folder(os.path.dirname(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        _remove(self._temporary)

    def _drain(self) -> None:
        view = memoryview(self._buffer)
        while view:
            view = view[self._file.write(failpoint.cut("object.write", view)) :]
        self._buffer = bytearray()

    def _translated(self) -> AbstractContextManager[None]:
        return translated("write", self._path, key=self._key, need=self._size)


def is_temporary_name(name: str) -> bool:
    """Say whether a file is one that a crashed writer left (or a living one has)."""
    return name.startswith(_TEMPORARY)


def _link_and_unlink(temporary: str, path: str) -> None:
    os.link(temporary, path)
    os.unlink(temporary)


def _link_or_copy(source: str, temporary: str) -> None:
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with open(source, "rb") as reader, open(temporary, "xb") as writer:
            while chunk := reader.read(_BUFFER_BYTES):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())  # The later fsync of the folder does not cover data.


def _temporary_beside(path: str) -> str:
    folder = os.path.dirname(path)
    make_folder(folder)
    return f"{folder}/{_TEMPORARY}{new_nonce()}"


def _read_at(descriptor: int, start: int, length: int) -> bytes:
    data = os.pread(descriptor, length, start)
    while len(data) < length:  # One call returns at most 2 GiB.
        more = os.pread(descriptor, length - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def _walk(folder: str, prefix: str) -> Iterator[ObjectEntry]:
    try:
        with os.scandir(folder) as scan:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in scan]
    except FileNotFoundError:
        return
    # A folder sorts as its objects do: `a.b` < `a/b`, since `.` < `/`.
    for entry, is_folder in sorted(found, key=lambda pair: pair[0].name + "/" * pair[1]):
        if is_folder:
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        elif not is_temporary_name(entry.name):
            with suppress(FileNotFoundError):  # Deleted since the scan.
                yield ObjectEntry(prefix + entry.name, entry.stat().st_size)


def _size_of(path: str) -> int:
    """Return the bytes of a file, or of all files in the folder of a probe."""
    if not os.path.isdir(path):
        return os.lstat(path).st_size
    walk = os.walk(path)
    return sum(os.lstat(f"{folder}/{name}").st_size for folder, _, names in walk for name in names)


def _remove_any(path: str) -> None:
    """Remove a file, or the folder of a probe; one that is at work may lose it."""
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        _remove(path)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)
