"""What an input begins and ends with: one short read of it, two if it is compressed.

Objects of a store are looked at many at a time, since each answer takes its way; what is found
comes in their order, however the answers came.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from pymr.core.spec import InputFile
from pymr.errors import StoreError
from pymr.records.compression import compression_of, open_stream
from pymr.records.magic import HEAD_BYTES, TAIL_BYTES
from pymr.records.source import open_input
from pymr.store.access import Access

PEEKS_MAX: Final = 16  # objects that are looked at, at a time
_ORDERED_MAX: Final = 1024  # objects of which answers are waited for, in memory


class Look(NamedTuple):
    """The first and last bytes of an input, as they are stored; the last ones if they tell."""

    head: bytes
    tail: bytes


def look_at_file(path: bytes) -> tuple[Look, os.stat_result]:
    """Return how a file looks, and what is known of it.

    Raises:
        OSError: it cannot be read.
    """
    # Not to wait: a file of /proc, or what took the place of a file, might let us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        head = os.pread(descriptor, HEAD_BYTES, 0)
        seen = os.fstat(descriptor)
        tail = b""
        if head.startswith(b"PAR1"):
            tail = os.pread(descriptor, TAIL_BYTES, max(0, seen.st_size - TAIL_BYTES))
        return Look(head, tail), seen
    finally:
        os.close(descriptor)


def decoded_head(file: InputFile, access: Access) -> bytes:
    """Return the first bytes of what a compressed input is decompressed to.

    Raises:
        InputError: it is broken there, or has changed.
        StoreError: its store refused or failed.
    """
    stream = open_stream(file, source=open_input(file, access))
    try:
        head = b""
        while len(head) < HEAD_BYTES and (data := stream.read(HEAD_BYTES - len(head))):
            head += data
        return head
    finally:
        stream.close()


class LookedAt(NamedTuple):
    """An object and how it looks; or why it cannot be read."""

    file: InputFile
    look: Look = Look(b"", b"")
    decoded: bytes = b""  # the first bytes of what it is decompressed to, if it is compressed
    refused: StoreError | None = None


def look_at_objects(objects: Iterable[InputFile], access: Access) -> Iterator[LookedAt]:
    """Yield how objects look, in their order.

    Raises:
        InputError: one has changed since it was listed, or is broken.
        StoreUnavailableError: the store does not answer: the others need not be asked.
    """
    from concurrent.futures import ThreadPoolExecutor

    look = partial(_look_at_object, access=access)
    objects = iter(objects)
    pool = ThreadPoolExecutor(PEEKS_MAX, thread_name_prefix="pymr-look")
    try:
        while some := list(islice(objects, _ORDERED_MAX)):
            yield from pool.map(look, some)
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at_object(file: InputFile, access: Access) -> LookedAt:
    if not file.size:
        return LookedAt(file)
    try:
        with open_input(file, access) as source:
            length = min(HEAD_BYTES, file.size)
            source.expect(0, length)
            head, tail, decoded = source.read_at(0, length), b"", b""
            if head.startswith(b"PAR1") and file.size >= TAIL_BYTES:
                tail = source.read_at(file.size - TAIL_BYTES, TAIL_BYTES)
        if compression := compression_of(head):
            decoded = decoded_head(msgspec.structs.replace(file, compression=compression), access)
    except StoreError as error:
        if error.retryable:
            raise
        return LookedAt(file, refused=error)
    return LookedAt(file, Look(head, tail), decoded)
