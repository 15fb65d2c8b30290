"""Where a sorted output is cut into parts, by example."""

from __future__ import annotations

import pytest

from pymr.core.boundary import choose_boundaries
from pymr.shuffle.partition import range_of


def parts(weights: dict[str, int], partitions: int) -> list[str]:
    """Return the keys of each part, joined."""
    boundaries = choose_boundaries({key.encode(): w for key, w in weights.items()}, partitions)
    found = [""] * partitions
    for key in sorted(weights):
        found[range_of(key.encode(), boundaries)] += key
    return found


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (dict.fromkeys("abcdef", 1), ["ab", "cd", "ef"]),
        (dict.fromkeys("abcdefgh", 1), ["ab", "cde", "fgh"]),
        ({"a": 1, "b": 1, "c": 2, "d": 1, "e": 1}, ["ab", "c", "de"]),
        ({"a": 3, "b": 3, "c": 1, "d": 1, "e": 1}, ["a", "b", "cde"]),
    ],
)
def test_parts_weigh_about_the_same(weights: dict[str, int], expected: list[str]) -> None:
    """Whatever the number of their keys."""
    assert parts(weights, 3) == expected


def test_a_heavy_key_has_a_part_to_itself_and_the_others_share_the_rest() -> None:
    """It takes no part away from them, as it would where quantiles are taken."""
    assert parts({"a": 1, "b": 1, "c": 100, "d": 1, "e": 1, "f": 1, "g": 1}, 4) == [
        "ab",
        "c",
        "de",
        "fg",
    ]


def test_several_heavy_keys_have_a_part_each() -> None:
    """Also where they are neighbours, or at an end."""
    weights = {"a": 50, "b": 60, **dict.fromkeys("cdef", 1), "g": 70}

    assert parts(weights, 5) == ["a", "b", "cd", "ef", "g"]


@pytest.mark.parametrize("partitions", [3, 4, 9])
def test_fewer_keys_than_parts_have_one_each(partitions: int) -> None:
    """The last parts are empty."""
    found = parts({"x": 1, "y": 900, "z": 1}, partitions)

    assert found == ["x", "y", "z", *[""] * (partitions - 3)]


@pytest.mark.parametrize("keys", [(), ("k",)])
def test_without_a_second_key_there_is_no_boundary(keys: tuple[str, ...]) -> None:
    """All records are in the first part."""
    assert choose_boundaries({key.encode(): 1 for key in keys}, 5) == ()


def test_one_part_needs_no_boundary() -> None:
    """It has everything."""
    assert choose_boundaries({b"a": 1, b"b": 1}, 1) == ()


def test_a_part_is_no_heavier_than_it_has_to_be_where_two_large_keys_meet() -> None:
    """Ten equal keys for eight parts: two parts have two."""
    weights = dict.fromkeys("abcdefghij", 7)

    assert sorted(map(len, parts(weights, 8))) == [1] * 6 + [2] * 2
