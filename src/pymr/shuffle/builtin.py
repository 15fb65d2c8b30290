"""SUM, MIN, MAX, COUNT and IDENTITY, which the engine computes by itself.

Law: a result does not depend on how, or how often, values were combined before. So SUM
combines ints only, which is exact; floats reach the reducer one by one, which adds everything
exactly and rounds once, as `math.fsum` does. MIN and MAX use an order that is total: the key
order, but for ints and floats, which are compared as the numbers they are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pymr.shuffle.codec import decode_value, encode_key, encode_value
from pymr.shuffle.combine import Combine
from pymr.shuffle.values import short_repr

_SMALL_INTS = {encode_value(value): value for value in range(-16, 112)}  # those of one byte
Order = tuple[Any, ...]
IDENTITY = "identity"  # writes each pair; there is nothing to compute
_TRUTH, _NUMBER, _NAN, _TEXT, _TUPLE = range(5)  # kinds of values as they follow each other
_UNIT_BITS = 1074  # Every finite float is a whole number of units of 2**-1074.


def combine_for(name: str) -> Combine | None:
    """Return the combiner of the built-in `name`: sum, min, max or count; None for identity.

    What it cannot combine it passes on, in order; what it combined comes last, so that a
    group larger than memory still streams. For count, every value must be the int 1.
    """
    return None if name == IDENTITY else _COMBINES[name]


def name_of(combine: Combine | None) -> str | None:
    """Return the name that `combine_for` gives `combine` for; None if it is none of those."""
    return next((name for name, known in _COMBINES.items() if known is combine), None)


def reduce_for(name: str) -> Callable[[Iterable[Any]], Any]:
    """Return the reducer of the built-in `name`, not identity: a function of at least one value.

    The sum of ints is exact. With a float among them it is the exact sum of all, rounded
    once: inf where it is too large, NaN with a NaN or both infinities.

    Raises (the function):
        TypeError: a value cannot be added (sum, count) or compared (min, max).
    """
    return _REDUCES[name]


def _combine_sum(_: bytes, values: Iterator[bytes]) -> Iterator[bytes]:
    total, found = 0, False
    for data in values:
        value = _SMALL_INTS.get(data)
        if value is None:
            value = decode_value(data)
        if type(value) is int:
            total, found = total + value, True
        else:
            yield data
    if found:
        yield encode_value(total)


def _combine_extreme(
    is_better: Callable[[Order, Order], bool], values: Iterator[bytes]
) -> Iterator[bytes]:
    best: tuple[Order, bytes] | None = None
    for data in values:
        value = decode_value(data)
        try:
            encode_key(value)
        except (TypeError, ValueError):  # The reducer refuses it, with its key at hand.
            yield data
            continue
        order = _order(value)
        if best is None or is_better(order, best[0]):
            best = order, data
    if best is not None:
        yield best[1]


def _sum(values: Iterable[Any]) -> int | float:
    ints, units, special, has_float = 0, 0, 0.0, False
    for value in values:
        if isinstance(value, int):
            ints += int(value)
        elif isinstance(value, float):
            has_float = True
            if math.isfinite(value):
                numerator, denominator = value.as_integer_ratio()
                units += numerator << (_UNIT_BITS + 1 - denominator.bit_length())
            else:
                special += float(value)
        else:
            raise TypeError(
                f"pymr.SUM adds numbers, found a {type(value).__name__}: {short_repr(value)};"
                " emit numbers, like ctx.emit(key, 1)"
            )
    if not has_float:
        return ints
    if special != 0.0:
        return special
    units += ints << _UNIT_BITS
    try:
        return units / (1 << _UNIT_BITS)  # Division of ints rounds correctly.
    except OverflowError:
        return math.inf if units > 0 else -math.inf


def _order(value: Any) -> Order:
    """Return what orders a value that can be a key. Of numbers that are equal the int comes first.

    NaN comes behind all numbers, as among keys.
    """
    kind = type(value)
    if kind is int:
        return _NUMBER, value, 0
    if kind is float:
        return (_NAN,) if math.isnan(value) else (_NUMBER, value, 1)
    if kind is tuple:
        return _TUPLE, tuple(map(_order, value))
    return _TEXT if kind in (str, bytes) else _TRUTH, encode_key(value)


def _order_for(name: str) -> Callable[[Any], Order]:
    def order_of(value: Any) -> Order:
        try:
            encode_key(value)
        except TypeError as error:
            raise TypeError(
                f"pymr.{name} compares numbers, and else by key order,"
                f" found a {type(value).__name__}: {short_repr(value)}; {error}"
            ) from error
        return _order(value)

    return order_of


# The first of equal values wins, here as in the built-in min and max below.
_COMBINES: dict[str, Combine] = {
    "sum": _combine_sum,
    "count": _combine_sum,
    "min": lambda _, values: _combine_extreme(operator.lt, values),
    "max": lambda _, values: _combine_extreme(operator.gt, values),
}
_REDUCES: dict[str, Callable[[Iterable[Any]], Any]] = {
    "sum": _sum,
    "count": _sum,
    "min": lambda values: min(values, key=_order_for("MIN")),
    "max": lambda values: max(values, key=_order_for("MAX")),
}
