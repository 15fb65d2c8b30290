"""Errors as the status of a call, and back.

An error of ours travels whole, in the trailing metadata ERROR_KEY; the code of gRPC is for other
tools. What comes without it is the transport's own word.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pymr import errors
from pymr.cluster import wire
from pymr.cluster.transport import grpc
from pymr.errors import (
    InternalError,
    ProtocolError,
    PymrError,
    RefusedError,
    UnknownWorkerError,
    UnreachableError,
)
from pymr.text_form import show_path

ERROR_KEY: Final = "pymr-error-bin"
_ERROR_BYTES_MAX: Final = 4 << 10  # in metadata, which have 8 KiB and are base64 on the way
_DETAIL_CHARACTERS_MAX: Final = 500

_CODES: Final[dict[type[PymrError], grpc.StatusCode]] = {
    RefusedError: grpc.StatusCode.PERMISSION_DENIED,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownWorkerError: grpc.StatusCode.FAILED_PRECONDITION,
    InternalError: grpc.StatusCode.INTERNAL,
}
_REFUSALS: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
# Nothing that a second try would change: both ends are not made for each other.
_MISMATCHES: Final = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # a message over the limit
    }
)
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"


class Status(NamedTuple):
    """What a call ends with."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, bytes], ...]


def status_of(error: PymrError) -> Status:
    """Return the status that carries `error`."""
    default = (
        grpc.StatusCode.UNAVAILABLE if error.retryable else grpc.StatusCode.FAILED_PRECONDITION
    )
    body = wire.encode_error(errors.to_dict(error), _ERROR_BYTES_MAX)
    return Status(
        _CODES.get(type(error), default),
        show_path(error.message)[:_DETAIL_CHARACTERS_MAX],
        ((ERROR_KEY, body),),
    )


def error_of(call: grpc.RpcError, address: str) -> PymrError:
    """Return the error with which a call to `address` ended: the other side's, or what it means.

    All that may be otherwise at the next try is an UnreachableError.
    """
    for key, value in call.trailing_metadata() or ():
        if key == ERROR_KEY and (error := wire.decode_error(value)) is not None:
            return errors.from_dict(error)
    code, details = call.code(), show_path(call.details() or "")[:_DETAIL_CHARACTERS_MAX]
    if _UNTRUSTED in details:
        return RefusedError(
            f"the master at `{address}` is not that of this join file: {details}",
            hint="copy here the join file of the run that works there: that of each start is new",
            address=address,
        )
    if code in _REFUSALS:
        return RefusedError(f"the master at `{address}` refused: {details}", address=address)
    if code in _MISMATCHES:
        return ProtocolError(
            f"`{address}` does not speak as a master of this version: {details}", address=address
        )
    return UnreachableError(
        f"the master at `{address}` did not answer: {code.name}, {details}", address=address
    )
