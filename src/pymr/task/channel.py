"""The two pipes between a runner and a task process, and what goes over them.

A frame is a 4-byte little-endian length and one JSON message. The runner sends `Load`, then
`Begin`, then any number of `Run` or `Try`, one at a time; the process answers `Loaded` or
`LoadFailed`, then for each `Run` some `Progressed` and one `Finished` or `Failed`, for each
`Try` one `Tried` or `TryFailed`. Before `Begin` there may be any number of `Sample`, each
answered by `Sampled` or `SampleFailed`. The end of a pipe is the end of the other side: nobody
says goodbye.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from pymr.core.spec import (
    Attempt,
    AttemptSpec,
    Code,
    JobSpec,
    KeySample,
    Receipt,
    SampleWork,
    Shape,
)
from pymr.core.trial import MapTrial, MapTrialWork, ReduceTrial, ReduceTrialWork
from pymr.memory_use import Pages
from pymr.store.access import Access
from pymr.store.outage import SILENT


class Message(msgspec.Struct, frozen=True, tag_field="message", tag=True):
    """The base of all messages."""


class Load(Message, frozen=True):
    """Load the user's code and answer with its shape."""

    code: Code


class Sample(Message, frozen=True):
    """Map a part of the input and answer with its keys; `access` opens the stores of inputs."""

    spec: JobSpec
    work: SampleWork
    access: Access = Access()


class Begin(Message, frozen=True):
    """All attempts that follow belong to this run, with its output at `root`.

    That is a folder, or the address of a store that `access` opens, as it does inputs.
    `is_watched`: each call of user code that ends is progress, which is to be told of.
    """

    spec: JobSpec
    root: str
    is_watched: bool = False
    access: Access = Access()


class Run(Message, frozen=True):
    """Run one attempt."""

    attempt: AttemptSpec


class Try(Message, frozen=True):
    """Do a part of the job to see how it behaves; nothing is written."""

    work: MapTrialWork | ReduceTrialWork


class Loaded(Message, frozen=True):
    """The code is loaded; the process is ready. `memory`: what it uses then, if that is known."""

    shape: Shape
    memory: Pages | None = None


class LoadFailed(Message, frozen=True):
    """The code cannot be used. `error`: errors.to_dict."""

    error: dict[str, Any]


class Sampled(Message, frozen=True):
    """The keys that were asked for."""

    sample: KeySample


class SampleFailed(Message, frozen=True):
    """The sample could not be mapped. `error`: errors.to_dict."""

    error: dict[str, Any]


class Progressed(Message, frozen=True):
    """How far the attempt is."""

    attempt: Attempt
    bytes_in: int
    records_in: int


class StoreAway(Message, frozen=True):
    """A store does not answer since a time, in Unix seconds; None: it does again. At any time."""

    store: str
    since: float | None
    how: str = SILENT  # what it does instead


class Left(msgspec.Struct, frozen=True):
    """What an attempt has left behind in its process."""

    strays: int = 0  # processes, which were ended
    private_bytes: int | None = None  # of memory that the process still has; None: not known


class Finished(Message, frozen=True):
    """The attempt's object is complete."""

    receipt: Receipt
    left: Left = Left()


class Failed(Message, frozen=True):
    """The attempt failed. `signature` is equal for the same error on the same record."""

    attempt: Attempt
    error: dict[str, Any]
    retryable: bool
    signature: str
    left: Left = Left()


class Tried(Message, frozen=True):
    """What a trial found out."""

    trial: MapTrial | ReduceTrial


class TryFailed(Message, frozen=True):
    """The trial failed. `error`: errors.to_dict."""

    error: dict[str, Any]


ToProcess = Load | Sample | Begin | Run | Try
FromProcess = (
    Loaded
    | LoadFailed
    | Sampled
    | SampleFailed
    | Progressed
    | StoreAway
    | Finished
    | Failed
    | Tried
    | TryFailed
)

_encode = msgspec.json.Encoder(enc_hook=repr).encode  # an error of the user's may hold anything
_to_process = msgspec.json.Decoder(ToProcess)
_from_process = msgspec.json.Decoder(FromProcess)


def encode_any(value: Any) -> bytes:
    """Return `value` as JSON, whatever an error of the user's may have brought into it."""
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        import json

        text = json.dumps(msgspec.to_builtins(value, enc_hook=repr), ensure_ascii=False)
        return text.encode(errors="replace")


def frame(message: Message) -> bytes:
    """Return the bytes of one frame."""
    body = encode_any(message)
    return len(body).to_bytes(4, "little") + body


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; blocks while the pipe is full.

    Raises:
        BrokenPipeError: the other side is gone.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_requests(fd: int) -> Iterator[ToProcess]:
    """Yield what the runner sends, until its end of the pipe is closed."""
    while len(head := _read_exactly(fd, 4)) == 4:  # noqa: PLR2004 - the length field
        body = _read_exactly(fd, int.from_bytes(head, "little"))
        yield _to_process.decode(body)


def _read_exactly(fd: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.read(fd, min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class ReplyBuffer:
    """Cuts the bytes that arrive from a task process into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[FromProcess]:
        """Yield the messages that `data` completes."""
        self._data += data
        while len(self._data) >= 4:  # noqa: PLR2004 - the length field
            size = int.from_bytes(self._data[:4], "little")
            if len(self._data) < 4 + size:
                return
            body = bytes(self._data[4 : 4 + size])
            del self._data[: 4 + size]
            yield _from_process.decode(body)
