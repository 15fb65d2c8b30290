"""How this process reaches object stores: endpoint, region, credentials.

A place is a folder, or an address such as `s3://bucket/prefix`. What is needed besides the address
is one `Access`, the same for inputs, outputs and everything between. It travels to task processes
over their pipe, and to workers over the encrypted channel; it stands in no file, object, event or
message, and its `repr` shows no secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pymr.config.value import quote
from pymr.errors import ConfigError

if TYPE_CHECKING:
    from pymr.store.base import ObjectStore

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", re.ASCII)
_SCHEMES: Final = ("s3", "gs", "az", "memory")
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]*)(?:/(.*))?", re.DOTALL)


class Way(msgspec.Struct, frozen=True):
    """What people are told in the place of an endpoint that is gone when this process ends."""

    name: str  # of the store: the storage of namespace `data`
    command: str  # that says how others reach it


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client of a store is told besides its address; None: as the library finds it.

    Keys that were read from a file name it, so that any process that has the file reads them
    anew when they have expired (`credentials.renewed`).
    """

    endpoint: str | None = None  # http://127.0.0.1:9000; None: the provider's own
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    credentials_file: str | None = None  # where the keys stand, absolute
    credentials_profile: str = "default"  # … and their section of it
    root_certificates: str | None = None  # PEM; those that are trusted besides the system's
    is_requester_paying: bool = False  # for reading what others keep
    storage_wait_s: float = 600.0  # the store may be out of reach so long at a time
    silence_s: float | None = None  # … and a request without a byte so long; None: as usual
    way: Way | None = None  # None: the endpoint is one for everybody

    @property
    def told_endpoint(self) -> str | None:
        """What people are told of where the store is."""
        return self.endpoint if self.way is None else self.way.name

    def __repr__(self) -> str:
        return f"Access(endpoint={self.endpoint!r}, region={self.region!r}, …)"


AMBIENT: Final = Access()  # all of it as the library finds it in its environment


class Address(NamedTuple):
    """The parts of `s3://bucket/prefix`; the prefix is literal, and may be empty."""

    scheme: str
    bucket: str
    prefix: str


def is_address(place: str) -> bool:
    """Say whether `place` is the address of a store, not a folder."""
    match = _ADDRESS.fullmatch(place)
    return match is not None and match[1] in _SCHEMES


def parse_address(text: str) -> Address:
    """Return the parts of an address. All behind the bucket is literal: `?`, `#` and `%` too.

    Raises:
        ConfigError: it has no bucket, a name that none has, or a scheme that no store has.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or match[1] not in _SCHEMES:
        raise ConfigError(
            f"{quote(text)} is no address of a store, expected such as `s3://bucket/prefix`"
        )
    scheme, bucket, prefix = match[1], match[2], match[3] or ""
    if scheme != "memory" and not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{quote(text)} has the bucket {quote(bucket)}, expected 3 to 63 lower-case letters,"
            " digits, `.` and `-`, such as `s3://bucket/prefix`"
        )
    return Address(scheme, bucket, prefix)


def open_store(place: str, access: Access) -> ObjectStore:
    """Return the objects of a folder, or of an address.

    Raises:
        ConfigError: the address cannot be used.
    """
    if not is_address(place):
        from pymr.store.local import LocalStore

        return LocalStore(place)
    from pymr.store.object_store import open_objects

    return open_objects(parse_address(place), access)
