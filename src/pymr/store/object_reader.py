"""Reads objects that others have put into a store: by their exact key, in one known version.

The keys of inputs are opaque: nothing is made shorter, joined or resolved. The library, though,
takes keys for paths (`/x` is `x` to it, and `a//b` none). So an S3 store is listed, and a key
that the library would take for another, or not at all, is read by `signed_request`; where that
has no keys to sign with, such a key is refused and named. An ETag is a token that only the store
understands: it is compared by the store, with each read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pymr.errors import InputError, ObjectChangedError
from pymr.store.access import Access, Address
from pymr.store.object_client import connect, place_of
from pymr.store.object_errors import Place, refusal_of
from pymr.store.object_retry import Requests
from pymr.store.signed_request import SignedRequests
from pymr.text_form import show_path

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ObjectStore as Client

    Data: TypeAlias = bytes | Bytes  # both are buffers

KEY_BYTES_MAX: Final = 1024  # of S3; Google's limit is the same, Azure's in characters
_PAGE_KEYS: Final = 1000  # of one answer to a listing: as many as S3 gives at once
_READERS_MAX: Final = 64  # of stores that one process reads; each holds connections
_WORDLESS: Final = {400, 403}  # refusals, of which an answer without a body does not say why


class Version(NamedTuple):
    """An object as it was seen."""

    size: int
    etag: str  # "": the store has none, and changes go unnoticed


class Listed(NamedTuple):
    """One object of a listing."""

    key: bytes
    version: Version | None  # None: a folder, whose key ends in a slash


def open_reader(address: Address, access: Access) -> ObjectReader:
    """Return the reader of the store of an address: the same one each time, with connections.

    Raises:
        ConfigError: the library cannot use the address.
    """
    return _open(address._replace(prefix=""), access)


@lru_cache(maxsize=_READERS_MAX)
def _open(store: Address, access: Access) -> ObjectReader:
    exact = None
    if store.scheme == "s3" and access.access_key_id is not None:
        exact = SignedRequests(store, access)
    may_renew = access.credentials_file is not None or access.access_key_id is None
    place = place_of(store, access)
    requests = Requests(place, access.storage_wait_s, may_renew=may_renew)
    return ObjectReader(connect(store, access).requests, place, requests, exact)


class ObjectReader:
    """All objects of one store. Any number of threads may use it at a time.

    Its methods raise, besides what they say, StoreError where the store refuses, and
    StoreUnavailableError where it was out of reach for longer than it may.
    """

    def __init__(
        self, client: Client, place: Place, requests: Requests, exact: SignedRequests | None = None
    ) -> None:
        self._client = client
        self._place = place
        self._requests = requests
        self._exact = exact  # for keys that `client` does not take as they are

    @property
    def is_exact(self) -> bool:
        """Whether a listing has the keys as they are."""
        return self._exact is not None

    def look(self, key: bytes) -> Version:
        """Return the version that an object has now.

        Raises:
            ObjectMissingError: no such object.
            InputError: it cannot be asked for by that key.
        """
        self._refuse(key)

        def head() -> Version:
            try:
                return self._head(key)
            except Exception as error:
                if refusal_of(error).status in _WORDLESS:
                    self._get(key, 0, 1, "")  # Its refusal has words.
                raise

        return self._requests.send(show_path(key), head)

    def read(self, key: bytes, start: int, length: int, etag: str) -> Data:
        """Return bytes [start, start + length) of the version `etag`; they must lie in it.

        Raises:
            ObjectMissingError: no such object.
            ObjectChangedError: it has another version, `etag` of the error.
        """
        self._refuse(key)
        name = show_path(key)
        try:
            return self._requests.send(name, lambda: self._get(key, start, length, etag))
        except ObjectChangedError as error:
            now = self.look(key).etag
            raise ObjectChangedError(
                f"`{self.name_of(key)}` has the ETag {now}, expected {etag}", key=name, etag=now
            ) from error

    def list(self, prefix: bytes, *, is_deep: bool = True) -> Iterator[Listed]:
        """Yield the objects whose keys begin with `prefix`, as they come; some may come twice.

        Unless `is_deep`, what has a slash behind the prefix may come as one folder.

        Raises:
            InputError: a key among them cannot be asked for.
        """
        if self._exact is None:
            yield from self._library_list(prefix)
            return
        exact, token, has_more = self._exact, None, True
        while has_more:
            ask = partial(exact.page, prefix, token, is_deep=is_deep)
            rows, token = self._requests.send(show_path(prefix), ask)
            has_more = token is not None
            for key, size, etag in rows:
                yield Listed(key, Version(size, etag) if size >= 0 else None)

    def _library_list(self, prefix: bytes) -> Iterator[Listed]:
        import obstore

        folder = prefix[: prefix.rfind(b"/") + 1]
        self._refuse(folder[:-1] or b"x")
        last, pages = "", None

        def next_page() -> Any:
            nonlocal pages
            # A page that fails is asked for again, from the greatest key on that was seen.
            path = folder[:-1].decode() or None
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

    def _head(self, key: bytes) -> Version:
        import obstore

        if self._exact is not None and _why_refused(key):
            return Version(*self._exact.head(key))
        told = obstore.head(self._client, key.decode())
        return Version(told["size"], told["e_tag"] or "")

    def _get(self, key: bytes, start: int, length: int, etag: str) -> Data:
        import obstore

        if self._exact is not None and _why_refused(key):
            return self._exact.get(key, start, length, etag)
        options: obstore.GetOptions = {"range": (start, start + length)}
        if etag:
            options["if_match"] = etag
        return obstore.get(self._client, key.decode(), options=options).bytes()

    def _refuse(self, key: bytes) -> None:
        """Refuse a key that no store has, or that the library would take for another, or none.

        Raises:
            InputError: it is one.
        """
        why = None if self._exact is not None else _why_refused(key)
        if b"\0" in key:
            why = "has a NUL byte"
        elif len(key) > KEY_BYTES_MAX:
            why = f"has {len(key)} bytes, expected at most {KEY_BYTES_MAX}"
        if why is not None:
            name = self.name_of(key)
            raise InputError(f"the key of an input {why}: `{name}`", input=name)


def _why_refused(key: bytes) -> str | None:
    """Return why the library does not take a key as it is; None: it does."""
    if any(byte < 0x20 or byte == 0x7F for byte in key):  # noqa: PLR2004 - control characters
        return "has a control character"
    if not {b"", b".", b".."}.isdisjoint(key.split(b"/")):
        return "has an empty, `.` or `..` part between its slashes"
    try:
        key.decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    return None
