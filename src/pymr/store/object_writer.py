"""A stream into one new object of an object store.

What fits into one part is put at the commit, in one request. More goes up while it is written, in
parts, a few at once, from a thread; nothing is seen of it before the store has put the parts
together. If that fails, or the answer is lost, the object itself says whether it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Full, Queue
from types import TracebackType
from typing import Final, Protocol, Self

from pymr import failpoint
from pymr.errors import ObjectMissingError, PymrError, StoreError

PART_BYTES: Final = 8 << 20  # S3 takes no part under 5 MiB but the last
PARTS_IN_FLIGHT_MAX: Final = 3
PARTS_MAX: Final = 10_000  # S3's
ABANDON_S: Final = 10.0


class Uploader(Protocol):
    """The store, as a writer uses it."""

    def create_whole(self, key: str, body: bytes) -> None:
        """Create the object in one request; as `put_if_absent`."""

    def upload_parts(self, key: str, parts: Iterator[bytes]) -> None:
        """Create the object of its parts; the error of an iterator undoes it, and is raised."""

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""


class _AbandonedError(Exception):
    """The writer was left without a commit."""


class PartsWriter:
    """The writer of an object store; holds at most a part, one that waits, and those that go up."""

    def __init__(self, store: Uploader, key: str) -> None:
        self._store = store
        self._key = key
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._written_bytes = 0
        self._upload: _Upload | None = None

    def write(self, data: bytes) -> None:
        """Append `data`."""
        for start in range(0, len(data), PART_BYTES):
            piece = bytes(data[start : start + PART_BYTES])
            self._held.append(piece)
            self._held_bytes += len(piece)
            self._written_bytes += len(piece)
            if self._held_bytes >= PART_BYTES:
                self._send()

    def commit(self) -> None:
        """Make the object visible and durable."""
        failpoint.hit("object.sync")
        if self._upload is None:
            self._store.create_whole(self._key, b"".join(self._held))
            self._held.clear()
            return
        if self._held:
            self._send()
        upload, self._upload = self._upload, None
        error = upload.finish()
        if error is not None and not self._is_there(error):
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.clear()
        if self._upload is not None:
            self._upload.abandon()

    def _send(self) -> None:
        if self._written_bytes > PARTS_MAX * PART_BYTES:
            raise StoreError(
                f"object `{self._key}` is larger than {PARTS_MAX * PART_BYTES >> 30} GiB",
                hint="--mappers N or --reducers N   makes more, smaller objects",
                key=self._key,
            )
        part = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if self._upload is None:
            self._upload = _Upload(lambda parts: self._store.upload_parts(self._key, parts))
        if not self._upload.take(part):
            upload, self._upload = self._upload, None
            error = upload.finish()
            assert error is not None, "an upload that takes nothing more has failed"
            raise error

    def _is_there(self, error: BaseException) -> bool:
        """Say whether the object is whole in spite of `error`: its key is this writer's alone."""
        try:
            return self._store.size(self._key) == self._written_bytes
        except ObjectMissingError:
            return False
        except PymrError:
            raise error from None


class _Upload:
    """A thread that takes parts one by one and sends them."""

    def __init__(self, send: Callable[[Iterator[bytes]], None]) -> None:
        self._parts: Queue[bytes | None] = Queue(maxsize=1)
        self._send = send
        self._is_abandoned = False
        self._has_ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pymr-upload", daemon=True)
        self._thread.start()

    def take(self, part: bytes) -> bool:
        """Hand a part over when there is room for it; False if the upload has failed."""
        if self._has_ended:
            return False
        self._parts.put(part)
        return not self._has_ended

    def finish(self) -> BaseException | None:
        """Wait for the end, and return what went wrong."""
        if not self._has_ended:
            self._parts.put(None)
        self._thread.join()
        return self._error

    def abandon(self) -> None:
        """Undo what went up, as far as that does not take long."""
        self._is_abandoned = True
        with suppress(Full):
            if not self._has_ended:
                self._parts.put(None, timeout=ABANDON_S)
            self._thread.join(ABANDON_S)

    def _run(self) -> None:
        try:
            self._send(self._taken())
        except BaseException as error:  # noqa: BLE001 - raised where the writer is used
            self._error = error
        self._has_ended = True
        while not self._parts.empty():  # Somebody may wait for room that nobody needs any more.
            self._parts.get_nowait()

    def _taken(self) -> Iterator[bytes]:
        while (part := self._parts.get()) is not None:
            if self._is_abandoned:
                break
            yield part
        if self._is_abandoned:
            raise _AbandonedError
