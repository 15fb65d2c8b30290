"""Values to bytes and back, exactly; an encoded value knows its own end.

None, bool, int, float, str, bytes, and tuples, lists and dicts of them have a form of their
own. Anything else is pickled, as a whole: a part of it that is pickled alone could no longer
share an object with the rest. The layout is written down in
`docs/reference/keys-and-values.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pymr.errors import CorruptDataError
from pymr.shuffle.bounded import decode_text, decode_varint, encode_varint, take

VALUE_DEPTH_MAX = 100  # containers within containers; deeper ones are pickled
CONTAINER_BYTES_MAX = (1 << 32) - 1  # the length of a container is four bytes

_NONE, _FALSE, _TRUE, _FLOAT, _STR, _BYTES, _PICKLE, _BIG_INT = range(0x80, 0x88)
_TUPLE, _LIST, _DICT = range(0x88, 0x8B)
_INT = 0x90  # + n: n bytes, two's complement
_SMALL_MIN, _SMALL_MAX = -16, 111  # one byte: the int + 16


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
        return pickled(value)


def is_pickled(data: bytes) -> bool:
    """Say whether an encoded value is a pickle: it has no form of its own."""
    return data[0] == _PICKLE


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
    tag = take(data, position, 1)[0]
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
        return position + 5 + int.from_bytes(take(data, position + 1, 4), "little")
    raise CorruptDataError(f"corrupt value: unknown tag {tag:#04x} at byte {position}")


def decode_value_at(data: bytes, position: int, depth: int = 1) -> tuple[Any, int]:
    """Return the value at `position`, and the position behind it.

    Raises:
        CorruptDataError: it is not an encoded value, or does not end within `data`.
    """
    end = value_end(data, position)
    body = take(data, position, end - position)
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


def pickled(value: Any) -> bytes:
    """Return the bytes of `value`, pickled as a whole.

    Raises:
        TypeError: it cannot be pickled.
        ValueError: it is nested too deeply for that.
    """
    import pickle

    try:
        body = pickle.dumps(value, protocol=5)
    except RecursionError as error:
        raise ValueError(
            f"a value of type `{type(value).__name__}` is nested too deeply to be pickled"
        ) from error
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        kind = type(value)
        remedy = ""
        if kind.__module__ == "__main__":  # Of a script or notebook, and found in no other process.
            remedy = f"; define `{kind.__name__}` in a module that is imported"
        raise TypeError(
            f"a value of type `{kind.__name__}` cannot be pickled: {error}{remedy}"
        ) from error
    return bytes((_PICKLE,)) + encode_varint(len(body)) + body


def _sized(tag: int, body: bytes) -> Any:
    if tag == _STR:
        return decode_text(body)
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
