"""What the native module does beside keys: the tie to the parent, fingerprints, the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pymr
from memory_runs import fingerprint_of, shuffle
from pymr import _native
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.codec import encode_key
from pymr.shuffle.partition import partition_of

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), flush=True)
"""
CHILD = """
import sys
from pymr import _native
print(_native.die_with_parent(), flush=True)
sys.stdin.read()
"""


def test_the_compiled_part_is_of_this_version() -> None:
    """`pymr doctor` compares the two: one that was built before is another program."""
    assert _native.__version__ == pymr.__version__


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_a_process_dies_with_its_parent() -> None:
    """The child would wait for ever for input that nobody sends, holding our pipe open."""
    read = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdin=read, stdout=read, stderr=read
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert parent.stdout.readline() == b"True\n"
        # The child has inherited stdin and stderr: their other end sees its death.
        assert parent.stderr.read() == b""
        assert parent.wait() == 0


def test_xxh3_equals_its_published_values() -> None:
    """The hash is XXH3, so other programs find the same partitions."""
    assert _native.xxh3_64(b"") == 0x2D06800538D394C2
    assert _native.xxh3_64(b"", 1) == 0x4DC5B0CC826F6703
    assert _native.xxh3_128(b"") == 0x99AA06D3014798D86001C324468D497F


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [831, 544, 924, 829, 954, 127, 589, 858]),
        (1, [683, 789, 177, 799, 97, 968, 919, 605]),
    ],
)
def test_the_partition_of_a_key_never_changes(seed: int, expected: list[int]) -> None:
    """The same on every machine, in every version and run."""
    keys = ("the", "of", 1, 1.0, True, None, b"", (1, "a"))

    partitions = [partition_of(encode_key(key), 1000, seed) for key in keys]

    assert partitions == expected
    assert seed or partitions == [partition_of(encode_key(key), 1000) for key in keys]


def test_the_fingerprint_of_a_record_never_changes() -> None:
    """It stands in receipts that another version may have to check."""
    assert fingerprint_of(b"\x40the", b"\x11") == 0xAE3CB068574F44C2C140F8E316474E97


def test_the_fingerprint_tells_where_a_key_ends() -> None:
    """Moving a byte from the value to the key is another record."""
    assert fingerprint_of(b"ab", b"c") != fingerprint_of(b"a", b"bc")


def test_the_native_sum_of_fingerprints_is_their_sum() -> None:
    """Records with keys of any length add up modulo 2**128, in any order."""
    values = [bytes([n]) * n for n in range(200)]
    for key in (b"", b"key", b"k" * 127, b"k" * 128, b"k" * 70_000):
        expected = sum(fingerprint_of(key, value) for value in values) % (1 << 128)

        assert _native.fingerprint_sum(key, values) == expected
        assert _native.fingerprint_sum(key, values[::-1]) == expected
    assert _native.fingerprint_sum(b"", []) == 0


def test_the_native_sum_refuses_what_is_no_bytes() -> None:
    """A wrong type is a TypeError, not a crash."""
    with pytest.raises(TypeError):
        _native.fingerprint_sum(b"", ["text"])  # type: ignore[list-item]


@pytest.mark.parametrize("combine", [None, "sum"])
@pytest.mark.parametrize("repeated", [0, 31, 32])
def test_keys_that_hardly_repeat_are_not_looked_up_and_come_out_the_same(
    repeated: int, combine: str | None, tmp_path: Path
) -> None:
    """The table is left alone after 8192 of them; what comes again later is grouped as ever."""
    keys = [f"k{number}" for number in range(9000)]
    pairs = [(key, number) for number, key in enumerate([*keys[:repeated], *keys, *keys[::9]])]
    options: dict[str, Any] = {"combine": combine_for(combine) if combine else None}

    plain = shuffle([pairs], tmp_path / "plain", **options)
    native = shuffle([pairs], tmp_path / "native", native=True, **options)

    assert native.groups == plain.groups
    assert native.totals[0].written == plain.totals[0].written
