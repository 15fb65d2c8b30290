"""Keys to bytes and back, so that the order of bytes is the key order.

Laws: `None < bool < int < float < str < bytes < tuple`; two keys are one group exactly when
their bytes are equal; a key comes back with the type it was given. The layout is written down
in `docs/reference/keys-and-values.md`. It is the idea of FoundationDB's tuple layer
(https://github.com/apple/foundationdb/blob/main/design/tuple.md) with our own type order.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from pymr.errors import CorruptDataError
from pymr.shuffle.bounded import decode_text, take

KEY_DEPTH_MAX = 100  # tuples within tuples

_KEY_NONE, _KEY_FALSE, _KEY_TRUE = 0x02, 0x04, 0x05
_KEY_INT = 0x20  # ± n: n magnitude bytes; ± 9: four bytes of length come first
_KEY_FLOAT, _KEY_STR, _KEY_BYTES, _KEY_TUPLE = 0x38, 0x40, 0x48, 0x50

_NATIVE = (str, bytes, bool, int, float, tuple)
_CONVERSIONS: dict[type, str] = {  # what makes a key of those that people take for one
    list: "a tuple: tuple({})",
    dict: "a tuple: tuple(sorted({}.items()))",
    set: "a tuple: tuple(sorted({}))",
    frozenset: "a tuple: tuple(sorted({}))",
    bytearray: "bytes({})",
    memoryview: "bytes({})",
}

_SIGN_BIT = 1 << 63
_FLOAT_MASK = (1 << 64) - 1
_NAN_BITS = 0x7FF8 << 48


def encode_key(key: Any) -> bytes:
    """Return the bytes of `key`; their order is the key order.

    Raises:
        TypeError: `key` is not None, bool, int, float, str, bytes or a tuple of them.
        ValueError: its tuples are nested deeper than `KEY_DEPTH_MAX`.
    """
    return _key(key, depth=1)


def decode_key(data: bytes) -> Any:
    """Return the key whose bytes are `data`.

    Raises:
        CorruptDataError: `data` is not an encoded key.
    """
    if data[:1] in (b"\x40", b"\x48"):
        return _raw(data)
    key, end = _key_at(data, 0, depth=1)
    if end != len(data):
        raise CorruptDataError(f"corrupt key: {len(data) - end} bytes behind its end")
    return key


def _key(key: Any, depth: int) -> bytes:  # noqa: PLR0911 - one for each type
    kind = type(key)
    if kind is str:
        return b"\x40" + key.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]
    if kind is bytes:
        return b"\x48" + key  # type: ignore[no-any-return]
    if kind is int:
        return _int_key(key)
    if kind is float:
        return _float_key(key)
    if kind is tuple:
        if depth > KEY_DEPTH_MAX:
            raise ValueError(
                f"a key is nested deeper than {KEY_DEPTH_MAX} tuples, expected a flatter tuple"
            )
        return b"\x50" + b"".join([_key_element(item, depth + 1) for item in key]) + b"\0"
    if key is None:
        return b"\x02"
    if kind is bool:
        return b"\x05" if key else b"\x04"
    raise refusal(key, depth)


def _key_element(key: Any, depth: int) -> bytes:
    """Return the form of `key` within a tuple: what has no end of its own is given one."""
    data = _key(key, depth)
    return data.replace(b"\0", b"\0\xff") + b"\0" if type(key) in (str, bytes) else data


def _int_key(key: int) -> bytes:
    magnitude = abs(key)
    length = (magnitude.bit_length() + 7) // 8
    if length > 8:  # noqa: PLR2004 - the longest with a tag of its own
        tag, body = 9, length.to_bytes(4, "big") + magnitude.to_bytes(length, "big")
    else:
        tag, body = length, magnitude.to_bytes(length, "big")
    if key >= 0:
        return bytes((_KEY_INT + tag,)) + body
    return bytes((_KEY_INT - tag,)) + _complement(body)


def _complement(data: bytes) -> bytes:
    size = len(data)
    return (int.from_bytes(data, "big") ^ ((1 << 8 * size) - 1)).to_bytes(size, "big")


def _float_key(key: float) -> bytes:
    (bits,) = struct.unpack(">Q", struct.pack(">d", key))
    if math.isnan(key):
        bits = _NAN_BITS  # every NaN is one group, behind +inf
    elif key == 0.0:
        bits = 0  # and so are -0.0 and 0.0
    bits = bits ^ _FLOAT_MASK if bits & _SIGN_BIT else bits | _SIGN_BIT
    return b"\x38" + struct.pack(">Q", bits)


def refusal(key: Any, depth: int) -> TypeError:
    """Return the error of what is no key, or no item of one (`depth` over 1): what to write."""
    kind, what = type(key), "a key" if depth == 1 else "an item of a key"
    name = kind.__name__
    if any(name == native.__name__ for native in _NATIVE):  # numpy has a `bool` of its own.
        name = f"{kind.__module__}.{name}"
    hint = _conversion(key, "key" if depth == 1 else "item")
    return TypeError(
        f"{what} cannot be of type `{name}`, expected None, bool, int, float, str, bytes or a"
        f" tuple of them{hint and f'; use {hint}'}"
    )


def _conversion(key: Any, name: str) -> str:
    """Return an expression that makes a key of `key`, the value of `name`; empty: none known."""
    kind = type(key)
    if kind in _CONVERSIONS:
        return _CONVERSIONS[kind].format(name)
    base = next((native for native in _NATIVE if isinstance(key, native)), None)
    if base is not None:
        return f"{base.__name__}({name})"
    if str(kind.__module__).partition(".")[0] == "numpy":  # A scalar, or an array.
        return f"{name}.item()" if getattr(key, "ndim", 0) == 0 else f"tuple({name}.tolist())"
    # What has an equality of its own (a date, a Decimal, a dataclass) has a text to match; that
    # of others may be an address.
    equality: object = kind.__eq__
    return f"str({name})" if equality is not object.__eq__ and not callable(key) else ""


def _key_at(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    """Return the key at `position` in its form within a tuple, and the position behind it."""
    tag, position = take(data, position, 1)[0], position + 1
    if _KEY_INT - 9 <= tag <= _KEY_INT + 9:
        return _int_key_at(data, position, tag - _KEY_INT)
    if tag in (_KEY_STR, _KEY_BYTES) and depth > 1:
        return _escaped_at(data, position - 1)
    if tag == _KEY_TUPLE and depth <= KEY_DEPTH_MAX:
        items = []
        while data[position : position + 1] not in (b"\0", b""):
            item, position = _key_at(data, position, depth + 1)
            items.append(item)
        take(data, position, 1)
        return tuple(items), position + 1
    if tag == _KEY_FLOAT:
        (bits,) = struct.unpack(">Q", take(data, position, 8))
        bits = bits ^ _SIGN_BIT if bits & _SIGN_BIT else bits ^ _FLOAT_MASK
        return struct.unpack(">d", struct.pack(">Q", bits))[0], position + 8
    if tag in (_KEY_NONE, _KEY_FALSE, _KEY_TRUE):
        return {_KEY_NONE: None, _KEY_FALSE: False, _KEY_TRUE: True}[tag], position
    raise CorruptDataError(f"corrupt key: unknown tag {tag:#04x} at byte {position - 1}")


def _int_key_at(data: bytes, position: int, signed_tag: int) -> tuple[int, int]:
    length, negative = abs(signed_tag), signed_tag < 0
    if length == 9:  # noqa: PLR2004 - the tag of any length
        head = take(data, position, 4)
        length = int.from_bytes(_complement(head) if negative else head, "big")
        position += 4
    body = take(data, position, length)
    magnitude = int.from_bytes(_complement(body) if negative else body, "big")
    return -magnitude if negative else magnitude, position + length


def _escaped_at(data: bytes, position: int) -> tuple[str | bytes, int]:
    end = position
    while (end := data.find(b"\0", end)) >= 0 and data[end + 1 : end + 2] == b"\xff":
        end += 2
    if end < 0:
        raise CorruptDataError(f"corrupt key: no end of the text at byte {position}")
    return _raw(data[position:end].replace(b"\0\xff", b"\0")), end + 1


def _raw(data: bytes) -> str | bytes:
    return decode_text(data[1:]) if data[0] == _KEY_STR else data[1:]
