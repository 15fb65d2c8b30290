"""Objects that are told by their digest: lists that are too long for a message, and code.

Whoever is handed a `Stored` over a channel it trusts can trust the object, whoever could write to
the store meanwhile: other bytes are refused before anything looks into them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, Final, cast

from pymr import names
from pymr.core.sources import decode_sources, encode_sources
from pymr.core.spec import MapSource, ReduceWork, Stored
from pymr.errors import CorruptDataError, ObjectExistsError
from pymr.store.base import ObjectStore

STORED_TRIES_MAX: Final = 3  # of what comes with another digest: it may have changed on the way


def put_stored(store: ObjectStore, body: bytes, key_of: Callable[[str], str]) -> Stored:
    """Write `body` to the key that `key_of` makes of its SHA-256; it may be there already.

    Raises:
        StoreError: the store failed.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    key = key_of(sha256)
    with suppress(ObjectExistsError):  # Who reads it looks whether it is the same.
        store.put_if_absent(key, body)
    return Stored(key, len(body), sha256)


def get_stored(store: ObjectStore, stored: Stored) -> bytes:
    """Return the bytes of an object.

    Raises:
        ObjectMissingError: it is gone.
        CorruptDataError: its digest is another one.
    """
    for _ in range(STORED_TRIES_MAX):
        body = store.get_range(stored.key, 0, stored.size)
        if hashlib.sha256(body).hexdigest() == stored.sha256:
            return body
    raise CorruptDataError(
        f"object `{stored.key}` is corrupt: {len(body)} bytes with another digest,"
        f" expected {stored.size} with SHA-256 `{stored.sha256}`",
        key=stored.key,
    )


def put_sources(store: ObjectStore, run: str, sources: tuple[MapSource, ...]) -> Stored:
    """Write the list of map outputs that each reduce attempt of `run` reads.

    Raises:
        StoreError: the store failed.
    """
    return put_stored(store, encode_sources(sources), partial(names.sources_key, run))


def sources_of(store: ObjectStore, work: ReduceWork) -> tuple[MapSource, ...]:
    """Return the map outputs that `work` reads; a list in `store` is read once by a process.

    Raises:
        ObjectMissingError, CorruptDataError: the list cannot be used.
    """
    if not isinstance(work.sources, Stored):
        return work.sources
    # What is kept is the text: as structs it takes three times the memory.
    return decode_sources(_kept(cast("Any", store), work.sources))


_kept = lru_cache(maxsize=1)(get_stored)
