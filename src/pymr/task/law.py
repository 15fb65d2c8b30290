"""The combiner's law: the result of a key does not depend on how its values were combined.

A combiner runs any number of times on any neighbours of a group, also not at all. So what the
reducer makes of the values as they are is compared with what it makes of them combined: all at
once; in halves, and those again; the first one alone and the others. What a combiner emits may
differ; what the reducer emits then may not, except where the arithmetic of floats rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import isclose, isfinite, isnan

from pymr._native import decode_value
from pymr.core.trial import Law
from pymr.shuffle.combine import Combine

LAW_VALUES_MAX = 1000  # of a key that are looked at
LAW_KEYS_MAX = 200
# Of floats that are computed in another order; what is further off is no rounding. A sum may
# cancel, and is then off by up to n * EPSILON * sum(abs(values)) (Higham, Accuracy and Stability
# of Numerical Algorithms, 4.2).
RELATIVE_ERROR = 1e-9
EPSILON = 2.0**-52

Reduced = list[tuple[bytes, bytes]]  # what the reducer emitted for a key, encoded
Reduce = Callable[[bytes, list[bytes]], Reduced]


def check_law(
    combine: Combine,
    reduce: Reduce,
    groups: Iterable[tuple[bytes, list[bytes]]],
    show: Callable[[Reduced], tuple[str, ...]],
    show_key: Callable[[bytes], str],
) -> Law:
    """Return what a combiner and a reducer do with some groups of two values or more."""
    keys, close = 0, None
    for key, all_values in groups:
        values = all_values[:LAW_VALUES_MAX]
        plain = reduce(key, values)
        keys += 1
        again = reduce(key, values)
        if plain != again:
            return Law(
                verdict="stateful",
                keys=keys,
                key=show_key(key),
                plain=show(plain),
                combined=show(again),
            )
        for grouping, combined in groupings(combine, key, values):
            found = reduce(key, combined)
            if plain == found:
                continue
            is_close = is_rounded(plain, found, error_of_sum(values))
            law = Law(
                verdict="close" if is_close else "broken",
                keys=keys,
                key=show_key(key),
                grouping=grouping,
                plain=show(plain),
                combined=show(found),
            )
            if not is_close:
                return law
            close = close or law
    return Law(verdict="holds", keys=keys) if close is None else close


def groupings(
    combine: Combine, key: bytes, values: list[bytes]
) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the values, two or more, combined in three ways, with the name of each."""

    def combined(some: list[bytes]) -> list[bytes]:
        # One value alone is never combined.
        return list(combine(key, iter(some))) if len(some) > 1 else some

    middle = (len(values) + 1) // 2
    yield "all at once", combined(values)
    yield "in halves", combined(combined(values[:middle]) + combined(values[middle:]))
    yield "all but the first", values[:1] + combined(values[1:])


def error_of_sum(values: list[bytes]) -> float:
    """Return how far apart two sums of the floats in `values` may be."""
    sizes = [size for value in values for size in _sizes(decode_value(value))]
    return len(sizes) * EPSILON * sum(sizes)


def _sizes(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield abs(value) if isfinite(value) else 0.0
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _sizes(item)
    elif isinstance(value, dict):
        yield from _sizes(list(value.values()))


def is_rounded(left: Reduced, right: Reduced, error_max: float = 0.0) -> bool:
    """Say whether two results differ in the last digits of floats only, or by `error_max`."""
    return len(left) == len(right) and all(
        key == other_key and _is_close(decode_value(value), decode_value(other), error_max)
        for (key, value), (other_key, other) in zip(left, right, strict=True)
    )


def _is_close(left: object, right: object, error_max: float) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and isinstance(right, float):
        both_nan = isnan(left) and isnan(right)
        return both_nan or isclose(left, right, rel_tol=RELATIVE_ERROR, abs_tol=error_max)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(_is_close(a, b, error_max) for a, b in pairs)
    if isinstance(left, dict) and isinstance(right, dict):
        return _is_close(list(left.items()), list(right.items()), error_max)
    return left == right
