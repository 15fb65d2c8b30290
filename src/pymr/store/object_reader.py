"""Reads objects that others have put into a store: by their exact key, in one known version.

The keys of inputs are opaque: nothing is made shorter, joined or resolved. obstore, though, takes
keys for paths (`/x` is `x` to it, and `a//b` none), so one that it would take for another, or
not at all, is refused here and named. An ETag is a token that only the store understands: it is
compared by the store, with each read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from pymr.errors import InputError, ObjectChangedError
from pymr.store.access import Access, Address
from pymr.store.object_store import open_client, translated
from pymr.text_form import show_path

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ObjectStore as Client

KEY_BYTES_MAX: Final = 1024  # of S3; Google's limit is the same, Azure's in characters
PAGE_KEYS: Final = 1000  # of one answer to a listing: as many as S3 gives at once
_READERS_MAX: Final = 64  # of stores that one process reads; each holds connections


class Version(NamedTuple):
    """An object as it was seen."""

    size: int
    etag: str  # "": the store has none, and changes go unnoticed


class Listed(NamedTuple):
    """One object of a listing."""

    key: bytes
    version: Version


def open_reader(address: Address, access: Access) -> ObjectReader:
    """Return the reader of the store of an address: the same one each time, with connections."""
    return _open(address._replace(prefix=""), access)


@lru_cache(maxsize=_READERS_MAX)
def _open(store: Address, access: Access) -> ObjectReader:
    return ObjectReader(open_client(store, access), f"{store.scheme}://{store.bucket}")


class ObjectReader:
    """The objects of one store. Any number of threads may use it at a time."""

    def __init__(self, client: Client, place: str) -> None:
        self._client = client
        self._place = place

    def look(self, key: bytes) -> Version:
        """Return the version that an object has now.

        Raises:
            ObjectMissingError: no such object.
            InputError: it cannot be asked for by that key.
        """
        import obstore

        path = self._path(key)
        with translated(self.name_of(key)):
            found = obstore.head(self._client, path)
        return Version(found["size"], found["e_tag"] or "")

    def read(self, key: bytes, start: int, length: int, etag: str) -> Bytes:
        """Return bytes [start, start + length) of the version `etag`; they must lie in it.

        Raises:
            ObjectMissingError: no such object.
            ObjectChangedError: it has another version.
        """
        import obstore
        from obstore.exceptions import PreconditionError

        path, name = self._path(key), self.name_of(key)
        with translated(name):
            try:
                return obstore.get(
                    self._client,
                    path,
                    options={"range": (start, start + length), "if_match": etag or None},
                ).bytes()
            except PreconditionError as error:
                refused = error
        now = self.look(key).etag
        raise ObjectChangedError(
            f"object `{name}` has the ETag `{now}`, expected `{etag}`", key=name, etag=now
        ) from refused

    def list(self, prefix: bytes) -> Iterator[Listed]:
        """Yield the objects whose keys begin with `prefix`, as they come; some may come twice.

        Raises:
            InputError: a key among them cannot be asked for.
        """
        import obstore

        folder = prefix[: prefix.rfind(b"/") + 1].rstrip(b"/")
        path = self._path(folder) if folder else None
        with translated(self.name_of(prefix)):
            pages = obstore.list(self._client, path, chunk_size=PAGE_KEYS)
            for page in pages:
                for row in page:
                    key = row["path"].encode()
                    if key.startswith(prefix):
                        yield Listed(key, Version(row["size"], row["e_tag"] or ""))

    def name_of(self, key: bytes) -> str:
        """Return the address of an object, for a message."""
        return f"{self._place}/{show_path(key)}"

    def _path(self, key: bytes) -> str:
        """Return a key as obstore takes it.

        Raises:
            InputError: it would take it for another, or for none.
        """
        why = _why_refused(key)
        if why is not None:
            name = self.name_of(key)
            raise InputError(f"input `{name}` cannot be read: its key {why}", input=name)
        return key.decode()


def _why_refused(key: bytes) -> str | None:
    if len(key) > KEY_BYTES_MAX:
        return f"has {len(key)} bytes, expected at most {KEY_BYTES_MAX}"
    if any(byte < 0x20 or byte == 0x7F for byte in key):  # noqa: PLR2004 - control characters
        return "has a control character"
    if not {b"", b".", b".."}.isdisjoint(key.split(b"/")):
        return "has an empty, `.` or `..` part between its slashes"
    try:
        key.decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    return None
