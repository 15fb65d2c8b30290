"""Where a sorted output is cut into parts: ranges of keys that weigh about the same.

    keys of a sample, in order, with weights      k0 k1 k2 | k3 | k4 k5 k6 k7 | k8 k9
    boundaries: the first key of each later part             k3   k4            k8

Laws:
- the heaviest part of several keys is as light as any cut allows. A key cannot be cut: one that
  is heavier than that has a part to itself, and the others share the rest;
- each part has a key of the sample, as long as there are enough of them.

The idea is a sample sort's: W. D. Frazer, A. C. McKellar, Samplesort (J. ACM, 1970).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise


def choose_boundaries(weights: Mapping[bytes, int], partitions: int) -> tuple[bytes, ...]:
    """Return the first encoded key of each partition but the first, ascending.

    `weights` are positive. With fewer keys than partitions there are fewer boundaries, and the
    last partitions have no keys. O(keys log keys + partitions log weight log keys).
    """
    keys = sorted(weights)
    if len(keys) <= partitions:
        return tuple(keys[1:])
    sums = list(accumulate((weights[key] for key in keys), initial=0))
    return tuple(keys[cut] for cut in _cuts(sums, partitions))


def _cuts(sums: Sequence[int], partitions: int) -> list[int]:
    """Return where parts begin, as even as the least possible maximum allows."""
    count = len(sums) - 1
    weight_max = _least_maximum(sums, partitions)
    # Where the last parts may begin at the earliest: parts may be no heavier than the maximum.
    earliest = [count]
    for _ in range(1, partitions):
        earliest.append(_first_of(sums, earliest[-1], weight_max))
    weights = [after - before for before, after in pairwise(sums)]
    # A heavy key has a part to itself; the others share the rest.
    light = list(accumulate((w if w <= weight_max else 0 for w in weights), initial=0))
    heavy = list(accumulate((w > weight_max for w in weights), initial=0))
    cuts, start = [], 0
    for left in range(partitions, 1, -1):
        sharing = max(1, left - (heavy[count] - heavy[start]))
        aim = light[start] + (light[count] - light[start]) // sharing
        least = max(earliest[left - 1], start + 1)
        most = min(_end_of(sums, start, weight_max), count - left + 1)
        start = max(least, min(_nearest(light, aim), most))
        cuts.append(start)
    return cuts


def _least_maximum(sums: Sequence[int], partitions: int) -> int:
    """Return the least weight so that no part of several keys has to be heavier."""
    low, high = 0, sums[-1]
    while low < high:
        middle = (low + high) // 2
        if _fits(sums, partitions, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(sums: Sequence[int], partitions: int, weight_max: int) -> bool:
    start = 0
    for _ in range(partitions):
        start = _end_of(sums, start, weight_max)
        if start == len(sums) - 1:
            return True
    return False


def _end_of(sums: Sequence[int], start: int, weight_max: int) -> int:
    """Return the end of the longest part that begins at `start`: one key at least."""
    return max(start + 1, bisect_right(sums, sums[start] + weight_max) - 1)


def _first_of(sums: Sequence[int], end: int, weight_max: int) -> int:
    """Return the start of the longest part that ends at `end`."""
    return min(end - 1, bisect_left(sums, sums[end] - weight_max))


def _nearest(sums: Sequence[int], aim: int) -> int:
    """Return the index of the sum that is nearest to `aim`, the lower of two."""
    after = bisect_left(sums, aim)
    if after and aim - sums[after - 1] <= sums[after] - aim:
        return after - 1
    return after
