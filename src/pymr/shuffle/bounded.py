"""Reading encoded bytes within their bounds: what every parser here is made of."""

from __future__ import annotations

from pymr.errors import CorruptDataError

_VARINT_BYTES_MAX = 10  # of 7 bits each: 64 bits
_VARINT_MAX = (1 << 64) - 1


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
    if position < len(data) and data[position] < 0x80:  # noqa: PLR2004 - most are one byte
        return data[position], position + 1
    number = 0
    for index, byte in enumerate(data[position : position + _VARINT_BYTES_MAX]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80 and number <= _VARINT_MAX:  # noqa: PLR2004 - the continuation bit
            return number, position + index + 1
    raise CorruptDataError(f"corrupt number at byte {position}: it does not end")


def take(data: bytes, position: int, length: int) -> bytes:
    """Return the `length` bytes at `position`.

    Raises:
        CorruptDataError: `data` ends before.
    """
    part = data[position : position + length]
    if len(part) != length:
        raise CorruptDataError(
            f"corrupt data: it ends at byte {len(data)}, expected {length} bytes at {position}"
        )
    return part


def decode_text(data: bytes) -> str:
    """Return the text whose UTF-8 is `data`; lone surrogates are as legal as they are in a `str`.

    Raises:
        CorruptDataError: `data` is not UTF-8.
    """
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptDataError(f"corrupt text: {error}") from error
