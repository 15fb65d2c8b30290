"""Objects 00000000, 00000001, … of a folder: created in that order, each once, and never listed.

A listing may be late, and of a store with millions of objects long; asking for the next number is
neither. Several are asked for at a time, so a thousand of them take little longer than a few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pymr.errors import ObjectMissingError
from pymr.store.base import ObjectStore

ASKED_MAX: Final = 16  # at a time


class Numbered:
    """The objects of which `key_of` makes the keys."""

    def __init__(self, objects: ObjectStore, key_of: Callable[[int], str]) -> None:
        self.objects = objects
        self.key_of = key_of

    def get(self, number: int) -> bytes | None:
        """Return an object, None if there is none of that number."""
        try:
            return self.objects.get(self.key_of(number))
        except ObjectMissingError:
            return None

    def put(self, number: int, body: bytes) -> None:
        """Create an object; raises as `put_if_absent`."""
        self.objects.put_if_absent(self.key_of(number), body)

    def read(self, first: int = 0) -> Iterator[bytes]:
        """Yield the objects from `first` to the last before the first that is not there."""
        count = 1
        with ThreadPoolExecutor(ASKED_MAX, "numbered objects") as threads:
            while True:
                for body in threads.map(self.get, range(first, first + count)):
                    if body is None:
                        return
                    yield body
                first, count = first + count, min(count * 2, ASKED_MAX)

    def has_any(self, first: int) -> bool:
        """Say whether there is any of the next ASKED_MAX numbers."""
        with ThreadPoolExecutor(ASKED_MAX, "numbered objects") as threads:
            return any(threads.map(self._has, range(first, first + ASKED_MAX)))

    def end(self) -> int:
        """Return the number behind the last object; there is none left out before it."""
        low, high = 0, 1
        while self._has(high - 1):
            low, high = high, high * 2
        high -= 1
        while low < high:
            middle = (low + high) // 2
            if self._has(middle):
                low = middle + 1
            else:
                high = middle
        return low

    def _has(self, number: int) -> bool:
        try:
            self.objects.size(self.key_of(number))
        except ObjectMissingError:
            return False
        return True
