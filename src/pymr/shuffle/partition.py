"""Where a key goes, and what a record leaves in the books.

Both are XXH3 (https://xxhash.com) of encoded bytes, so they are the same on every machine, in
every version and run. Python's `hash()` is used nowhere.
"""

from __future__ import annotations

from pymr._native import xxh3_64, xxh3_128
from pymr.shuffle.bounded import encode_varint


def partition_of(key: bytes, partitions: int, seed: int = 0) -> int:
    """Return the partition, of `partitions`, that owns the encoded `key`.

    With another `seed` keys that share a partition part ways, whoever chose them.
    """
    return xxh3_64(key, seed) % partitions


def fingerprint_of(key: bytes, value: bytes) -> int:
    """Return the 128-bit fingerprint of one encoded record.

    `pymr._native.fingerprint_sum` adds up those of one key.
    """
    return xxh3_128(encode_varint(len(key)) + key + value)
