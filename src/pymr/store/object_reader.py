"""Reads objects that others have put into a store: by their exact key, in one known version.

The keys of inputs are opaque: nothing is made shorter, joined or resolved. The library, though,
takes keys for paths (`/x` is `x` to it, and `a//b` none), so one that it would take for another,
or not at all, is refused here and named. An ETag is a token that only the store understands: it
is compared by the store, with each read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pymr.errors import InputError, ObjectChangedError
from pymr.store.access import Access, Address
from pymr.store.object_client import connect, place_of
from pymr.store.object_errors import Place, refusal_of
from pymr.store.object_retry import Requests
from pymr.text_form import show_path

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ObjectStore as Client

KEY_BYTES_MAX: Final = 1024  # of S3; Google's limit is the same, Azure's in characters
_PAGE_KEYS: Final = 1000  # of one answer to a listing: as many as S3 gives at once
_READERS_MAX: Final = 64  # of stores that one process reads; each holds connections
_FORBIDDEN: Final = 403


class Version(NamedTuple):
    """An object as it was seen."""

    size: int
    etag: str  # "": the store has none, and changes go unnoticed


class Listed(NamedTuple):
    """One object of a listing."""

    key: bytes
    version: Version


def open_reader(address: Address, access: Access) -> ObjectReader:
    """Return the reader of the store of an address: the same one each time, with connections.

    Raises:
        ConfigError: the library cannot use the address.
    """
    return _open(address._replace(prefix=""), access)


@lru_cache(maxsize=_READERS_MAX)
def _open(store: Address, access: Access) -> ObjectReader:
    may_renew = access.credentials_file is not None or access.access_key_id is None
    place = place_of(store, access)
    requests = Requests(place, access.storage_wait_s, may_renew=may_renew)
    return ObjectReader(connect(store, access).requests, place, requests)


class ObjectReader:
    """All objects of one store. Any number of threads may use it at a time.

    Its methods raise, besides what they say, StoreError where the store refuses, and
    StoreUnavailableError where it was out of reach for longer than it may.
    """

    def __init__(self, client: Client, place: Place, requests: Requests) -> None:
        self._client = client
        self._place = place
        self._requests = requests

    def look(self, key: bytes) -> Version:
        """Return the version that an object has now.

        Raises:
            ObjectMissingError: no such object.
            InputError: it cannot be asked for by that key.
        """
        import obstore

        path = self._path(key)

        def head() -> Version:
            try:
                told = obstore.head(self._client, path)
            except Exception as error:
                if refusal_of(error).status == _FORBIDDEN:
                    self._get(path, 0, 1, "")  # whose refusal has words
                raise
            return Version(told["size"], told["e_tag"] or "")

        return self._requests.send(show_path(key), head)

    def read(self, key: bytes, start: int, length: int, etag: str) -> Bytes:
        """Return bytes [start, start + length) of the version `etag`; they must lie in it.

        Raises:
            ObjectMissingError: no such object.
            ObjectChangedError: it has another version, `etag` of the error.
        """
        path, name = self._path(key), show_path(key)
        try:
            return self._requests.send(name, lambda: self._get(path, start, length, etag))
        except ObjectChangedError as error:
            now = self.look(key).etag
            raise ObjectChangedError(
                f"`{self.name_of(key)}` has the ETag {now}, expected {etag}", key=name, etag=now
            ) from error

    def _get(self, path: str, start: int, length: int, etag: str) -> Bytes:
        import obstore

        options: obstore.GetOptions = {"range": (start, start + length)}
        if etag:
            options["if_match"] = etag
        return obstore.get(self._client, path, options=options).bytes()

    def list(self, prefix: bytes) -> Iterator[Listed]:
        """Yield the objects whose keys begin with `prefix`, as they come; some may come twice.

        Raises:
            InputError: a key among them cannot be asked for.
        """
        import obstore

        folder = prefix[: prefix.rfind(b"/") + 1]
        path = self._path(folder[:-1]) if folder else None
        last, pages = "", None

        def next_page() -> Any:
            nonlocal pages
            # A page that fails is asked for again, from the greatest key on that was seen.
            pages = pages or obstore.list(
                self._client, path, offset=last or None, chunk_size=_PAGE_KEYS
            )
            try:
                return next(pages, None)
            except BaseException:
                pages = None
                raise

        while page := self._requests.send(show_path(prefix), next_page):
            for row in page:
                key = row["path"].encode()
                if key.startswith(prefix):
                    yield Listed(key, Version(row["size"], row["e_tag"] or ""))
            last = max(last, *(row["path"] for row in page))

    def name_of(self, key: bytes) -> str:
        """Return the address of an object, for a message."""
        return f"{self._place}/{show_path(key)}"

    def _path(self, key: bytes) -> str:
        """Return a key as the library takes it.

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
