"""Objects in any store that obstore speaks to: memory today, S3, GCS and Azure alike.

A put may succeed and its reply be lost; the client's own retry then reports the object as
existing. So an "exists" is never believed before the object is read back: my bytes, then I
won; other bytes, then I lost. obstore's local store does not fsync and is not used here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store.access import Access, Address
from pymr.store.base import ObjectEntry, check_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client


def open_objects(address: Address, access: Access) -> ObstoreStore:
    """Return the objects at an address."""
    from obstore.store import from_url

    given = {
        "aws_endpoint": access.endpoint,
        "aws_region": access.region,
        "aws_access_key_id": access.access_key_id,
        "aws_secret_access_key": access.secret_access_key,
        "aws_session_token": access.session_token,
    }
    config = {key: value for key, value in given.items() if value is not None}
    client = from_url(
        f"{address.scheme}://{address.bucket}/{address.prefix}",
        config=config,  # type: ignore[call-overload]
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    return ObstoreStore(client)


class ObstoreStore:
    """The objects of an obstore `client`, which owns endpoint, prefix and credentials."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __str__(self) -> str:
        return type(self._client).__name__

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Create the object in one atomic, durable step."""
        import obstore

        check_key(key)
        try:
            with _translated(key):
                obstore.put(self._client, key, body, mode="create", use_multipart=False)
        except (ObjectExistsError, StoreUnavailableError) as error:
            if not self._holds(key, body, error):
                raise

    def _holds(self, key: str, body: bytes, error: StoreError) -> bool:
        """Say whether `body` is there; raise if other bytes are."""
        try:
            found = self.get(key)
        except ObjectMissingError:
            return False
        if found != body:
            raise ObjectExistsError(f"object `{key}` exists, expected none", key=key) from error
        return True

    def replace(self, key: str, body: bytes) -> None:
        """Create or replace the object atomically and durably."""
        import obstore

        check_key(key)
        with _translated(key):
            obstore.put(self._client, key, body, mode="overwrite", use_multipart=False)

    def get_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the whole object, and its version for `replace_if`."""
        import obstore

        check_key(key)
        with _translated(key):
            found = obstore.get(self._client, key)
            return found.bytes().to_bytes(), found.meta["e_tag"] or ""

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        """Replace the object in one atomic, durable step, if it still is of that version."""
        import obstore

        check_key(key)
        try:
            with _translated(key):
                mode: Any = {"e_tag": version}
                obstore.put(self._client, key, body, mode=mode, use_multipart=False)
        except (ObjectExistsError, StoreUnavailableError) as error:
            found, now = self.get_versioned(key)
            if found != body:
                if now == version and error.retryable:
                    raise
                raise ObjectExistsError(
                    f"object `{key}` was replaced since it was read", key=key
                ) from error

    def create(self, key: str) -> BufferedWriter:
        """Return a stream into a new object; it is held in memory until its commit."""
        check_key(key)
        return BufferedWriter(self, key)

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        import obstore

        check_key(key)
        with _translated(key):
            return obstore.get(self._client, key).bytes().to_bytes()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes [start, start + length); shorter only where the object ends."""
        import obstore

        length = min(length, self.size(key) - start)
        if length <= 0:
            return b""  # Stores refuse an empty range, and one that starts past the end.
        with _translated(key):
            return obstore.get_range(self._client, key, start=start, length=length).to_bytes()

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        import obstore

        check_key(key)
        with _translated(key):
            return obstore.head(self._client, key)["size"]

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects under the folder `prefix`, in key order."""
        import obstore

        with _translated(prefix):
            pages = obstore.list(self._client, prefix.rstrip("/") or None, chunk_size=1000)
            entries = [ObjectEntry(row["path"], row["size"]) for page in pages for row in page]
        yield from sorted(set(entries))  # Not every store lists in order, or once.

    def list_names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly in the folder `prefix`, sorted; those of folders end in `/`."""
        import obstore

        with _translated(prefix):
            found = obstore.list_with_delimiter(self._client, prefix.rstrip("/") or None)
        folders = {f"{path.rstrip('/').rpartition('/')[2]}/" for path in found["common_prefixes"]}
        yield from sorted(folders | {row["path"].rpartition("/")[2] for row in found["objects"]})

    def copy(self, source: str, target: str) -> None:
        """Make `target` an object with the bytes of `source`, in the store."""
        import obstore

        check_key(source)
        check_key(target)
        with _translated(source):
            obstore.copy(self._client, source, target)

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        import obstore

        check_key(key)
        try:
            with _translated(key):
                obstore.delete(self._client, key)
        except ObjectMissingError:
            return

    def delete_folder(self, prefix: str, *, but: Container[str] = ()) -> None:
        """Remove what is under the folder `prefix`, but the objects named in `but`."""
        check_key(prefix)
        for entry in self.list(prefix):
            if entry.key not in but:
                self.delete(entry.key)

    def sync(self, prefix: str) -> None:
        """Do nothing: what an object store has answered is durable."""


class BufferedWriter:
    """A stream into one new object, kept in memory until `commit`."""

    def __init__(self, store: ObstoreStore, key: str) -> None:
        self._store = store
        self._key = key
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._chunks.append(bytes(data))

    def commit(self) -> None:
        """Make the object visible and durable."""
        self._store.put_if_absent(self._key, b"".join(self._chunks))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._chunks.clear()


@contextmanager
def _translated(key: str) -> Iterator[None]:
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissingError(f"no object `{key}`", key=key) from error
    except exceptions.AlreadyExistsError as error:
        raise ObjectExistsError(f"object `{key}` exists, expected none", key=key) from error
    except exceptions.PreconditionError as error:
        raise ObjectExistsError(f"object `{key}` is not as it was read", key=key) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise StoreError(f"the store refused `{key}`: {_first_line(error)}", key=key) from error
    except exceptions.BaseError as error:
        raise StoreUnavailableError(
            f"the store failed on `{key}`: {_first_line(error)}", key=key
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
