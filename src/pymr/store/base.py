"""The seam to where data lives: an object store, in a few verbs.

The contract below is written once and tested once, against every implementation
(`tests/contract/test_store.py`). Keys are relative, `/`-separated, and come from
`pymr.names`. Calls block. An object is immutable, but for `replace` and `copy`.
`str(store)` is its place, for messages.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

from pymr.errors import ObjectMissingError, StoreError


class ObjectEntry(NamedTuple):
    """One row of a listing."""

    key: str
    size: int


class ObjectWriter(Protocol):
    """A stream into a new object, which appears whole at `commit` or not at all."""

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            ResourceError: no space is left; the object will not appear.
        """

    def commit(self) -> None:
        """Make the object visible and durable. Nothing may be written afterwards.

        Raises:
            ObjectExistsError: the key was not fresh; its bytes are left as they were.
        """

    def __enter__(self) -> Self:
        """Return the writer."""

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drop what was written, unless it was committed."""


class ObjectStore(Protocol):
    """Named, immutable objects."""

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Create the object in one atomic, durable step.

        Readers see all of `body` or no object at all. Of concurrent calls with different
        bodies one wins. Where the very same body is there already, the call may succeed: the
        reply to an earlier try may have been lost.

        Raises:
            ObjectExistsError: `key` exists; its bytes are left as they were.
        """

    def replace(self, key: str, body: bytes) -> None:
        """Create or replace the object atomically and durably: readers see old or new."""

    def create(self, key: str) -> ObjectWriter:
        """Return a stream into a new object; `key` must be fresh (it holds a nonce)."""

    def get(self, key: str) -> bytes:
        """Return the whole object.

        Raises:
            ObjectMissingError: no such object.
        """

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes [start, start + length); shorter only where the object ends.

        Raises:
            ObjectMissingError: no such object.
        """

    def size(self, key: str) -> int:
        """Return the object's size in bytes.

        Raises:
            ObjectMissingError: no such object.
        """

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects whose key starts with the folder `prefix`, in key order."""

    def copy(self, source: str, target: str) -> None:
        """Make `target` an object with the bytes of `source`, replacing it atomically.

        Not durable by itself where the store is a disk: `sync` makes it so.

        Raises:
            ObjectMissingError: no such object.
        """

    def delete(self, key: str) -> None:
        """Remove the object; removing what is not there is no error."""

    def delete_folder(self, prefix: str, *, but: Container[str] = ()) -> None:
        """Remove all objects under the folder `prefix` that are not named in `but`.

        What interrupted writers left there goes, too. Not atomic; may be repeated.
        """

    def sync(self, prefix: str) -> None:
        """Make copies and deletions directly in the folder `prefix` durable."""


@runtime_checkable
class VersionedStore(ObjectStore, Protocol):
    """A store that replaces an object only if nobody else has: no folder does that."""

    def get_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the whole object, and its version for `replace_if`.

        Raises:
            ObjectMissingError: no such object.
        """

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        """Replace the object in one atomic, durable step, if it still is of that version.

        Of concurrent calls with different bodies and one version one wins. As with
        `put_if_absent` no answer is believed before the object is read back.

        Raises:
            ObjectExistsError: it is of another version, which is left as it is.
            ObjectMissingError: it is gone.
        """

    def list_names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly in the folder `prefix`, sorted; those of folders end in `/`."""


def is_there(store: ObjectStore, key: str) -> bool:
    """Say whether there is an object `key`."""
    try:
        store.size(key)
    except ObjectMissingError:
        return False
    return True


def check_key(key: str) -> None:
    """Refuse a key that is not a plain relative path: a manifest may come from anywhere.

    Raises:
        StoreError: `key` is empty or absolute, or has an empty, `.` or `..` part, or a NUL.
    """
    if "\0" in key or not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise StoreError(f"key {key!r} is not a plain relative path", key=key)
