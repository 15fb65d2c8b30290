"""Messages as bytes, and back: protobuf outside, the structs of `cluster.message` inside.

The only importer of generated code. Laws:
- `decode(type(m), encode(m)) == m`, but for an error too large to travel, which is cut.
- No message is larger than MESSAGE_BYTES_MAX: to make one is a bug of the sender, who should have
  sent `Stored`. Items of a stream are put into as many messages as they need.
- What cannot be decoded is a ProtocolError, whatever is wrong with it.
- Items of a stream that this version does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar, cast

import msgspec
from google.protobuf.message import DecodeError

from pymr.cluster import message as m
from pymr.cluster._gen import control_pb2 as pb
from pymr.cluster.wire import decoder, encoder
from pymr.cluster.wire.encoder import ERROR_BYTES_MAX, MESSAGE_BYTES_MAX, Item, Message
from pymr.errors import ProtocolError

__all__ = [
    "ERROR_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "SERVICE",
    "Item",
    "Message",
    "decode",
    "decode_error",
    "decode_for_worker",
    "decode_from_worker",
    "encode",
    "encode_error",
    "encode_item",
    "encode_items",
    "pack",
]

SERVICE: Final = "pymr.control.v1.Control"
# All that decoding raises for bytes of a stranger; JSON may be no UTF-8, or nested too deep.
_UNREADABLE: Final = (
    DecodeError,
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    decoder.MalformedError,
)

_T = TypeVar("_T")


def encode(message: Message) -> bytes:
    """Return the bytes of a message.

    Raises:
        InternalError: it is larger than MESSAGE_BYTES_MAX.
    """
    body = encoder.to_protobuf(message).SerializeToString()
    return encoder.limited(type(message).__name__, body)


def decode(message_type: type[_T], body: bytes) -> _T:
    """Return the message of that type in `body`.

    Raises:
        ProtocolError: it is none.
    """
    generated, convert = decoder.DECODERS[message_type]
    return cast("_T", _decoded(generated, convert, body))


def encode_items(items: Iterable[Item]) -> Iterator[bytes]:
    """Yield messages of a stream that hold the items, in their order; all go the same way.

    Raises:
        InternalError: one alone is larger than a message.
    """
    return pack(map(encode_item, items))


def encode_item(item: Item) -> bytes:
    """Return the bytes of a message of a stream that holds one item.

    Raises:
        InternalError: it is larger than MESSAGE_BYTES_MAX.
    """
    return encoder.to_item(item)


def pack(encoded: Iterable[bytes]) -> Iterator[bytes]:
    """Yield as few messages as can hold what `encode_item` made, in order."""
    pieces: list[bytes] = []
    size = 0
    for piece in encoded:
        if size + len(piece) > MESSAGE_BYTES_MAX:
            yield b"".join(pieces)
            pieces, size = [], 0
        pieces.append(piece)
        size += len(piece)
    if pieces:
        yield b"".join(pieces)


def decode_from_worker(body: bytes) -> tuple[m.FromWorker, ...]:
    """Return the items that a worker has sent in one message.

    Raises:
        ProtocolError: it is none.
    """
    return _decoded(pb.ToMaster, decoder.from_worker, body)


def decode_for_worker(body: bytes) -> tuple[m.ForWorker, ...]:
    """Return the items that a master has sent in one message.

    Raises:
        ProtocolError: it is none.
    """
    return _decoded(pb.ToWorker, decoder.for_worker, body)


def encode_error(error: dict[str, Any], bytes_max: int = ERROR_BYTES_MAX) -> bytes:
    """Return an error (errors.to_dict) as JSON, cut if it is larger than `bytes_max`."""
    return encoder.error_json(error, bytes_max)


def decode_error(body: bytes) -> dict[str, Any] | None:
    """Return the error that `encode_error` has written; None for nothing.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return decoder.from_json_error(body)
    except _UNREADABLE as problem:
        raise ProtocolError(f"an error of the other side cannot be read: {problem}") from problem


def _decoded(generated: Any, convert: Callable[[Any], _T], body: bytes) -> _T:
    try:
        return convert(generated.FromString(body))
    except _UNREADABLE as problem:
        name = generated.DESCRIPTOR.name
        raise ProtocolError(
            f"a message of {len(body)} bytes is no `{name}`: {problem}", name=name
        ) from problem
