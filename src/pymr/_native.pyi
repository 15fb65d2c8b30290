"""The compiled part of PyMR (rust/src)."""

from typing import Any

def xxh3_64(data: bytes, seed: int = 0, /) -> int:
    """Return the 64-bit XXH3 hash of `data` with `seed`, of 64 bits."""

def xxh3_128(data: bytes, /) -> int:
    """Return the 128-bit XXH3 hash of `data`."""

def fingerprint_sum(key: bytes, values: list[bytes], /) -> int:
    """Return the sum of the fingerprints of `key` with each of `values`, modulo 2**128."""

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
