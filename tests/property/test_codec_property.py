"""Whatever the key or value: exact, ordered, and the same bytes from Python and from Rust."""

from __future__ import annotations

import math
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memory_runs import order
from pymr import _native
from pymr.errors import CorruptDataError
from pymr.shuffle import codec
from pymr.shuffle.bounded import decode_varint, encode_varint
from pymr.shuffle.value_codec import value_end

# Surrogates too, and NUL and 0xFF often: what escapes are made of.
TEXTS = st.text(st.sampled_from("\0\x01a\uffff\ud800\udfff\U0001f600é") | st.characters(codec=None))
BLOBS = st.lists(st.sampled_from([0, 1, 97, 255])).map(bytes) | st.binary()
INTS = st.integers() | st.builds(
    lambda bits, offset, sign: sign * ((1 << bits) + offset),
    st.integers(0, 600),
    st.integers(-1, 1),
    st.sampled_from([1, -1]),
)
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, math.nan, -math.nan, 5e-324])
SCALARS = st.none() | st.booleans() | INTS | FLOATS | TEXTS | BLOBS
KEYS = st.recursive(SCALARS, lambda keys: st.lists(keys, max_size=4).map(tuple), max_leaves=8)
VALUES = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(tuple)
        | st.dictionaries(KEYS, values, max_size=4)
        | st.frozensets(INTS, max_size=2)
    ),
    max_leaves=10,
)


@given(KEYS, KEYS)
def test_the_order_of_bytes_is_the_order_of_keys(first: Any, second: Any) -> None:
    """Less, equal or greater: the bytes say what the contract says."""
    left, right = codec.encode_key(first), codec.encode_key(second)

    assert (left < right) == (order(first) < order(second))
    assert (left == right) == (order(first) == order(second))


@given(KEYS)
def test_a_key_comes_back_exactly(key: Any) -> None:
    """The same type and value; -0.0 comes back as 0.0 and any NaN as a NaN."""
    found = codec.decode_key(codec.encode_key(key))

    assert order(found) == order(key)
    assert codec.encode_key(found) == codec.encode_key(key)


@given(KEYS)
def test_the_native_codec_makes_the_same_keys(key: Any) -> None:
    """Byte for byte, and back."""
    data = codec.encode_key(key)

    assert _native.encode_key(key) == data
    assert order(_native.decode_key(data)) == order(key)


@given(VALUES)
def test_the_native_codec_refuses_the_same_keys(key: Any) -> None:
    """The same bytes, or the same error with the same message."""
    try:
        expected: object = codec.encode_key(key)
    except TypeError as error:
        expected = str(error)
    try:
        found: object = _native.encode_key(key)
    except TypeError as error:
        found = str(error)

    assert found == expected


@given(BLOBS | KEYS.map(codec.encode_key), st.data())
def test_any_bytes_are_a_key_or_corrupt_for_both_codecs(data: bytes, choice: st.DataObject) -> None:
    """Cut or changed anywhere: both find the same key, or both refuse."""
    if data:
        place = choice.draw(st.integers(0, len(data) - 1))
        change = choice.draw(st.integers(0, 255))
        keep = choice.draw(st.booleans())
        data = data[:place] + bytes([change]) + (data[place + 1 :] if keep else b"")
    try:
        expected: object = codec.encode_key(codec.decode_key(data))
    except CorruptDataError:
        expected = CorruptDataError
    try:
        found: object = _native.encode_key(_native.decode_key(data))
    except CorruptDataError:
        found = CorruptDataError

    assert found == expected


@given(VALUES)
def test_a_value_comes_back_exactly(value: Any) -> None:
    """Types, order of dicts, bits of floats: everything."""
    data = codec.encode_value(value)

    assert exact(codec.decode_value(data)) == exact(value)
    assert value_end(data + b"more", 0) == len(data)


def exact(value: Any) -> Any:
    """Map a value to something that is equal only if the value is the same in every bit."""
    if type(value) is float:
        return ("float", struct.pack(">d", value))
    if type(value) in (tuple, list):
        return (type(value), [exact(item) for item in value])
    if type(value) is dict:
        return ("dict", [(exact(key), exact(item)) for key, item in value.items()])
    return (type(value), value)


@given(BLOBS | SCALARS.map(codec.encode_value), st.data())
def test_any_bytes_are_a_value_or_corrupt(data: bytes, choice: st.DataObject) -> None:
    """Nothing else comes out of the parser. Pickles are left out: those are trusted."""
    if data:
        place = choice.draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([choice.draw(st.integers(0, 255))]) + data[place + 1 :]
    data = data.replace(b"\x86", b"\x8a")
    try:
        value = codec.decode_value(data)
    except CorruptDataError:
        return
    assert exact(codec.decode_value(codec.encode_value(value))) == exact(value)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_a_varint_comes_back_whatever_follows(number: int, rest: bytes) -> None:
    """It knows its own end, and any cut is found."""
    data = encode_varint(number)

    assert decode_varint(data + rest, 0) == (number, len(data))
    for size in range(len(data)):
        try:
            decode_varint(data[:size], 0)
        except CorruptDataError:
            continue
        raise AssertionError(size)
