"""Some of the keys that there are, each with all of its weight.

Kept are the keys whose hash begins with so many zeros that they are few enough. So a key is kept
or not however often it comes, and what is known of those that are kept is exact.

Law: what is kept depends on what was added alone, in any order, also by way of several that are
merged. The idea is Gibbons's (Distinct Sampling for Highly-Accurate Answers to Distinct Values
Queries and Event Reports, VLDB 2001).
"""

from __future__ import annotations

from collections.abc import Iterable

from pymr._native import xxh3_64

_HASH_BITS = 64


class DistinctKeys:
    """At most `keys_max` encoded keys with weights; None: all of them."""

    def __init__(self, keys_max: int | None) -> None:
        self.weights: dict[bytes, int] = {}
        self.halvings = 0  # the hash of each key begins with so many zeros
        self._keys_max = keys_max

    def add(self, key: bytes, weight: int) -> None:
        """Add `weight` to that of `key`, if it is one of those that are kept."""
        if xxh3_64(key) >> (_HASH_BITS - self.halvings):
            return
        self.weights[key] = self.weights.get(key, 0) + weight
        while self._keys_max is not None and len(self.weights) > self._keys_max:
            self._halve(self.halvings + 1)

    def merge(self, weights: Iterable[tuple[bytes, int]], halvings: int) -> None:
        """Add what another one has kept."""
        if halvings > self.halvings:
            self._halve(halvings)
        for key, weight in weights:
            self.add(key, weight)

    def _halve(self, halvings: int) -> None:
        self.halvings = halvings
        shift = _HASH_BITS - halvings
        self.weights = {key: w for key, w in self.weights.items() if not xxh3_64(key) >> shift}
