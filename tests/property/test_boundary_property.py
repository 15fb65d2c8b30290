"""Whatever the weights, no cut of the keys has a lighter heaviest part."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

from hypothesis import event, given
from hypothesis import strategies as st

from pymr.core.boundary import choose_boundaries
from pymr.shuffle.partition import range_of

WEIGHTS = st.sampled_from([1, 1, 2, 3, 50, 1000]) | st.integers(1, 1 << 70)
SAMPLES = st.dictionaries(st.binary(max_size=3), WEIGHTS, max_size=9)


def cut(weights: dict[bytes, int], partitions: int) -> list[list[int]]:
    """Return the weights of each part."""
    boundaries = choose_boundaries(weights, partitions)
    assert list(boundaries) == sorted(set(boundaries))
    assert len(boundaries) < partitions
    parts: list[list[int]] = [[] for _ in range(partitions)]
    for key in sorted(weights):
        parts[range_of(key, boundaries)].append(weights[key])
    return parts


def heaviest(parts: list[list[int]]) -> int:
    """Return the weight of the heaviest part of several keys."""
    return max((sum(part) for part in parts if len(part) > 1), default=0)


@given(SAMPLES, st.integers(1, 6))
def test_the_heaviest_part_of_several_keys_is_as_light_as_can_be(
    weights: dict[bytes, int], partitions: int
) -> None:
    """Compared with every way to cut."""
    parts = cut(weights, partitions)
    in_order = [weights[key] for key in sorted(weights)]
    count = len(in_order)

    ways = combinations(range(1, count), min(partitions, count) - 1) if count else iter([()])
    best = min(
        heaviest([in_order[start:end] for start, end in pairwise((0, *cuts, count))])
        for cuts in ways
    )
    assert heaviest(parts) == best
    event(f"a heavy key is alone: {any(w > best for w in in_order)}")


@given(SAMPLES, st.integers(1, 12))
def test_no_part_is_empty_where_there_are_keys_enough(
    weights: dict[bytes, int], partitions: int
) -> None:
    """And only the last ones are where there are not."""
    filled = [bool(part) for part in cut(weights, partitions)]

    assert filled == [index < len(weights) for index in range(partitions)]


@given(st.integers(1, 300), st.integers(1, 20))
def test_equal_weights_make_parts_that_differ_by_one_key(count: int, partitions: int) -> None:
    """No part is left over for the last."""
    parts = cut({b"%05d" % number: 5 for number in range(count)}, partitions)

    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(2, 40), st.integers(0, 3), st.integers(0, 1 << 32))
def test_many_light_keys_share_what_heavy_ones_leave(
    partitions: int, heavy: int, seed: int
) -> None:
    """The largest part of light keys has at most twice an even share, if each stretch has one."""
    chance = random.Random(seed)
    weights = {b"%06d" % number: chance.randint(1, 9) for number in range(partitions * 100)}
    for key in chance.sample(sorted(weights), min(heavy, partitions - 1)):
        weights[key] = 1_000_000

    parts = cut(weights, partitions)

    light = [sum(part) for part in parts if 1_000_000 not in part]
    stretches = len(parts) - len(light) + 1  # between heavy keys
    if len(light) >= stretches:
        assert max(light) <= 2 * sum(light) / (len(light) - stretches + 1)
    event(f"heavy keys: {partitions - len(light)}")
