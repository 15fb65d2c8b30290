"""Keys and values by example: their bytes, their refusals, and what is no key or value."""

from __future__ import annotations

import enum
import math
import pickle
import struct
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from pymr import _native
from pymr.errors import CorruptDataError
from pymr.shuffle import bounded, codec, key_codec, value_codec

KEYS = [
    (None, "02"),
    (False, "04"),
    (True, "05"),
    (-(1 << 72), "17 fffffff5" + "fe" + "ff" * 9),
    (-(1 << 64), "17 fffffff6 fe" + "ff" * 8),
    (-(1 << 64) + 1, "18 0000000000000000"),
    (-(1 << 63), "18 7fffffffffffffff"),
    (-256, "1e feff"),
    (-1, "1f fe"),
    (0, "20"),
    (1, "21 01"),
    (255, "21 ff"),
    (256, "22 0100"),
    ((1 << 63) - 1, "28 7fffffffffffffff"),
    ((1 << 64) - 1, "28 ffffffffffffffff"),
    (1 << 64, "29 00000009 010000000000000000"),
    (-math.inf, "38 000fffffffffffff"),
    (-1.5, "38 4007ffffffffffff"),
    (0.0, "38 8000000000000000"),
    (1.5, "38 bff8000000000000"),
    (math.inf, "38 fff0000000000000"),
    (math.nan, "38 fff8000000000000"),
    ("", "40"),
    ("a\0b", "40 610062"),
    ("é", "40 c3a9"),
    ("\ud800", "40 eda080"),
    ("\U0001f600", "40 f09f9880"),
    (b"", "48"),
    (b"\0\xff", "48 00ff"),
    ((), "50 00"),
    ((None, 1, "a\0", b"\0\xff"), "50 02 2101 40 61 00ff 00 48 00ff ff 00 00"),
    (((), ("",)), "50 50 00 50 40 00 00 00"),
]


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
@pytest.mark.parametrize(("key", "expected"), KEYS, ids=[repr(key)[:20] for key, _ in KEYS])
def test_a_key_has_the_documented_bytes(encode: Any, key: Any, expected: str) -> None:
    """The layout is a promise to every sorted run already written."""
    assert encode(key) == bytes.fromhex(expected)


@pytest.mark.parametrize("decode", [codec.decode_key, _native.decode_key])
@pytest.mark.parametrize(("key", "data"), KEYS, ids=[repr(key)[:20] for key, _ in KEYS])
def test_a_key_comes_back_with_its_type(decode: Any, key: Any, data: str) -> None:
    """1, 1.0 and True go in and come out as three."""
    found = decode(bytes.fromhex(data))

    assert type(found) is type(key)
    assert found == key or (math.isnan(found) and math.isnan(key))


def test_the_documented_keys_stand_in_key_order() -> None:
    """The table above is sorted by its bytes."""
    encoded = [bytes.fromhex(data) for _, data in KEYS]

    assert encoded == sorted(encoded)


class Colour(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Real(float):
    pass


class Point(NamedTuple):
    x: int
    y: int


# As numpy has them: a type that goes by the name of another, and an array.
Scalar = type("bool", (), {"__module__": "numpy"})
Array = type("Array", (), {"__module__": "numpy", "ndim": 1})

REFUSED_KEYS = [
    ([1], "list", "; use a tuple: tuple(key)"),
    ({1: 2}, "dict", "; use a tuple: tuple(sorted(key.items()))"),
    ({1}, "set", "; use a tuple: tuple(sorted(key))"),
    (frozenset({1}), "frozenset", "; use a tuple: tuple(sorted(key))"),
    (bytearray(b"x"), "bytearray", "; use bytes(key)"),
    (Colour.RED, "Colour", "; use str(key)"),
    (type("Name", (bytes,), {})(b"x"), "Name", "; use bytes(key)"),
    (Number.ONE, "Number", "; use int(key)"),
    (Real(1), "Real", "; use float(key)"),
    (Point(1, 2), "Point", "; use tuple(key)"),
    (memoryview(b"x"), "memoryview", "; use bytes(key)"),
    (1j, "complex", "; use str(key)"),
    (Decimal("0.1"), "Decimal", "; use str(key)"),
    (date(2024, 2, 29), "date", "; use str(key)"),
    (object(), "object", ""),
    ("".join, "builtin_function_or_method", ""),
    (Scalar(), "numpy.bool", "; use key.item()"),
    (Array(), "Array", "; use tuple(key.tolist())"),
]


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
@pytest.mark.parametrize(("key", "kind", "hint"), REFUSED_KEYS, ids=[r[1] for r in REFUSED_KEYS])
def test_b60_what_is_no_key_is_refused_with_its_type(
    encode: Any, key: Any, kind: str, hint: str
) -> None:
    """The message names the type, and what to write instead where there is something."""
    with pytest.raises(TypeError) as caught:
        encode(key)

    assert str(caught.value) == (
        f"a key cannot be of type `{kind}`, expected None, bool, int, float, str, bytes or a"
        f" tuple of them{hint}"
    )


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
def test_what_is_no_item_of_a_key_is_told_from_the_key(encode: Any) -> None:
    """The key is a tuple already; what it holds is what must become one."""
    refusal = r"^an item of a key cannot be .*; use a tuple: tuple\(item\)$"
    with pytest.raises(TypeError, match=refusal):
        encode(("a", ("b", [1])))


def nested(depth: int) -> Any:
    """Return a tuple in a tuple in a tuple …, `depth` of them."""
    key: Any = ()
    for _ in range(depth - 1):
        key = (key,)
    return key


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
def test_a_key_is_nested_at_most_a_hundred_deep(encode: Any) -> None:
    """The limit is a ValueError, not the end of the stack."""
    limit = key_codec.KEY_DEPTH_MAX
    assert codec.decode_key(encode(nested(limit))) == nested(limit)
    assert _native.decode_key(encode(nested(limit))) == nested(limit)

    with pytest.raises(ValueError, match="nested deeper than 100 tuples"):
        encode(nested(limit + 1))


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
def test_b52_b53_every_nan_and_zero_is_one_key(encode: Any) -> None:
    """The payload and the sign are dropped in keys."""
    odd_nan = struct.unpack(">d", bytes.fromhex("fff0000000000001"))[0]

    assert encode(odd_nan) == encode(math.nan)
    assert encode(-0.0) == encode(0.0)


@pytest.mark.parametrize("encode", [codec.encode_key, _native.encode_key])
@pytest.mark.parametrize("decode", [codec.decode_key, _native.decode_key])
def test_b51_an_int_of_5000_digits_is_a_key(encode: Any, decode: Any) -> None:
    """Python's limit on printing digits is not met."""
    for key in (10**5000, -(10**5000)):
        assert decode(encode(key)) == key


CORRUPT_KEYS = {
    "empty": "",
    "unknown tag": "01",
    "bytes behind the end": "02 02",
    "int too short": "22 01",
    "big int without length": "29 0000",
    "big int too short": "29 00000009 01",
    "negative big int too short": "17 fffffff6 01",
    "float too short": "38 00",
    "tuple without end": "50 02",
    "text in a tuple without end": "50 40 61 00ff",
    "text that is not UTF-8": "40 ff",
    "text in a tuple that is not UTF-8": "50 40 ff 00 00",
    "nested too deeply": "50" * 101 + "00" * 101,
}


@pytest.mark.parametrize("decode", [codec.decode_key, _native.decode_key])
@pytest.mark.parametrize("data", CORRUPT_KEYS.values(), ids=CORRUPT_KEYS)
def test_what_is_no_encoded_key_is_corrupt(decode: Any, data: str) -> None:
    """Whatever the bytes, there is a key or a typed error."""
    with pytest.raises(CorruptDataError, match="corrupt"):
        decode(bytes.fromhex(data))


VALUES = [
    (-16, "00"),
    (0, "10"),
    (111, "7f"),
    (112, "91 70"),
    (-17, "91 ef"),
    (128, "92 8000"),
    (-129, "92 7fff"),
    ((1 << 63) - 1, "98 ffffffffffffff7f"),
    (-(1 << 63), "98 0000000000000080"),
    (1 << 63, "87 09 000000000000008000"),
    (-(1 << 64), "87 09 0000000000000000ff"),
    (None, "80"),
    (False, "81"),
    (True, "82"),
    (1.5, "83 000000000000f83f"),
    (-0.0, "83 0000000000000080"),
    ("é", "84 02 c3a9"),
    ("\ud800", "84 03 eda080"),
    ("a" * 128, "84 8001" + "61" * 128),
    (b"\0", "85 01 00"),
    ((), "88 00000000"),
    ([1, [2]], "89 07000000 11 89 01000000 12"),
    ({"a": 1, 2: ()}, "8a 0a000000 84 01 61 11 12 88 00000000"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=[repr(v)[:20] for v, _ in VALUES])
def test_a_value_has_the_documented_bytes_and_comes_back(value: Any, expected: str) -> None:
    """The layout is a promise, and the round trip is exact."""
    data = bytes.fromhex(expected)

    assert codec.encode_value(value) == data
    found = codec.decode_value(data)
    assert type(found) is type(value)
    assert repr(found) == repr(value)
    assert value_codec.value_end(b"xx" + data + b"xx", 2) == len(data) + 2


def test_a_value_keeps_the_bits_of_its_floats() -> None:
    """A NaN payload is dropped in keys only."""
    odd_nan = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]

    found = codec.decode_value(codec.encode_value(odd_nan))

    assert struct.pack(">d", found).hex() == "7ff8000000000abc"


class Account:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and self.owner == other.owner

    __hash__ = None  # type: ignore[assignment]


def test_what_has_no_native_form_is_pickled_as_a_whole() -> None:
    """Subclasses keep their class; objects may stand in containers."""
    for value in (Colour.RED, Number.ONE, Real(1), {1}, range(3), Account("a"), [1, Account("b")]):
        data = codec.encode_value(value)

        assert data[0] == 0x86
        assert value_codec.is_pickled(data)
        assert value_codec.value_end(data, 0) == len(data)
        assert codec.decode_value(data) == value
        assert type(codec.decode_value(data)) is type(value)


def test_what_has_a_native_form_is_not_pickled() -> None:
    """Checks of a job look at such values without running code of the user's."""
    assert not any(value_codec.is_pickled(codec.encode_value(value)) for value in (0, "a", [1.5]))


def test_lists_and_dicts_that_are_shared_stay_shared() -> None:
    """Identity within a value is part of the exact round trip, cycles included."""
    shared: list[Any] = [1]
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle

    found = codec.decode_value(codec.encode_value((shared, {"again": shared})))
    circle = codec.decode_value(codec.encode_value(cycle))

    assert found[0] is found[1]["again"]
    assert circle["self"] is circle


def test_a_deep_value_is_pickled_and_a_bottomless_one_refused() -> None:
    """The native form ends at a hundred containers, pickle where its stack does."""
    deep: Any = nested(value_codec.VALUE_DEPTH_MAX)
    assert codec.encode_value(deep)[0] == 0x88
    assert codec.decode_value(codec.encode_value(deep)) == deep

    assert codec.encode_value((deep,))[0] == 0x86
    assert codec.decode_value(codec.encode_value((deep,))) == (deep,)

    with pytest.raises(ValueError, match="type `tuple` is nested too deeply to be pickled"):
        codec.encode_value(nested(100_000))


@pytest.mark.parametrize("value", [lambda: None, (item for item in ()), [pickle]])
def test_what_cannot_be_pickled_is_a_type_error(value: Any) -> None:
    """The message names the type of the value that was emitted."""
    with pytest.raises(TypeError, match=f"type `{type(value).__name__}` cannot be pickled: "):
        codec.encode_value(value)


def test_a_class_of_a_script_is_told_to_move() -> None:
    """Task processes have another `__main__`, so nobody could make its objects again there."""
    kind = type("Point", (), {"__module__": "__main__"})

    with pytest.raises(TypeError, match="define `Point` in a module that is imported"):
        codec.encode_value(kind())


def test_a_container_ends_before_four_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is four bytes; a larger one is a ValueError, not a wrong length."""
    monkeypatch.setattr(value_codec, "CONTAINER_BYTES_MAX", 3)
    assert codec.encode_value([1, 2, 3])

    with pytest.raises(ValueError, match="a list of 4 bytes, expected at most 3"):
        codec.encode_value([1, 2, 3, 4])


CORRUPT_VALUES = {
    "empty": "",
    "unknown tag": "8b",
    "int tag without bytes": "90",
    "tag beyond ints": "99 00",
    "int too short": "92 01",
    "float too short": "83 00",
    "text without length": "84",
    "text too short": "84 02 61",
    "text that is not UTF-8": "84 01 ff",
    "length without end": "85" + "80" * 10,
    "length beyond 64 bits": "85" + "ff" * 9 + "7f",
    "container without length": "88 0000",
    "container too short": "88 02000000 11",
    "item beyond its container": "88 01000000 91 00",
    "dict with an odd number of parts": "8a 01000000 11",
    "dict with a list as key": "8a 06000000 89 00000000 11",
    "bytes behind the end": "11 11",
}


@pytest.mark.parametrize("data", CORRUPT_VALUES.values(), ids=CORRUPT_VALUES)
def test_what_is_no_encoded_value_is_corrupt(data: str) -> None:
    """Whatever the bytes, there is a value or a typed error."""
    with pytest.raises(CorruptDataError, match="corrupt"):
        codec.decode_value(bytes.fromhex(data))


def test_an_encoded_value_nested_too_deeply_is_corrupt() -> None:
    """The decoder's stack is bounded as the encoder's is."""
    data = b""
    for _ in range(value_codec.VALUE_DEPTH_MAX + 1):
        data = b"\x88" + len(data).to_bytes(4, "little") + data

    with pytest.raises(CorruptDataError, match="nested deeper than 100"):
        codec.decode_value(data)


@pytest.mark.parametrize("number", [0, 127, 128, 300, (1 << 64) - 1])
def test_a_varint_comes_back_with_its_end(number: int) -> None:
    """Seven bits a byte, the least significant first."""
    data = bounded.encode_varint(number)

    assert bounded.decode_varint(b"x" + data + b"x", 1) == (number, 1 + len(data))
