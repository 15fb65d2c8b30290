"""Where a combiner meets the shuffle: groups of two values or more, and their count.

A combiner may run any number of times on any neighbours of a group, also not at all, so
no result may depend on how often it did; the books need what went in and what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeAlias

# From an encoded key and two or more of its encoded values, in order, to what replaces them.
Combine: TypeAlias = Callable[[bytes, Iterator[bytes]], Iterable[bytes]]


class Combiner:
    """Applies a `Combine`, or none, and counts the values that went in and came out."""

    def __init__(self, combine: Combine | None) -> None:
        self.values_in = 0
        self.values_out = 0
        self._combine = combine

    def apply(self, key: bytes, values: Iterable[bytes]) -> Iterable[bytes]:
        """Return what stays of `values`, lazily: consume it before `values` moves on."""
        return values if self._combine is None else self._applied(self._combine, key, values)

    def apply_to_list(self, key: bytes, values: list[bytes]) -> list[bytes]:
        """Return what stays of `values`, two or more, which the combiner is known to need."""
        assert self._combine is not None
        result = list(self._combine(key, iter(values)))
        self.values_in += len(values)
        self.values_out += len(result)
        return result

    def _applied(self, combine: Combine, key: bytes, values: Iterable[bytes]) -> Iterator[bytes]:
        rest = iter(values)
        first = list(islice(rest, 2))
        if len(first) < 2:  # noqa: PLR2004 - nothing to combine
            yield from first
            return
        group = self._counted(chain(first, rest))
        for value in combine(key, group):
            self.values_out += 1
            yield value
        for _ in group:  # A combiner that stops early has dropped the rest.
            pass

    def _counted(self, values: Iterator[bytes]) -> Iterator[bytes]:
        for value in values:
            self.values_in += 1
            yield value
