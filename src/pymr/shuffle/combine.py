"""Where a combiner meets the shuffle: groups of two values or more, and their count.

A combiner may run any number of times on any neighbours of a group, also not at all, so
no result may depend on how often it did; the books need what went in and what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, NoReturn, TypeAlias

from pymr.shuffle.codec import decode_key, encode_key, encode_value
from pymr.shuffle.values import GroupValues, short_repr, too_large

# From an encoded key and two or more of its encoded values, in order, to what replaces them.
Combine: TypeAlias = Callable[[bytes, Iterator[bytes]], Iterable[bytes]]
Emit: TypeAlias = Callable[[Any, Any], None]
Blame: TypeAlias = Callable[[BaseException, Any], NoReturn]  # raises what was raised for a key


class UserCombiner(NamedTuple):
    """A function of the user, bound to what its `ctx` emits into."""

    function: Callable[[Any, Any, Any], Any]  # called with `context`, a key and its values
    context: Any
    emit_all: Callable[[Any], None]  # emits what it returned, if that is not None
    settle: Callable[[], None]  # called behind each call of it
    blame: Blame  # of what it raised


class FunctionCombine:
    """The combiner of a user as a `Combine`; the compiled shuffle needs `bind` alone.

    What is emitted has the key of the group, and values of at most `value_bytes_max`.
    """

    def __init__(self, bind: Callable[[Emit], UserCombiner], value_bytes_max: int) -> None:
        self.bind = bind
        self._value_bytes_max = value_bytes_max
        self._user: UserCombiner | None = None
        self._key = b""
        self._emitted: list[bytes] | None = None  # while it is called

    def __call__(self, key: bytes, values: Iterator[bytes]) -> list[bytes]:
        """Return what the function emits.

        Raises:
            UserCodeError: it raised.
        """
        if self._user is None:
            self._user = self.bind(self._emit)
        self._key, self._emitted = key, []
        emitted, group = self._emitted, GroupValues(values)
        self._call(self._user, decode_key(key), group)
        group.close()
        if group.failed is not None:
            self._user.blame(group.failed, decode_key(key))
        return emitted

    def _call(self, user: UserCombiner, key: Any, group: GroupValues) -> None:
        try:
            pairs = user.function(user.context, key, group)
            if pairs is not None:
                user.emit_all(pairs)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            user.settle()
            user.blame(error, key)
        finally:
            self._emitted = None
        user.settle()

    def _emit(self, key: Any, value: Any) -> None:
        emitted = self._emitted
        if emitted is None:
            raise RuntimeError(
                "emit was called while its combiner does not run, expected calls from within it"
                " only"
            )
        if encode_key(key) != self._key:
            raise ValueError(
                "a combiner may emit its own key only: called with"
                f" {short_repr(decode_key(self._key))}, emitted {short_repr(key)}"
            )
        data = encode_value(value)
        if len(data) > self._value_bytes_max:
            raise too_large("value", len(data), self._value_bytes_max)
        emitted.append(data)


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
