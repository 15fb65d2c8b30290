r"""An append-only file of decisions: what stands in it, synced, has happened.

One record a line, each bound to all before it:

    <16 hex digits: xxh3_64(digits of the line before + payload)> <payload>\n

A crash can cut the last line short; that record was never synced, so it never counted, and
reading ends before it. A complete line that does not fit the chain is damage, and stops.

Costs one fsync for a sync with something new. Folders that are made are synced into those above
them. The journal's own name is synced by the first attempt's object, which lies beside it and
comes before the first decision.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Self

from pymr import failpoint
from pymr._native import xxh3_64
from pymr.errors import CorruptDataError, InternalError
from pymr.store.disk import Verb, make_folder, translated
from pymr.text_form import show_path

DIGITS: Final = 16  # of a digest


class Journal:
    """A journal that is open for writing: `create` or `reopen` one. One thread.

    After an error it takes nothing more: what the file then holds is unknown.
    """

    def __init__(self, path: str, descriptor: int, digest: bytes) -> None:
        self.path = path
        self._descriptor = descriptor
        self._digest = digest
        self._unsynced = False

    @classmethod
    def create(cls, path: str) -> Self:
        """Return the journal of a new run at `path`; its folder is made.

        Raises:
            ObjectExistsError: `path` exists; a run begins its journal once.
            ResourceError, StoreError: it cannot be made.
        """
        with translated("write", path, key=path):
            make_folder(os.path.dirname(path))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            return cls(path, os.open(path, flags, 0o666), b"")

    @classmethod
    def reopen(cls, path: str) -> Self:
        """Return the journal at `path`, to go on behind its last whole record.

        A record that a crash cut short is cut off: it was never synced, so it never counted.

        Raises:
            ObjectMissingError, CorruptDataError: as `read_journal`.
            ResourceError, StoreError: it cannot be written.
        """
        digest, end = b"", 0
        for record in _records(path):
            digest, end = record.digest, record.end
        with translated("write", path, key=path):
            journal = cls(path, os.open(path, os.O_WRONLY | os.O_APPEND), digest)
        with journal._guarded("write"):
            failpoint.hit("resume.reopen")
            os.ftruncate(journal._descriptor, end)
        return journal

    def append(self, line: bytes) -> None:
        r"""Write one record, which has no `\n`, in one call; not durable before `sync`.

        Raises:
            ResourceError: no space is left.
            StoreError: the write failed.
        """
        check_record(line)
        digest = chained(self._digest, line)
        record = memoryview(b"%b %b\n" % (digest, line))
        with self._guarded("write", len(record)):
            while record:  # The disk filling up cuts a write short; the next one says so.
                written = os.write(self._descriptor, failpoint.cut("journal.append", record))
                record = record[written:]
        self._digest = digest
        self._unsynced = True

    def sync(self) -> None:
        """Make all that was appended durable; free if nothing was.

        Raises:
            ResourceError, StoreError: it may not be durable.
        """
        if not self._unsynced:
            return
        with self._guarded("sync"):
            failpoint.hit("journal.sync")
            os.fsync(self._descriptor)
        self._unsynced = False

    def look(self) -> None:
        """Do nothing: a lock keeps other writers out."""

    def close(self) -> None:
        """Close the file, without a sync. May be called twice."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    @contextmanager
    def _guarded(self, verb: Verb, need: int = 0) -> Iterator[None]:
        if self._descriptor < 0:
            raise InternalError(f"journal `{show_path(self.path)}` is closed")
        try:
            with translated(verb, self.path, key=self.path, need=need):
                yield
        except BaseException:
            self.close()
            raise


def read_journal(path: str) -> Iterator[bytes]:
    """Yield the records of a journal in their order, up to a last line that was cut short.

    Raises:
        ObjectMissingError: no such journal.
        CorruptDataError: a complete line does not fit the chain; fields `path`, `offset`.
    """
    return (record.payload for record in _records(path))


class _Record(NamedTuple):
    payload: bytes
    digest: bytes  # which the next record is bound to
    end: int  # the offset behind it


def _records(path: str) -> Iterator[_Record]:
    with translated("read", path, key=path), open(path, "rb") as file:
        digest, offset = b"", 0
        for line in file:
            if not line.endswith(b"\n"):
                return  # Never synced, so it never counted.
            found, payload = line[:DIGITS], line[DIGITS + 1 : -1]
            digest = chained(digest, payload)
            if line != b"%b %b\n" % (digest, payload):
                raise CorruptDataError(
                    f"journal `{show_path(path)}` is corrupt at byte {offset}:"
                    f" digest `{found.decode('ascii', 'backslashreplace')}`,"
                    f" expected `{digest.decode()}`",
                    hint="pymr start --overwrite   with its arguments does it anew",
                    path=path,
                    offset=offset,
                )
            offset += len(line)
            yield _Record(payload, digest, offset)


def check_record(payload: bytes) -> None:
    """Refuse a record that would read back as two."""
    if b"\n" in payload:
        raise InternalError(f"a journal record holds a newline: {payload[:80]!r}")


def chained(digest: bytes, payload: bytes) -> bytes:
    """Return the digest of a record behind what has `digest`."""
    return b"%016x" % xxh3_64(digest + payload)
