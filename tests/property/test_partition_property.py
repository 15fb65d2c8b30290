"""The partition of a key is `xxh3_64(encoded key) mod reducers`, wherever it is computed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from memory_runs import order, shuffle
from pymr._native import xxh3_64
from pymr.core.spec import Limits
from pymr.shuffle.codec import encode_key
from pymr.shuffle.partition import partition_of

TEXTS = st.text(st.sampled_from("a\0é\ud800\U0001f600") | st.characters(codec=None), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20)
KEYS = st.recursive(SCALARS, lambda keys: st.lists(keys, max_size=3).map(tuple), max_leaves=5)
REDUCERS = st.integers(1, 50)

# From the sanity check of xxHash (https://xxhash.com), for every branch of XXH3 by length.
PUBLISHED = {
    0: 0x2D06800538D394C2,
    1: 0xC44BDFF4074EECDB,
    6: 0x27B56A84CD2D7325,
    12: 0xA713DAF0DFBB77E7,
    24: 0xA3FE70BF9D3510EB,
    48: 0x397DA259ECBA1F11,
    80: 0xBCDEFBBB2C47C90A,
    195: 0xCD94217EE362EC3A,
    403: 0xCDEB804D65C6DEA4,
    512: 0x617E49599013CB6B,
    2048: 0xDD59E2C3A5F038E0,
    2240: 0x6E73A90539CF2948,
    2367: 0xCB37AEB9E5D361ED,
}
# key, its encoded bytes, and its partition of 2, 1000 and 10,000
KNOWN = [
    ("the", "40 746865", [1, 831, 8831]),
    (1, "21 01", [0, 924, 924]),
    (1.0, "38 bff0000000000000", [1, 829, 829]),
    (None, "02", [1, 127, 2127]),
    (b"\0\xff", "48 00ff", [0, 632, 1632]),
    ((1, "a"), "50 2101 4061 00 00", [0, 858, 9858]),
    ("é" * 100, "40" + "c3a9" * 100, [1, 147, 3147]),
]
ELSEWHERE = """
from pymr.shuffle.codec import encode_key
from pymr.shuffle.partition import partition_of
for key in eval(input()):
    print(partition_of(encode_key(key), 1000))
"""


@settings(max_examples=50)
@given(st.lists(st.tuples(KEYS, st.just(1)), max_size=30), REDUCERS)
def test_every_key_is_shuffled_to_its_partition(pairs: list[tuple[Any, int]], count: int) -> None:
    """Through buffer, spills and merge: each group is where the hash of its key says."""
    with tempfile.TemporaryDirectory() as folder:
        result = shuffle([pairs], folder, partitions=count, limits=Limits(spill_bytes_max=1000))

    for index, groups in enumerate(result.partitions):
        assert [xxh3_64(encode_key(key)) % count for key, _ in groups] == [index] * len(groups)
    event(f"partitions with keys: {sum(map(bool, result.partitions))}")


@given(KEYS, KEYS, REDUCERS)
def test_a_partition_is_one_of_those_there_are_and_equal_keys_share_it(
    first: Any, second: Any, count: int
) -> None:
    """0.0 and -0.0 meet, and so does every NaN."""
    left, right = (partition_of(encode_key(key), count) for key in (first, second))

    assert 0 <= left < count
    assert left == right or order(first) != order(second)


@pytest.mark.parametrize("length", PUBLISHED)
def test_the_hash_is_xxh3_as_published(length: int) -> None:
    """So a program in any language finds the partition of a key."""
    data, state = bytearray(), 2654435761
    for _ in range(length):
        data.append(state >> 56)
        state = state * 11400714785074694797 % (1 << 64)

    assert xxh3_64(bytes(data)) == PUBLISHED[length]


@pytest.mark.parametrize(("key", "data", "partitions"), KNOWN)
def test_a_key_is_where_it_always_was(key: Any, data: str, partitions: list[int]) -> None:
    """Another version or machine must find what this one wrote."""
    assert encode_key(key) == bytes.fromhex(data)
    assert [partition_of(encode_key(key), count) for count in (2, 1000, 10_000)] == partitions


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_another_process_finds_the_same_partitions(hash_seed: str) -> None:
    """Whatever the seed of its hashes and its locale."""
    keys = [*(key for key, _, _ in KNOWN), *range(-50, 50), *map(str, range(100)), 0.1, True]

    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=f"{keys!a}\n",
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": "C", "PYTHONUTF8": "0"},
        text=True,
        capture_output=True,
        check=True,
    )

    assert done.stdout.split() == [str(partition_of(encode_key(key), 1000)) for key in keys]
