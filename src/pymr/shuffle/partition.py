"""Where a key goes.

Its partition is the XXH3 (https://xxhash.com) of its encoded bytes, so it is the same on every
machine, in every version and run. Python's `hash()` is used nowhere.
"""

from __future__ import annotations

from pymr._native import xxh3_64


def partition_of(key: bytes, partitions: int, seed: int = 0) -> int:
    """Return the partition, of `partitions`, that owns the encoded `key`.

    With another `seed` keys that share a partition part ways, whoever chose them.
    """
    return xxh3_64(key, seed) % partitions
