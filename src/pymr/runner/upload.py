"""Puts inputs that are files of this machine into a store, where workers elsewhere read them.

    file ─► digest of its bytes ─► is an object of that key there? ─► streamed up, hashed again

The key is made of the bytes, so what is there already is not sent again, by whichever run it was
sent. An object appears whole or not at all: an upload that is interrupted is undone, and leaves
nothing to be seen.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pymr import names
from pymr.core.events import UploadProgressed
from pymr.core.spec import InputFile
from pymr.errors import InterruptedRunError, ObjectMissingError
from pymr.records.object_source import locate
from pymr.records.source import FileSource, changed
from pymr.runner.cancel_mark import CANCEL_LOOK_S
from pymr.store.access import Access, open_store
from pymr.store.base import ObjectStore
from pymr.store.object_reader import Version

if TYPE_CHECKING:
    from concurrent.futures import Future

UPLOADED_MAX: Final = 4  # files at a time; small ones are in memory as a whole
LARGE_BYTES: Final = 8 << 20  # from here on in parts, of which several go up at a time …
LARGE_MAX: Final = 1  # … so large files go one after the other
READ_BYTES: Final = 1 << 20
REPORT_INTERVAL_S: Final = 1.0

Report = Callable[[UploadProgressed], None]  # by any thread, by one at a time


def upload_inputs(
    files: Sequence[InputFile],
    root: str,
    access: Access,
    report: Report,
    look: Callable[[], object],
) -> tuple[InputFile, ...]:
    """Return inputs as objects of stores, in their order; those that are files go below `root`.

    `root` is an address. A file keeps its own name in messages. Meanwhile `look` is called twice a
    second, and may raise.

    Raises:
        InputError: a file has changed since it was found, or cannot be read.
        StoreError, StoreUnavailableError: the store refuses, or does not answer.
    """
    local = list(dict.fromkeys(file for file in files if file.etag is None))
    if not local:
        return tuple(files)
    done = _Uploads(root.rstrip("/"), access, _Progress(local, report)).all(local, look)
    return tuple(file if file.etag is not None else done[file] for file in files)


class _Uploads:
    """Uploads files, some at a time."""

    def __init__(self, root: str, access: Access, progress: _Progress) -> None:
        self._root = root
        self._access = access
        self._store: ObjectStore = open_store(root, access)
        self._progress = progress
        self._large = threading.Semaphore(LARGE_MAX)
        self._is_over = False

    def all(self, files: list[InputFile], look: Callable[[], object]) -> dict[InputFile, InputFile]:
        """Return each file as the object that has its bytes."""
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        pool = ThreadPoolExecutor(UPLOADED_MAX, thread_name_prefix="pymr-upload")
        try:
            futures = {file: pool.submit(self._one, file) for file in files}
            open_ones: Collection[Future[InputFile]] = futures.values()
            while open_ones:
                look()
                ended, open_ones = wait(open_ones, CANCEL_LOOK_S, FIRST_EXCEPTION)
                for future in ended:
                    future.result()
        finally:
            self._is_over = True  # What is half there is undone by its thread.
            pool.shutdown(cancel_futures=True)
        self._progress.finish()
        return {file: future.result() for file, future in futures.items()}

    def _one(self, file: InputFile) -> InputFile:
        with FileSource(file) as source:
            digest = self._digest(source)
            name = os.fsdecode(os.path.basename(file.name))
            key = names.upload_key(digest, file.size, name)
            version = self._look(key)
            was_there = version is not None and version.size == file.size
            if not was_there:
                self._send(source, key, digest)
                version = self._look(key)
        self._progress.file_done(file, was_there=was_there)
        if version is None:
            raise changed(source.name, "its upload is gone", "the object that was uploaded")
        return msgspec.structs.replace(
            file,
            path=f"{self._root}/{key}".encode(),
            etag=version.etag,
            shown=file.name,
            mtime_ns=0,
            inode=0,
            spool=None,
        )

    def _look(self, key: str) -> Version | None:
        objects, full_key = locate(f"{self._root}/{key}".encode(), self._access)
        try:
            return objects.look(full_key)
        except ObjectMissingError:
            return None

    def _send(self, source: FileSource, key: str, digest: str) -> None:
        if source.file.size < LARGE_BYTES:
            self._stream(source, key, digest)
            return
        with self._large:
            self._stream(source, key, digest)

    def _stream(self, source: FileSource, key: str, digest: str) -> None:
        """Send the bytes of a file; what does not have its digest does not appear."""
        seen = hashlib.sha256()
        with self._store.create(key) as writer:
            for data in self._read(source):
                seen.update(data)
                writer.write(data)
                self._progress.advance(len(data))
            source.check()
            if seen.hexdigest() != digest:
                raise changed(source.name, "it was written to", "it to stay as it is")
            writer.commit()

    def _digest(self, source: FileSource) -> str:
        seen = hashlib.sha256()
        for data in self._read(source):
            seen.update(data)
        source.check()
        return seen.hexdigest()

    def _read(self, source: FileSource) -> Iterator[bytes]:
        size = source.file.size
        for start in range(0, size, READ_BYTES):
            if self._is_over:
                raise InterruptedRunError("the upload was given up", signal="")
            yield source.read_at(start, min(READ_BYTES, size - start))


class _Sums(NamedTuple):
    files_done: int = 0
    bytes_done: int = 0
    files_kept: int = 0


class _Progress:
    """Adds up what threads have done, and tells of it now and then."""

    def __init__(self, files: list[InputFile], report: Report) -> None:
        self._files = len(files)
        self._bytes = sum(file.size for file in files)
        self._report = report
        self._lock = threading.Lock()
        self._sums = _Sums()
        self._due = time.monotonic()

    def advance(self, sent: int) -> None:
        """Count bytes that were sent."""
        with self._lock:
            files, size, kept = self._sums
            self._sums = _Sums(files, size + sent, kept)
            self._tell()

    def file_done(self, file: InputFile, *, was_there: bool) -> None:
        """Count a file that is there now."""
        with self._lock:
            files, size, kept = self._sums
            size += file.size if was_there else 0
            self._sums = _Sums(files + 1, size, kept + was_there)
            self._tell()

    def finish(self) -> None:
        """Tell of the end."""
        self._due = 0.0
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REPORT_INTERVAL_S
            self._report(UploadProgressed(self._files, self._bytes, *self._sums))
