"""Where a key goes.

Its partition is the XXH3 (https://xxhash.com) of its encoded bytes, so it is the same on every
machine, in every version and run. Python's `hash()` is used nowhere. With `--sort` it is the
range of keys that it is in, so that parts are in order, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from pymr._native import xxh3_64
from pymr.shuffle.values import short_repr


def partition_of(key: bytes, partitions: int, seed: int = 0) -> int:
    """Return the partition, of `partitions`, that owns the encoded `key`.

    With another `seed` keys that share a partition part ways, whoever chose them.
    """
    return xxh3_64(key, seed) % partitions


def range_of(key: bytes, boundaries: Sequence[bytes]) -> int:
    """Return the partition that owns the encoded `key` with `--sort`.

    `boundaries` ascend; each is the first key of a partition, from the second on.
    """
    return bisect_right(boundaries, key)


def partition_by(partitioner: Callable[[Any, int], int], partitions: int, key: Any) -> int:
    """Return the partition that the user's `partitioner` gives `key`.

    Raises:
        ValueError: that is none; its `returned_by` is the partitioner, no frame of which is left.
    """
    partition = partitioner(key, partitions)
    if isinstance(partition, int) and 0 <= partition < partitions:
        return int(partition)
    error = ValueError(
        f"partitioner returned {short_repr(partition)}, expected an int from 0 to {partitions - 1}"
    )
    error.returned_by = partitioner  # type: ignore[attr-defined]
    raise error
