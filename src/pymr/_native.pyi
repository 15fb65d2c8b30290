"""The compiled part of PyMR (rust/src)."""

from collections.abc import Callable
from typing import Any, final

def xxh3_64(data: bytes, /) -> int:
    """Return the 64-bit XXH3 hash of `data`."""

def xxh3_128(data: bytes, /) -> int:
    """Return the 128-bit XXH3 hash of `data`."""

def fingerprint_sum(key: bytes, values: list[bytes], /) -> int:
    """Return the sum of the fingerprints of `key` with each of `values`, modulo 2**128."""

def count_newlines(data: bytes, /) -> int:
    r"""Return the number of `\n` in `data`."""

def line_offsets(offset: int, data: bytes, /) -> list[int]:
    r"""Return `offset`, where `data` begins, and the offsets behind each `\n` in it."""

def encode_key(key: Any, /) -> bytes:
    """Return the bytes of `key`; their order is the key order.

    Raises:
        TypeError: `key` is not None, bool, int, float, str, bytes or a tuple of them.
        ValueError: its tuples are nested too deeply.
    """

def decode_key(data: bytes, /) -> Any:
    """Return the key whose bytes are `data`.

    Raises:
        CorruptDataError: `data` is not an encoded key.
    """

def die_with_parent() -> bool:
    """Ask the system to kill this process when its parent ends; False where it cannot."""

@final
class RowWriter:
    """Turns pairs into the rows of a part; `pymr.records.part` is its whole story."""

    def __new__(
        cls,
        output_format: str,
        make_row: Callable[[Any, Any], bytes],
        write: Callable[[bytes], None],
        /,
    ) -> RowWriter:
        """Return a writer of rows.

        `make_row` gives the bytes of a row with a cell that is not plain. `write` is given
        blocks of about 256 KiB, in order and never two at a time.

        Raises:
            ValueError: `output_format` is not `tsv` or `jsonl`.
        """

    def emit(self, key: Any, value: Any) -> None:
        """Append one row, or raise what `make_row` or `write` raise."""

    def emit_encoded(self, key: bytes, value: bytes, /) -> bool:
        """Append a row of an encoded key and value, without making them objects.

        False: they are not plain (or no key and value), nothing was done; decode and `emit`.
        """

    def finish(self) -> tuple[int, list[str], list[str]]:
        """Write what is left; return the number of rows and the types of the plain cells.

        Raises:
            RuntimeError: another thread is still emitting.
        """
