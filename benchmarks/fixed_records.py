"""Records of 100 bytes: a random key of 10, 89 random bytes, a newline; printable ASCII.

The shape is that of the sort benchmark's records (sortbenchmark.org). With 64 letters there
are 2**60 keys: among 100 million records no two are likely to be equal.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

from input_file import BYTES_PER_MB, written_once

SEED = 3
KEY_BYTES = 10
RECORD_BYTES = 100
RECORDS_AT_ONCE = 10_000
RECORDS_PER_MB = BYTES_PER_MB // RECORD_BYTES
_ALPHABET = (string.ascii_letters + string.digits + "+-").encode()
_LETTER_OF_BYTE = _ALPHABET * (256 // len(_ALPHABET))


def records_file(folder: Path, megabytes: int) -> Path:
    """Return a file of `megabytes` MB, written if it is not there yet."""
    return written_once(
        folder / f"records-{megabytes}MB-seed{SEED}.txt", lambda: _blocks(megabytes)
    )


def _blocks(megabytes: int) -> Iterator[bytes]:
    source = random.Random(SEED)
    for _ in range(megabytes * RECORDS_PER_MB // RECORDS_AT_ONCE):
        block = bytearray(source.randbytes(RECORDS_AT_ONCE * RECORD_BYTES))
        block = block.translate(_LETTER_OF_BYTE)
        block[RECORD_BYTES - 1 :: RECORD_BYTES] = b"\n" * RECORDS_AT_ONCE
        yield bytes(block)
