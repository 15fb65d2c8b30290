"""SUM, MIN, MAX and COUNT by example: exact, typed, and the same however values were combined."""

from __future__ import annotations

import enum
import math
from fractions import Fraction
from typing import Any

import pytest

from pymr.shuffle.builtin import combine_for, reduce_for
from pymr.shuffle.codec import decode_value, encode_value
from pymr.shuffle.values import short_repr

INF, NAN = math.inf, math.nan
BIG = 10**400


def combined(name: str, *values: Any) -> list[Any]:
    """Return what the combiner of `name` leaves of `values`."""
    encoded = (encode_value(value) for value in values)
    return [decode_value(data) for data in combine_for(name)(b"", encoded)]


def test_sum_combines_exact_ints_and_passes_everything_else_on() -> None:
    """Floats, bools and what will be refused keep their order; the int comes last."""
    assert combined("sum", 1, 2, -5, 1000) == [998]
    assert combined("sum", 1, 0.5, True, 2, "x", 0.25) == [0.5, True, "x", 0.25, 3]
    assert combined("sum", 0.1, 0.2) == [0.1, 0.2]
    assert combined("sum", BIG, -BIG) == [0]
    assert combined("count", 1, 1, 1) == [3]


def test_min_and_max_combine_keys_and_pass_everything_else_on() -> None:
    """What has no place in the key order reaches the reducer, which refuses it."""
    assert combined("min", 3, "a", None, 2) == [None]
    assert combined("max", 3, "a", None, 2) == ["a"]
    assert combined("min", [1], 3, {2}, 1) == [[1], {2}, 1]
    assert combined("max", [1]) == [[1]]


def test_the_first_of_equal_values_wins() -> None:
    """-0.0 and 0.0 are equal as keys, and different as values."""
    for name in ("min", "max"):
        assert str(combined(name, -0.0, 0.0)[0]) == "-0.0"
        assert str(combined(name, 0.0, -0.0)[0]) == "0.0"
        assert str(reduce_for(name)(iter([-0.0, 0.0]))) == "-0.0"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], 6),
        ([True, True], 2),
        ([True], 1),
        ([BIG, 1, -BIG], 1),
        ([0.1] * 10, 1.0),
        ([1e16, 1.0, -1e16], 1.0),
        ([BIG, 0.5, -BIG], 0.5),
        ([1e308, 1e308, -1e308], 1e308),
        ([1e308, 1e308], INF),
        ([-1e308, -1e308], -INF),
        ([BIG, 0.5], INF),
        ([5e-324, 5e-324], 1e-323),
        ([INF, 1], INF),
        ([-INF, BIG], -INF),
        ([1.5, 1.5], 3.0),
        ([-0.0], 0.0),
    ],
)
def test_sum_is_exact_and_rounded_once(values: list[Any], expected: float) -> None:
    """Ints of any size among floats of any size; too large is infinite."""
    found = reduce_for("sum")(iter(values))

    assert found == expected
    assert type(found) is type(expected)
    assert reduce_for("sum")(iter(combined("sum", *values))) == expected


@pytest.mark.parametrize("values", [[NAN], [1, NAN, INF], [INF, -INF], [INF, 0.5, NAN]])
def test_sum_of_what_has_no_sum_is_nan(values: list[float]) -> None:
    """NaN sticks, and both infinities make one."""
    assert math.isnan(reduce_for("sum")(iter(values)))


class Level(enum.IntEnum):
    HIGH = 3


def test_sum_takes_subclasses_of_numbers_as_their_number() -> None:
    """The result is a plain int or float."""
    real = type("Real", (float,), {})

    assert type(reduce_for("sum")([Level.HIGH])) is int
    assert type(reduce_for("sum")([real(1.5)])) is float
    assert type(reduce_for("sum")([real(INF)])) is float


@pytest.mark.parametrize(
    ("value", "shown"), [("1", "a str: '1'"), (Fraction(1, 2), "a Fraction: Fraction(1, 2)")]
)
def test_sum_refuses_what_is_no_number(value: Any, shown: str) -> None:
    """The message says what to emit instead."""
    with pytest.raises(TypeError) as caught:
        reduce_for("sum")([1, value])

    assert str(caught.value) == (
        f"pymr.SUM adds numbers, found {shown}; emit numbers, like ctx.emit(key, 1)"
    )


def test_min_and_max_compare_numbers_as_such() -> None:
    """As JSON has them: 7 and 7.5 are of two types, and no user cares."""
    assert reduce_for("max")([10, 0.5, 7]) == 10
    assert reduce_for("min")([1.0, 2, BIG]) == 1.0
    assert combined("max", 10, 0.5, 10.5, 7, -BIG) == [10.5]
    assert reduce_for("max")([("a", 7.5), ("a", 10)]) == ("a", 10)
    assert reduce_for("max")([2**53, float(2**53), 2**53 + 1]) == 2**53 + 1


@pytest.mark.parametrize("values", [[1, 1.0], [1.0, 1]])
def test_of_equal_numbers_the_int_is_less(values: list[Any]) -> None:
    """Whichever comes first: what was combined before changes no byte."""
    assert type(reduce_for("min")(values)) is int
    assert type(reduce_for("max")(values)) is float
    assert [type(each) for each in combined("max", *values)] == [float]


def test_min_and_max_use_key_order() -> None:
    """Mixed types have an order, and NaN its place behind infinity."""
    values = [3, 2.5, "b", "a", (1,), (1, 0)]

    assert reduce_for("min")(iter(values)) == 2.5
    assert reduce_for("max")(iter(values)) == (1, 0)
    assert reduce_for("min")([3, "a", True, NAN, -INF]) is True
    assert math.isnan(reduce_for("max")([1.0, NAN, INF]))


@pytest.mark.parametrize("name", ["min", "max"])
def test_min_and_max_refuse_what_has_no_order(name: str) -> None:
    """The message names the built-in, the type and the value."""
    with pytest.raises(
        TypeError, match=rf"pymr.{name.upper()} compares numbers, .* by key order, found a list"
    ):
        reduce_for(name)([1, [2]])


def test_count_adds_the_ones() -> None:
    """The buffer has replaced every value by 1."""
    assert reduce_for("count")([1, 5, 1]) == 7


def test_a_repr_for_a_message_is_short_and_never_fails() -> None:
    """Whatever the user's class does."""

    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    assert short_repr("a") == "'a'"
    assert short_repr(Broken()) == "<Broken>"
    assert len(short_repr("x" * 1000)) == 80
