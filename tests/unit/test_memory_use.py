"""How the memory of processes is measured, and what a peak is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pymr import memory_use
from pymr.memory_use import MemoryMeter, Pages, mapped_share_of, pages_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells it in /proc")
MIB = 1 << 20
HOLDING = """\
import sys
held = bytes(range(256)) * (int(sys.argv[1]) << 12)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(megabytes: int) -> Iterator[int]:
    """Start a process that holds so much, and give its id."""
    command = [sys.executable, "-c", HOLDING, str(megabytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def test_a_process_has_pages_of_its_own_and_of_files() -> None:
    """Python's library is mapped, what is computed is private."""
    with holding(40) as pid:
        pages = pages_of(pid)
        share = mapped_share_of(pid)

    assert pages is not None
    assert share is not None
    assert 40 * MIB < pages.private < 60 * MIB
    assert 0 < share <= pages.mapped < 60 * MIB


def test_the_peak_is_that_of_the_sum() -> None:
    """Processes that are not there at the same time are not added up."""
    meter = MemoryMeter()
    with holding(30) as one:
        sizes = meter.sample([one], 0.0)
        alone = meter.peak_bytes
        with holding(20) as other:
            meter.sample([one, other], 1.0)
            both = meter.peak_bytes
        meter.sample([one], 2.0)
        with holding(10) as third:
            meter.sample([one, third], 3.0)

    assert alone is not None
    assert both is not None
    assert 30 * MIB < alone < 50 * MIB
    assert sizes == {one: alone}
    assert 20 * MIB < both - alone < 35 * MIB
    assert meter.peak_bytes == both


def test_what_is_not_of_the_run_is_not_counted() -> None:
    """A notebook holds data of its own."""
    with holding(30) as pid:
        meter = MemoryMeter(excepted_bytes=25 * MIB)
        meter.sample([pid], 0.0)

    assert meter.peak_bytes is not None
    assert 5 * MIB < meter.peak_bytes < 25 * MIB


def test_a_process_that_is_gone_uses_nothing() -> None:
    """It may end between two looks; without any there is no peak."""
    with holding(1) as pid:
        pass
    meter = MemoryMeter()

    meter.sample([pid], 0.0)

    assert pages_of(pid) is None
    assert mapped_share_of(pid) is None
    assert meter.peak_bytes is None


def test_samples_are_due_ten_times_a_second() -> None:
    """Whoever waits for something else asks how long it may wait."""
    meter = MemoryMeter()

    assert meter.due_in(7.0) == 0
    meter.sample([os.getpid()], 7.0)
    assert meter.due_in(7.04) == pytest.approx(0.06)
    assert meter.due_in(8.0) == 0


def test_the_costly_look_becomes_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel walks through all pages for it: often at first, then each 64th sample."""
    walked = []

    def walk(pid: int) -> int:
        walked.append(pid)
        return 5

    monkeypatch.setattr(memory_use, "mapped_share_of", walk)
    monkeypatch.setattr(memory_use, "pages_of", lambda _pid: Pages(100, 50))
    meter = MemoryMeter()
    looks = []
    for number in range(260):
        meter.sample([1], float(number))
        if len(walked) > len(looks):
            looks.append(number)

    assert looks == [0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 256]
    assert meter.peak_bytes == 105


def test_a_system_that_does_not_tell_the_share_counts_private_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody may hide /proc/*/smaps_rollup."""
    monkeypatch.setattr(memory_use, "mapped_share_of", lambda _pid: None)
    monkeypatch.setattr(memory_use, "pages_of", lambda _pid: Pages(100, 50))
    meter = MemoryMeter()

    meter.sample([1, 2], 0.0)

    assert meter.peak_bytes == 200
