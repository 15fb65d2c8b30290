"""Keys and values to bytes and back, exactly. The plain form that any faster one must equal.

Laws: the byte order of encoded keys is the key order, `None < bool < int < float < str <
bytes < tuple`; two keys are one group exactly when their bytes are equal; a key and a value
come back with the type they were given. The byte layouts are written down in
`docs/reference/keys-and-values.md`. The key encoding is the idea of FoundationDB's tuple layer
(https://github.com/apple/foundationdb/blob/main/design/tuple.md) with our own type order.

Types are exact: a subclass of a native type (a `StrEnum`, a `namedtuple`, `numpy.float64`)
would come back as its base, so it is refused as a key and pickled as a value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from pymr.errors import CorruptDataError

KEY_DEPTH_MAX = 100  # tuples within tuples of a key
VALUE_DEPTH_MAX = 100  # containers within containers of a value; deeper ones are pickled
CONTAINER_BYTES_MAX = (1 << 32) - 1  # the length of a container is four bytes

_VARINT_BYTES_MAX = 10  # of 7 bits each: 64 bits

_KEY_NONE, _KEY_FALSE, _KEY_TRUE = 0x02, 0x04, 0x05
_KEY_INT = 0x20  # ± n: n magnitude bytes; ± 9: four bytes of length come first
_KEY_FLOAT, _KEY_STR, _KEY_BYTES, _KEY_TUPLE = 0x38, 0x40, 0x48, 0x50

_NONE, _FALSE, _TRUE, _FLOAT, _STR, _BYTES, _PICKLE, _BIG_INT = range(0x80, 0x88)
_TUPLE, _LIST, _DICT = range(0x88, 0x8B)
_INT = 0x90  # + n: n bytes, two's complement
_SMALL_MIN, _SMALL_MAX = -16, 111  # one byte: the int + 16

_SIGN_BIT = 1 << 63
_FLOAT_MASK = (1 << 64) - 1
_NAN_BITS = 0x7FF8 << 48


def encode_varint(number: int) -> bytes:
    """Return `number` (not negative, 64 bits) in groups of 7 bits, least significant first."""
    if number < 0x80:  # noqa: PLR2004 - the continuation bit
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - the continuation bit
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position`, and the position behind it.

    Raises:
        CorruptDataError: it does not end within `data` or within 64 bits.
    """
    number = 0
    for index, byte in enumerate(data[position : position + _VARINT_BYTES_MAX]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80 and number <= _FLOAT_MASK:  # noqa: PLR2004 - the continuation bit
            return number, position + index + 1
    raise CorruptDataError(f"corrupt number at byte {position}: it does not end")


# -- keys ------------------------------------------------------------------------------------


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
    raise TypeError(_refusal(key))


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


def _refusal(key: Any) -> str:
    kind = type(key)
    hint = ""
    if kind is list:
        hint = "; use a tuple: tuple(key)"
    elif kind is dict:
        hint = "; use a tuple: tuple(sorted(key.items()))"
    elif kind in (set, frozenset):
        hint = "; use a tuple: tuple(sorted(key))"
    elif kind is bytearray:
        hint = "; use bytes(key)"
    else:
        for base in (str, bytes, int, float, tuple):
            if isinstance(key, base):
                hint = f"; use {base.__name__}(key)"
    return (
        f"a key cannot be of type `{kind.__name__}`, expected None, bool, int, float, str,"
        f" bytes or a tuple of them{hint}"
    )


def _key_at(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    """Return the key at `position` in its form within a tuple, and the position behind it."""
    tag, position = _take(data, position, 1)[0], position + 1
    if _KEY_INT - 9 <= tag <= _KEY_INT + 9:
        return _int_key_at(data, position, tag - _KEY_INT)
    if tag in (_KEY_STR, _KEY_BYTES) and depth > 1:
        return _escaped_at(data, position - 1)
    if tag == _KEY_TUPLE and depth <= KEY_DEPTH_MAX:
        items = []
        while data[position : position + 1] not in (b"\0", b""):
            item, position = _key_at(data, position, depth + 1)
            items.append(item)
        _take(data, position, 1)
        return tuple(items), position + 1
    if tag == _KEY_FLOAT:
        (bits,) = struct.unpack(">Q", _take(data, position, 8))
        bits = bits ^ _SIGN_BIT if bits & _SIGN_BIT else bits ^ _FLOAT_MASK
        return struct.unpack(">d", struct.pack(">Q", bits))[0], position + 8
    if tag in (_KEY_NONE, _KEY_FALSE, _KEY_TRUE):
        return {_KEY_NONE: None, _KEY_FALSE: False, _KEY_TRUE: True}[tag], position
    raise CorruptDataError(f"corrupt key: unknown tag {tag:#04x} at byte {position - 1}")


def _int_key_at(data: bytes, position: int, signed_tag: int) -> tuple[int, int]:
    length, negative = abs(signed_tag), signed_tag < 0
    if length == 9:  # noqa: PLR2004 - the tag of any length
        head = _take(data, position, 4)
        length = int.from_bytes(_complement(head) if negative else head, "big")
        position += 4
    body = _take(data, position, length)
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
    return _text(data[1:]) if data[0] == _KEY_STR else data[1:]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptDataError(f"corrupt text: {error}") from error


def _take(data: bytes, position: int, length: int) -> bytes:
    part = data[position : position + length]
    if len(part) != length:
        raise CorruptDataError(
            f"corrupt data: it ends at byte {len(data)}, expected {length} bytes at {position}"
        )
    return part


# -- values ----------------------------------------------------------------------------------


class _NotNativeError(Exception):
    """A part of a value has no native form: all of it is pickled, which keeps identities."""


def encode_value(value: Any) -> bytes:
    """Return the bytes of `value`, which know their own end.

    Raises:
        TypeError: `value` cannot be pickled.
        ValueError: it is nested too deeply, or a container in it is 4 GiB or larger.
    """
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        return scalar(value)
    try:
        return _container(value, 1, set())
    except _NotNativeError:
        return _pickled(value)


def decode_value(data: bytes) -> Any:
    """Return the value whose bytes are `data`.

    Raises:
        CorruptDataError: `data` is not an encoded value.
    """
    if len(data) == 1 and data[0] <= _SMALL_MAX - _SMALL_MIN:
        return data[0] + _SMALL_MIN
    value, end = decode_value_at(data, 0)
    if end != len(data):
        raise CorruptDataError(f"corrupt value: {len(data) - end} bytes behind its end")
    return value


def value_end(data: bytes, position: int) -> int:
    """Return the position behind the value at `position`, which may lie outside of `data`.

    Raises:
        CorruptDataError: no value begins there.
    """
    tag = _take(data, position, 1)[0]
    if tag <= _TRUE:
        return position + 1
    if _INT < tag <= _INT + 8:
        return position + 1 + tag - _INT
    if tag == _FLOAT:
        return position + 9
    if tag in (_STR, _BYTES, _PICKLE, _BIG_INT):
        length, position = decode_varint(data, position + 1)
        return position + length
    if tag in (_TUPLE, _LIST, _DICT):
        return position + 5 + int.from_bytes(_take(data, position + 1, 4), "little")
    raise CorruptDataError(f"corrupt value: unknown tag {tag:#04x} at byte {position}")


def decode_value_at(data: bytes, position: int, depth: int = 1) -> tuple[Any, int]:
    """Return the value at `position`, and the position behind it.

    Raises:
        CorruptDataError: it is not an encoded value, or does not end within `data`.
    """
    end = value_end(data, position)
    body = _take(data, position, end - position)
    tag = body[0]
    if tag <= _SMALL_MAX - _SMALL_MIN:
        return tag + _SMALL_MIN, end
    if tag > _INT:
        return int.from_bytes(body[1:], "little", signed=True), end
    if tag == _FLOAT:
        return struct.unpack("<d", body[1:])[0], end
    if tag in (_STR, _BYTES, _PICKLE, _BIG_INT):
        _, start = decode_varint(body, 1)
        return _sized(tag, body[start:]), end
    if tag in (_TUPLE, _LIST, _DICT):
        return _container_at(tag, body, depth), end
    return {_NONE: None, _FALSE: False, _TRUE: True}[tag], end


def _int_value(value: int) -> bytes:
    if _SMALL_MIN <= value <= _SMALL_MAX:
        return bytes((value - _SMALL_MIN,))
    length = ((value if value >= 0 else ~value).bit_length() + 8) // 8
    body = value.to_bytes(length, "little", signed=True)
    if length > 8:  # noqa: PLR2004 - the longest with a tag of its own
        return bytes((_BIG_INT,)) + encode_varint(length) + body
    return bytes((_INT + length,)) + body


def _text_value(value: str) -> bytes:
    body = value.encode("utf-8", "surrogatepass")
    return b"\x84" + encode_varint(len(body)) + body


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    int: _int_value,
    str: _text_value,
    float: lambda value: b"\x83" + struct.pack("<d", value),
    bytes: lambda value: b"\x85" + encode_varint(len(value)) + value,
    bool: lambda value: b"\x82" if value else b"\x81",
    type(None): lambda _: b"\x80",
}
_CONTAINERS: dict[type, bytes] = {tuple: b"\x88", list: b"\x89", dict: b"\x8a"}


def _container(value: Any, depth: int, seen: set[int]) -> bytes:
    """Return the native form; `seen` holds the ids of the lists and dicts met before."""
    tag = _CONTAINERS.get(type(value))
    if tag is None or depth > VALUE_DEPTH_MAX or id(value) in seen:
        raise _NotNativeError
    items = value
    if tag != b"\x88":  # a tuple has no identity to keep
        seen.add(id(value))
    if tag == b"\x8a":
        items = [part for pair in value.items() for part in pair]
    parts = []
    for item in items:
        scalar = _SCALARS.get(type(item))
        parts.append(scalar(item) if scalar else _container(item, depth + 1, seen))
    body = b"".join(parts)
    if len(body) > CONTAINER_BYTES_MAX:
        raise ValueError(
            f"a value holds a {type(value).__name__} of {len(body)} bytes,"
            f" expected at most {CONTAINER_BYTES_MAX}"
        )
    return tag + len(body).to_bytes(4, "little") + body


def _pickled(value: Any) -> bytes:
    import pickle

    try:
        body = pickle.dumps(value, protocol=5)
    except RecursionError as error:
        raise ValueError(
            f"a value of type `{type(value).__name__}` is nested too deeply to be pickled"
        ) from error
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"a value of type `{type(value).__name__}` cannot be pickled: {error}"
        ) from error
    return bytes((_PICKLE,)) + encode_varint(len(body)) + body


def _sized(tag: int, body: bytes) -> Any:
    if tag == _STR:
        return _text(body)
    if tag == _BYTES:
        return body
    if tag == _BIG_INT:
        return int.from_bytes(body, "little", signed=True)
    import pickle

    return pickle.loads(body)


def _container_at(tag: int, body: bytes, depth: int) -> Any:
    if depth > VALUE_DEPTH_MAX:
        raise CorruptDataError(f"corrupt value: nested deeper than {VALUE_DEPTH_MAX}")
    items, position = [], 5
    while position < len(body):
        item, position = decode_value_at(body, position, depth + 1)
        items.append(item)
    if tag == _TUPLE:
        return tuple(items)
    if tag == _LIST:
        return items
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except (TypeError, ValueError) as error:
        raise CorruptDataError(f"corrupt value: not a dict: {error}") from error
