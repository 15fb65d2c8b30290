"""What reduce tasks read: the list of committed map outputs, and its digest. Pure.

The list is the same for all reduce tasks, and may be long. So it travels as one object, whose name
has the digest of its bytes in it: who reads it knows that it is the one that was meant, and an
attempt that was begun under an earlier master can say what it reads.
"""

from __future__ import annotations

import hashlib

import msgspec

from pymr.core.spec import MapSource, Receipt


def source_of(receipt: Receipt) -> MapSource:
    """Return a committed map output as reduce tasks read it."""
    assert receipt.footer_digest is not None, f"`{receipt.attempt}` has no footer digest"
    return MapSource(receipt.attempt.task, receipt.key, receipt.footer_digest, receipt.size)


def encode_sources(sources: tuple[MapSource, ...]) -> bytes:
    """Return the bytes of the list: JSON, the same for the same list."""
    return msgspec.json.encode(sources)


def decode_sources(body: bytes) -> tuple[MapSource, ...]:
    """Return the list of these bytes, whose digest was compared.

    Raises:
        msgspec.DecodeError: they are none.
    """
    return msgspec.json.decode(body, type=tuple[MapSource, ...])


def sources_digest(body: bytes) -> str:
    """Return the digest of the bytes of a list: SHA-256, as hex."""
    return hashlib.sha256(body).hexdigest()
