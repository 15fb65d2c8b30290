"""Objects in any store that obstore speaks to: S3, GCS, Azure, and memory.

Who sends a failed request again is `object_retry`, what a refusal means is in `object_errors`, and
which answer to a put is believed in `conditional_put`. obstore's local store does not fsync and is
not used here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from pymr.errors import (
    ObjectMissingError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store.access import Access, Address
from pymr.store.base import ObjectEntry, check_key
from pymr.store.conditional_put import ConditionalPuts
from pymr.store.object_client import Clients, connect, place_of
from pymr.store.object_errors import refusal_of
from pymr.store.object_listing import Listing, VersionedEntry
from pymr.store.object_retry import RequestCounts, Requests
from pymr.store.object_writer import PART_BYTES, PARTS_IN_FLIGHT_MAX, PartsWriter

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

_DELETED_AT_ONCE_MAX: Final = 1_000  # S3's
_PAGE_KEYS: Final = 1_000  # S3's
_UNSATISFIABLE: Final = 416
_PAST_THE_END: Final = "Wanted range starting at"  # the words of the store of memory
_FORBIDDEN: Final = 403


def open_objects(address: Address, access: Access) -> ObstoreStore:
    """Return the objects at an address; nothing is asked of the store yet.

    Raises:
        ConfigError: the library cannot use the address.
    """
    return ObstoreStore(connect(address, access), address, access)


class ObstoreStore:
    """The objects at one address. Threads may share it."""

    def __init__(
        self,
        clients: Clients | Client,
        address: Address = Address("memory", "objects", ""),  # noqa: B008 - it cannot change
        access: Access = Access(),  # noqa: B008 - the same
    ) -> None:
        both = clients if isinstance(clients, Clients) else Clients(clients, clients)
        self._client, self._uploads = both
        self._place = place_of(address, access)
        may_renew = access.credentials_file is not None or access.access_key_id is None
        self._requests = Requests(self._place, access.storage_wait_s, may_renew=may_renew)
        self._puts = ConditionalPuts(self._client, self._requests)

    def __str__(self) -> str:
        return str(self._place)

    @property
    def counts(self) -> RequestCounts:
        """What the requests of this store went through so far."""
        return self._requests.counts

    def check(self) -> None:
        """Ask the store for one page of keys, to see whether it can be used at all.

        Raises:
            StoreError: there is no such bucket, the keys are wrong, …
            StoreUnavailableError: it does not answer.
        """
        import obstore

        self._requests.send("", lambda: next(obstore.list(self._client, chunk_size=1), None))

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Create the object in one atomic, durable step, and read it back.

        Raises:
            ObjectExistsError: it has other bytes.
            StoreError: the store says that it took these bytes, and gives others.
            StoreUnavailableError: whether it was created is not known.
        """
        check_key(key)
        self._puts.put_if_absent(key, body, is_read_back=True)

    def create_whole(self, key: str, body: bytes) -> None:
        """Create the object, whose key nobody else has, in one step; a success is believed."""
        check_key(key)
        self._puts.put_if_absent(key, body, is_read_back=False)

    def replace(self, key: str, body: bytes) -> None:
        """Create or replace the object atomically and durably."""
        import obstore

        check_key(key)
        self._requests.send(
            key,
            lambda: obstore.put(self._client, key, body, mode="overwrite", use_multipart=False),
        )

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        """Replace the object in one atomic, durable step, if it still is of that version.

        Raises:
            ObjectExistsError: it is of another version, which is left as it is.
            ObjectMissingError: it is gone.
            StoreUnavailableError: whether it was replaced is not known.
        """
        check_key(key)
        self._puts.replace_if(key, body, version)

    def create(self, key: str) -> PartsWriter:
        """Return a stream into a new object."""
        check_key(key)
        return PartsWriter(self, key)

    def upload_parts(self, key: str, parts: Iterator[bytes]) -> None:
        """Create the object of its parts; the library sends a part again that failed."""
        import obstore

        try:
            obstore.put(
                self._uploads,
                key,
                parts,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT_MAX,
            )
        except Exception as error:
            told, _ = self._requests.told(error, key)
            if isinstance(told, ObjectMissingError):  # of the upload, when it was completed
                told = StoreUnavailableError(f"the upload of `{key}` is lost", key=key)
            raise told from error

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        return self.get_versioned(key)[0]

    def get_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the whole object, and its version for `replace_if`."""
        import obstore

        check_key(key)

        def get() -> tuple[bytes, str]:
            answer = obstore.get(self._client, key)
            return answer.bytes().to_bytes(), answer.meta["e_tag"] or ""

        return self._requests.send(key, get)

    def get_range(self, key: str, start: int, length: int, version: str | None = None) -> bytes:
        """Return bytes [start, start + length); shorter only where the object ends.

        Raises:
            ObjectChangedError: it is not the `version` that was asked for.
        """
        check_key(key)
        if length <= 0:
            self.size(key)
            return b""
        return self._requests.send(key, lambda: self._range(key, start, length, version))

    def _range(self, key: str, start: int, length: int, version: str | None) -> bytes:
        import obstore

        options: obstore.GetOptions = {"range": (start, start + length)}
        if version is not None:
            options["if_match"] = version
        try:
            return obstore.get(self._client, key, options=options).bytes().to_bytes()
        except Exception as error:
            if refusal_of(error).status == _UNSATISFIABLE or _PAST_THE_END in str(error):
                return b""
            raise

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Return the bytes of ranges, which lie within the object, asked for at once.

        Raises:
            ObjectMissingError: no such object.
        """
        import obstore

        check_key(key)
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]

        def get() -> list[bytes]:
            # As they are asked for: the library's default reads what lies between two, too.
            found = obstore.get_ranges(self._client, key, starts=starts, ends=ends, coalesce=0)
            return [each.to_bytes() for each in found]

        if not starts:
            return []
        return self._requests.send(key, get)

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        return self.describe(key)[0]

    def describe(self, key: str) -> tuple[int, str]:
        """Return the size in bytes, and the token of the version, as `get_versioned`.

        Raises:
            ObjectMissingError: no such object.
        """
        import obstore

        check_key(key)

        def head() -> tuple[int, str]:
            try:
                told = obstore.head(self._client, key)
            except Exception as error:
                if refusal_of(error).status == _FORBIDDEN:
                    self._range(key, 0, 1, None)  # whose refusal has words
                raise
            return told["size"], told["e_tag"] or ""

        return self._requests.send(key, head)

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects under the folder `prefix`, in key order."""
        return self._listing(prefix, has_versions=False).entries()

    def list_versions(self, prefix: str) -> Iterator[VersionedEntry]:
        """Yield the objects under the folder `prefix` with their versions, in key order.

        Marks of folders, which some tools keep as empty objects whose key ends in `/`, are not
        among them.
        """
        for entry in self._listing(prefix, has_versions=True).versioned():
            if entry.size:
                yield entry
                continue
            with suppress(ObjectMissingError):  # The library drops the `/`: nothing is there.
                self.describe(entry.key)
                yield entry

    def _listing(self, prefix: str, *, has_versions: bool) -> Listing:
        import obstore

        listing, folder = Listing(), prefix.rstrip("/") or None

        def read_on() -> None:
            # A page that fails is asked for again from the greatest key on that was seen.
            pages = obstore.list(
                self._client, folder, offset=listing.last or None, chunk_size=_PAGE_KEYS
            )
            for page in pages:
                listing.add(cast("Sequence[Mapping[str, Any]]", page), has_versions=has_versions)

        self._requests.send(prefix, read_on)
        return listing

    def list_names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly in the folder `prefix`, sorted; those of folders end in `/`."""
        import obstore

        folder = prefix.rstrip("/") or None
        found = self._requests.send(
            prefix, lambda: obstore.list_with_delimiter(self._client, folder)
        )
        folders = {f"{path.rstrip('/').rpartition('/')[2]}/" for path in found["common_prefixes"]}
        objects = {row["path"].rpartition("/")[2] for row in found["objects"] if row["path"]}
        yield from sorted(folders | objects)

    def copy(self, source: str, target: str) -> None:
        """Make `target` an object with the bytes of `source`, in the store."""
        import obstore

        check_key(source)
        check_key(target)
        try:
            self._requests.send(source, lambda: obstore.copy(self._client, source, target))
        except StoreError as error:
            if error.fields.get("code") not in {"EntityTooLarge", "InvalidRequest"}:
                raise
            self._copy_through(source, target)  # S3 copies no more than 5 GiB in one request.

    def _copy_through(self, source: str, target: str) -> None:
        size, version = self.describe(source)
        with PartsWriter(self, target) as writer:
            for start in range(0, size, PART_BYTES):
                writer.write(self.get_range(source, start, PART_BYTES, version))
            writer.commit()

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        check_key(key)
        self._delete([key])

    def delete_folder(self, prefix: str, *, but: Container[str] = ()) -> None:
        """Remove what is under the folder `prefix`, but the objects named in `but`."""
        check_key(prefix)
        doomed = (entry.key for entry in self.list(prefix) if entry.key not in but)
        while keys := list(islice(doomed, _DELETED_AT_ONCE_MAX)):
            self._delete(keys)

    def _delete(self, keys: Sequence[str]) -> None:
        import obstore

        def delete() -> None:
            try:
                obstore.delete(self._client, keys)
            except FileNotFoundError as error:
                if refusal_of(error).code == "NoSuchBucket":
                    raise
                if len(keys) > 1:  # one that was missing may have stopped it
                    for key in keys:
                        self._delete([key])

        self._requests.send(keys[0], delete)

    def sync(self, prefix: str) -> None:
        """Do nothing: what an object store has answered is durable."""
