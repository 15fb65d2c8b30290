"""The bucket of a store: whether it is there and can be used, and making it."""

from __future__ import annotations

from typing import Final

from pymr.errors import StoreError
from pymr.store.access import Access, Address, parse_address

MISSING: Final = "NoSuchBucket"


def check_root(place: str, access: Access) -> None:
    """Ask the store at an address for a page of keys.

    Raises:
        ConfigError: the address cannot be used.
        StoreError: there is no such bucket, the keys are wrong, …
    """
    from pymr.store.object_store import open_objects

    address = parse_address(place)
    open_objects(Address(address.scheme, address.bucket, ""), access).check()


def ensure_root(place: str, access: Access) -> bool:
    """Make the bucket of an address if it is missing; return whether that was done.

    Raises:
        StoreError: it can be neither used nor made.
    """
    try:
        check_root(place, access)
    except StoreError as error:
        if error.fields.get("code") != MISSING or access.access_key_id is None:
            raise
        _make(parse_address(place), access)
        check_root(place, access)
        return True
    return False


def _make(address: Address, access: Access) -> None:
    from pymr.store.object_client import place_of
    from pymr.store.object_errors import explained
    from pymr.store.signed_request import SignedRequests

    try:
        SignedRequests(address, access).create_root()
    except OSError as error:
        told, _ = explained(error, place_of(address, access), "")
        # Another start may have made it meanwhile.
        if told.fields.get("code") not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise told from error
