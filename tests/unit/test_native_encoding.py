"""Keys and values that are too large to be encoded, and values that change meanwhile."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_runs import MemoryObject, records_of
from pymr import _native
from pymr.core.spec import Limits
from pymr.shuffle.codec import decode_key, decode_value
from pymr.shuffle.native_buffer import NativeMapBuffer

MIB = 1 << 20
LIMITS = Limits(key_bytes_max=MIB, value_bytes_max=4 * MIB)


def buffer(limits: Limits = LIMITS) -> NativeMapBuffer:
    """Return a buffer that never spills."""
    return NativeMapBuffer(partitions=1, limits=limits, spill_folder="/nowhere")


def finish(filled: NativeMapBuffer) -> list[tuple[Any, Any]]:
    """Return the decoded records of the sorted run."""
    target = MemoryObject()
    filled.finish(target)
    records = records_of(bytes(target.data))
    return [(decode_key(key), decode_value(value)) for _, key, value in records]


@contextlib.contextmanager
def memory_left(size: int) -> Iterator[None]:
    """Let this process map no more than `size` bytes on top of what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def doubled(depth: int, part: object) -> Any:
    """Return a tuple of two that are a tuple of two, and so on: small, until it is written out."""
    for _ in range(depth):
        part = (part, part)
    return part


@pytest.mark.parametrize("make", [bytes, "x".__mul__], ids=["bytes", "str"])
def test_a_large_text_is_refused_before_it_is_copied(make: Any) -> None:
    """The message has its exact size, although no memory for a copy was there."""
    records, large = buffer(), make(64 * MIB)

    with memory_left(16 * MIB):
        with pytest.raises(ValueError, match="a value of 67108869 bytes is larger than the limit"):
            records.emit("k", large)
        with pytest.raises(ValueError, match="a key of 67108865 bytes is larger than the limit"):
            records.emit(large, 1)

    assert finish(records) == []


def test_a_large_text_beyond_ascii_is_refused_before_it_is_utf8() -> None:
    """Its UTF-8 has at least a byte for each character."""
    records, large = buffer(), "é" * (64 * MIB)

    with memory_left(16 * MIB):
        with pytest.raises(ValueError, match=r"a value of at least 6710886\d bytes is larger"):
            records.emit("k", large)
        with pytest.raises(ValueError, match=r"a key of at least 6710886\d bytes is larger"):
            records.emit((large,), 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_large_int_is_refused_before_its_bytes_are_made(sign: int) -> None:
    """As a key and as a value, with its exact size."""
    records, large = buffer(), sign << (8 * 8 * MIB)

    with pytest.raises(ValueError, match=r"a value of 8388\d\d\d bytes is larger than the limit"):
        records.emit("k", large)
    with pytest.raises(ValueError, match=r"a key of 8388\d\d\d bytes is larger than the limit"):
        records.emit(large, 1)


@pytest.mark.parametrize("part", [1, "text", b"", None, 0.5, 2**70])
def test_tuples_that_grow_without_end_are_refused_at_the_limit(part: object) -> None:
    """2**90 parts would take for ever; each kind of part stops at the limit."""
    records = buffer()

    with pytest.raises(ValueError, match=r"a value of at least \d+ bytes is larger than the limit"):
        records.emit("k", (doubled(90, (part,)), part))
    with pytest.raises(ValueError, match=r"a key of at least \d+ bytes is larger than the limit"):
        records.emit(doubled(90, part), 1)


def test_where_memory_ends_a_memory_error_is_raised() -> None:
    """The process lives, and the buffer takes what fits."""
    limits = Limits(key_bytes_max=500 * MIB, value_bytes_max=500 * MIB)
    # More than what a test before may have left free within the heap; zeros need no memory.
    records, large, key = buffer(limits), bytes(400 * MIB), (bytes(200 * MIB),)

    with memory_left(32 * MIB):
        for value in (large, [large], {"k": large}):
            with pytest.raises(MemoryError, match="no memory is left for a value"):
                records.emit("k", value)
        with pytest.raises(MemoryError, match="no memory is left for a key"):
            records.emit(key, 1)
        with pytest.raises(MemoryError):
            _native.encode_value(large)

    records.emit("k", 1)
    assert finish(records) == [("k", 1)]


class Garbage:
    """Changes a dict when the collector finds it."""

    def __init__(self, target: dict[int, int]) -> None:
        self.me = self
        self.target = target

    def __del__(self) -> None:
        for number in range(100):
            self.target[1000 + number] = number
        self.target.pop(0, None)


def test_a_dict_that_changes_while_it_is_encoded_is_an_error_or_whole() -> None:
    """Before CPython 3.12 any allocation may run the collector, and so code of the user."""
    encoded = []
    for _ in range(50):
        target = {number: 2**70 + number for number in range(20)}
        whole = dict(target)
        thresholds = gc.get_threshold()
        Garbage(target)
        gc.set_threshold(1)
        try:
            encoded.append(decode_value(_native.encode_value(target)) in (whole, target))
        except RuntimeError as error:
            encoded.append("a dict in a value changed while it was encoded" in str(error))
        finally:
            gc.set_threshold(*thresholds)
    assert all(encoded)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partitions": 0}, "0 partitions, expected 1 to 65536"),
        ({"partitions": (1 << 16) + 1}, "65537 partitions, expected 1 to 65536"),
        (
            {"limits": Limits(value_bytes_max=1 << 30)},
            r"1048576 \+ 1073741824 bytes, expected at m",
        ),
    ],
)
def test_what_offsets_cannot_name_is_refused(changes: dict[str, Any], message: str) -> None:
    """No setting allows as much."""
    options = {"partitions": 1, "limits": LIMITS, "spill_folder": "/nowhere"} | changes
    with pytest.raises(ValueError, match=message):
        NativeMapBuffer(**options)


LARGE: dict[str, Callable[[], object]] = {
    "text": lambda: "a" * (64 * MIB),
    "text without UTF-8": lambda: "\ud800" + "a" * (64 * MIB),
    "bytes": lambda: bytes(64 * MIB),
    "int": lambda: 1 << (8 * 64 * MIB),
    "text of wide characters": lambda: "😀" + "a" * (20 * MIB),
    "list": lambda: [0] * (30 * MIB),
    "tuple": lambda: (0,) * (30 * MIB),
    "dict": lambda: dict.fromkeys(range(2 * MIB)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_value_for_which_no_memory_is_left_is_a_memory_error(kind: str) -> None:
    """It is not corrupt, nothing panics, and the process lives."""
    data = _native.encode_value(LARGE[kind]())

    # So that it ends where something large is asked for, whatever the process has left over.
    left = 112 if kind == "dict" else 16
    with memory_left(left * MIB), pytest.raises(MemoryError):
        _native.decode_value(data)


STARVED = """
import resource
from pathlib import Path

from pymr import _native

data = _native.encode_value(dict.fromkeys(range(1 << 22)))
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (96 << 20),) * 2)
_native.decode_value(data)
"""


def test_a_process_without_memory_for_the_smallest_thing_ends() -> None:
    """Also where the frames of a panic are asked for, which need memory themselves."""
    ended = subprocess.run(
        [sys.executable, "-c", STARVED],
        env={**os.environ, "RUST_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode
    assert "Memory" in ended.stderr or "pymr._native: panicked at" in ended.stderr
