"""A map buffer of so many bytes stays within them, whatever comes: as the kernel counts its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self is Linux's")
MIB = 1 << 20
LIMIT_MIB = 16
# What a run that is written and the heap of glibc hold beside it.
BESIDE_MIB = 7

PROGRAM = """\
import re, sys
from pathlib import Path
from pymr._native import keep_little_memory
from pymr.core.spec import Limits
from pymr.shuffle.builtin import combine_for
from pymr.shuffle.native_buffer import NativeMapBuffer

TEXT = "x" * 80

def distinct(count, prefix=""):
    return ((f"{prefix}{number * 2654435761 % (1 << 32):010}", 1) for number in range(count))

def one_key_late():  # behind more keys than the table takes
    for _ in range(3):
        yield from distinct(110_000)
        yield from (("zzz", TEXT) for _ in range(200_000))

def long_keys_then_values():
    yield from (("k" * 2000 + str(number % 9000), 1) for number in range(30_000))
    yield from (("zzz", TEXT) for _ in range(450_000))

def in_turn():
    for _ in range(3):
        yield from distinct(200_000)
        yield from (("all", number) for number in range(750_000))
        yield from ((str(number % 100), TEXT) for number in range(200_000))

def floats():
    return (("all", number * 0.5) for number in range(1_500_000))

def large():
    return ((str(number), str(number) * 1_000_000) for number in range(100, 112))

RECORDS = {
    "distinct": lambda: distinct(900_000),
    "long prefix": lambda: distinct(600_000, "http://www.example.com/"),
    "one key": lambda: (("all", TEXT) for _ in range(900_000)),
    "one key late": one_key_late,
    "long keys, then values": long_keys_then_values,
    "in turn": in_turn,
    "floats, summed": floats,
    "large values": large,
}

class Nowhere:
    def write(self, data):
        pass

def bytes_of(field):
    status = Path("/proc/self/status").read_text()
    return int(re.search(field + r":\\s+(\\d+)", status)[1]) << 10

def peak_of(records, combine, limit):
    before = bytes_of("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    buffer = NativeMapBuffer(
        partitions=8,
        limits=Limits(spill_bytes_max=limit, merge_bytes_max=limit),
        spill_folder=sys.argv[3],
        combine=combine,
    )
    emit = buffer.emit
    for key, value in records:
        emit(key, value)
    totals = buffer.finish(Nowhere())
    assert totals.spills >= 2, totals
    return bytes_of("VmHWM") - before

keep_little_memory()
combine = combine_for("sum") if "summed" in sys.argv[1] else None
peak_of(distinct(20_000), None, 1 << 18)  # modules are imported, and so on
print(peak_of(RECORDS[sys.argv[1]](), combine, int(sys.argv[2])))
"""


@pytest.mark.parametrize(
    "records",
    [
        "distinct",
        "long prefix",
        "one key",
        "one key late",
        "long keys, then values",
        "in turn",
        "floats, summed",
        "large values",
    ],
)
def test_a_buffer_and_what_a_spill_adds_stay_within_its_bytes(records: str, tmp_path: Path) -> None:
    """Tables, lists, sort words and merges; also where records change from spill to spill."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, records, str(LIMIT_MIB * MIB), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / MIB < LIMIT_MIB + BESIDE_MIB
