"""The combiner's law on groups by hand: what holds, what rounds, what breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pymr._native import decode_key, decode_value, encode_key, encode_value
from pymr.core.trial import Law
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.combine import Combine
from pymr.task.law import Reduced, check_law, groupings


def combiner(function: Callable[[list[Any]], list[Any]]) -> Combine:
    def combine(_key: bytes, values: Iterator[bytes]) -> list[bytes]:
        return [encode_value(value) for value in function([decode_value(v) for v in values])]

    return combine


def reducer(function: Callable[[list[Any]], Any]) -> Callable[[bytes, list[bytes]], Reduced]:
    def reduce(key: bytes, values: list[bytes]) -> Reduced:
        return [(key, encode_value(function([decode_value(value) for value in values])))]

    return reduce


def law_of(combine: Combine, reduce: Any, *groups: list[Any]) -> Law:
    """Return the verdict on groups with the keys 0, 1, …."""
    encoded = [
        (encode_key(number), [encode_value(value) for value in values])
        for number, values in enumerate(groups)
    ]
    return check_law(
        combine,
        reduce,
        encoded,
        lambda rows: tuple(repr(decode_value(value)) for _, value in rows),
        lambda key: repr(decode_key(key)),
    )


def test_a_sum_holds() -> None:
    """Whatever is added up first."""
    law = law_of(combiner(lambda values: [sum(values)]), reducer(sum), [1, 2, 3], [7, 7])

    assert law == Law(verdict="holds", keys=2)


def test_a_sum_and_a_count_hold_and_a_mean_does_not() -> None:
    """A mean of means is another number; the key, the grouping and both results are told."""

    def add(pairs: list[Any]) -> list[Any]:
        return [(sum(total for total, _ in pairs), sum(count for _, count in pairs))]

    def divide(pairs: list[Any]) -> float:
        return sum(total for total, _ in pairs) / sum(count for _, count in pairs)

    good = law_of(combiner(add), reducer(divide), [(3, 1), (5, 1), (10, 1)])
    bad = law_of(
        combiner(lambda values: [sum(values) / len(values)]),
        reducer(lambda values: sum(values) / len(values)),
        [4, 4],
        [1, 2, 6],
    )

    assert good.verdict == "holds"
    assert (bad.verdict, bad.keys, bad.key) == ("broken", 2, "1")
    assert bad.grouping == "in halves"
    assert (bad.plain, bad.combined) == (("3.0",), ("3.75",))


@pytest.mark.parametrize(
    ("combine", "grouping"),
    [
        (lambda values: values[:1], "all at once"),
        (lambda values: [*values, 1], "all at once"),
        (lambda values: [sum(values) + 1], "all at once"),
        (lambda values: [sum(values) if len(values) > 2 else 0], "in halves"),
    ],
)
def test_a_combiner_that_loses_or_adds_something_is_broken(combine: Any, grouping: str) -> None:
    """It may also be right when it is called once and wrong when it is called again."""
    law = law_of(combiner(combine), reducer(sum), [5, 6, 7, 8])

    assert (law.verdict, law.grouping) == ("broken", grouping)


def test_a_combiner_that_may_not_run_on_one_value_again_is_found() -> None:
    """Counting: a count of counts; the built-in is right only before the values are sums."""
    law = law_of(combine_for("sum"), reducer(len), [1, 1, 1])

    assert (law.verdict, law.grouping) == ("broken", "all at once")
    assert (law.plain, law.combined) == (("3",), ("1",))


def test_floats_that_round_are_close() -> None:
    """The last digits of a sum depend on its order, which is lawful and is told; also in tuples."""
    values = [0.1, 0.2, 0.3, 1e10, -1e10]

    flat = law_of(combiner(lambda some: [sum(some)]), reducer(sum), [1, 1], values)
    deep = law_of(
        combiner(lambda some: [sum(some)]), reducer(lambda v: {"n": (1, [sum(v)])}), values
    )

    assert (flat.verdict, flat.keys, flat.key) == ("close", 2, "1")
    assert flat.plain != flat.combined
    assert deep.verdict == "close"


def test_an_error_of_a_float_in_more_than_its_last_digits_is_broken() -> None:
    """One in a million is no rounding; nor is another type, or another row."""
    wrong = combiner(lambda values: [sum(values) * (1 + 1e-6)])
    typed = combiner(lambda values: [float(sum(values))])

    assert law_of(wrong, reducer(sum), [0.1, 0.2]).verdict == "broken"
    assert law_of(typed, reducer(sum), [1, 2]).verdict == "broken"


def test_a_difference_outweighs_a_rounding() -> None:
    """The first broken key is told, though an earlier one was close."""
    combine = combiner(lambda values: [sum(values) if values[0] != 5 else 0])

    law = law_of(combine, reducer(sum), [0.1, 0.2, 0.3], [5, 6])

    assert (law.verdict, law.key) == ("broken", "1")


def test_a_reducer_with_a_memory_is_no_fault_of_the_combiner() -> None:
    """It gives another result for the same values; nothing can be said about the combiner."""
    calls: list[int] = []

    def numbered(values: list[int]) -> tuple[int, int]:
        calls.append(1)
        return len(calls), sum(values)

    law = law_of(combine_for("sum"), reducer(numbered), [1, 2])

    assert law.verdict == "stateful"


def test_a_value_alone_is_never_combined() -> None:
    """As in the engine; three groupings of two values."""
    seen: list[int] = []

    def combine(_key: bytes, values: Iterator[bytes]) -> list[bytes]:
        taken = list(values)
        seen.append(len(taken))
        return [b"".join(taken)]

    names = [name for name, _ in groupings(combine, b"", [b"a", b"b"])]
    seen_of_two, seen[:] = list(seen), []
    three = dict(groupings(combine, b"", [b"a", b"b", b"c"]))

    assert names == ["all at once", "in halves", "all but the first"]
    assert seen_of_two == [2, 2]
    assert seen == [3, 2, 2, 2]
    assert three["all but the first"] == [b"a", b"bc"]
