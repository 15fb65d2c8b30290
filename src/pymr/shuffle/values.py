"""The values of one key as a reducer or combiner sees them: lazy, one pass, decoded on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pymr.shuffle.codec import decode_value

_REPR_CHARACTERS_MAX = 80
_ONCE = "values can be iterated once; use list(values)"


class GroupValues:
    """Iterates over encoded `values`, one pass; `close` ends the group for good."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self._encoded = iter(values)
        self._decoded = self._decode()
        self._is_taken = False
        self._is_over = False
        self.failed: BaseException | None = None  # what a value that was asked for has raised

    def __iter__(self) -> Iterator[Any]:
        """Return the iterator.

        Raises:
            RuntimeError: it was asked for before, or the group is over.
        """
        if self._is_taken or self._is_over:
            raise RuntimeError(_ONCE)
        self._is_taken = True
        return self._decoded

    def __next__(self) -> Any:
        """Return the next value.

        Raises:
            RuntimeError: the group is over.
        """
        if self._is_over:
            raise RuntimeError(_ONCE)
        return next(self._decoded)

    def close(self) -> None:
        """End the group: read what nobody wanted, and refuse to give values from now on."""
        self._is_over = True
        for _ in self._encoded:
            pass

    def _decode(self) -> Iterator[Any]:
        for data in self._encoded:
            try:
                value = decode_value(data)
            except BaseException as error:
                self.failed = error
                raise
            yield value
        if self._is_over:  # An iterator kept beyond its group would seem to be at its end.
            raise RuntimeError(_ONCE)


def short_repr(value: Any) -> str:
    """Return the `repr` of `value` for a message: at most 80 characters, and never an error."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a class of the user, or more digits than Python prints
        return f"<{type(value).__name__}>"
    return text if len(text) <= _REPR_CHARACTERS_MAX else text[: _REPR_CHARACTERS_MAX - 1] + "…"


def too_large(what: str, size: int, limit: int) -> ValueError:
    """Return the error of a key or value of `size` encoded bytes."""
    return ValueError(f"a {what} of {size} bytes is larger than the limit of {limit} bytes")
