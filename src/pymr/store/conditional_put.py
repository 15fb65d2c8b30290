"""Puts of which one wins, by a rule for answers that cannot be believed.

A put may succeed and its reply be lost; then an "exists" may speak of one's own object, and a
failure of one that is there, or comes later. So whatever a put-if-absent is answered, the object is
read back: my bytes, then I won; other bytes, then I lost; nothing, then the same bytes are sent
again; and if it cannot be read, nothing is claimed. A replacement of what was read is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymr.errors import (
    ObjectChangedError,
    ObjectExistsError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from pymr.store.object_retry import Requests

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client


class ConditionalPuts:
    """Those of one store. Threads may share it."""

    def __init__(self, client: Client, requests: Requests) -> None:
        self._client = client
        self._requests = requests
        self._is_quoted = True  # a version, as RFC 9110 has it, until the store wants it otherwise

    def put_if_absent(self, key: str, body: bytes, *, is_read_back: bool) -> None:
        """Create the object; what is not `is_read_back` is believed when it succeeds.

        Raises:
            ObjectExistsError: it has other bytes.
            UnsafeStoreError: the store says that it took these bytes, and gives others.
            StoreUnavailableError: whether it was created is not known.
        """
        import obstore

        def put() -> None:
            try:
                obstore.put(self._client, key, body, mode="create", use_multipart=False)
            except Exception as error:
                told, _ = self._requests.told(error, key)
                is_open = isinstance(told, (ObjectExistsError, StoreUnavailableError))
                if not is_open or not self._holds(key, body, error):
                    raise
                return
            if is_read_back and not self._holds(key, body, None):
                raise StoreUnavailableError(f"`{key}` was put and is not there", key=key)

        self._requests.send(key, put)

    def _holds(self, key: str, body: bytes, error: Exception | None) -> bool:
        """Say whether `body` is there; raise if other bytes are."""
        import obstore

        try:
            found = obstore.get(self._client, key).bytes().to_bytes()
        except FileNotFoundError:
            return False
        if found == body:
            return True
        if error is None:
            raise UnsafeStoreError(
                f"`{key}` was put and has other bytes: this store is not safe",
                hint=f"pymr doctor --store {self._requests.place}",
                key=key,
            )
        raise ObjectExistsError(f"object `{key}` exists, expected none", key=key) from error

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        """Replace the object if it still is of that version.

        Raises:
            ObjectExistsError: it is of another version, which is left as it is.
            ObjectMissingError: it is gone.
            StoreUnavailableError: whether it was replaced is not known.
        """
        import obstore

        def put() -> None:
            is_quoted = self._is_quoted
            mode: Any = {"e_tag": version if is_quoted else version.strip('"')}
            try:
                obstore.put(self._client, key, body, mode=mode, use_multipart=False)
            except Exception as error:
                told, _ = self._requests.told(error, key)
                if not isinstance(told, (ObjectChangedError, StoreUnavailableError)):
                    raise
                found = obstore.get(self._client, key)
                if found.bytes() == body:
                    return
                if found.meta["e_tag"] == version:
                    if told.retryable:
                        raise
                    if is_quoted:  # Ceph compares with what stands between the quotes.
                        self._is_quoted = False
                        put()
                        return
                raise ObjectExistsError(
                    f"object `{key}` was replaced since it was read", key=key
                ) from error

        self._requests.send(key, put)
