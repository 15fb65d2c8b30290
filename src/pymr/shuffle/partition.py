"""Where a key goes, and what a record leaves in the books.

Both are XXH3 (https://xxhash.com) of encoded bytes, so they are the same on every machine, in
every version and run. Python's `hash()` is used nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymr._native import xxh3_64, xxh3_128
from pymr.shuffle.bounded import encode_varint

_FINGERPRINTS = 1 << 128


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, of `partitions`, that owns the encoded `key`."""
    return xxh3_64(key) % partitions


def fingerprint_of(key: bytes, value: bytes) -> int:
    """Return the 128-bit fingerprint of one encoded record."""
    return xxh3_128(encode_varint(len(key)) + key + value)


def fingerprint_sum(key: bytes, values: Iterable[bytes]) -> int:
    """Return the sum of the fingerprints of `key` with each of `values`, modulo 2**128.

    The order of records does not change it; the number of equal records does.
    """
    head = encode_varint(len(key)) + key
    return sum([xxh3_128(head + value) for value in values]) % _FINGERPRINTS
