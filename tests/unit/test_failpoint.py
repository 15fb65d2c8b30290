"""Fail-points: off unless armed, each at one place of the code, once, at its time."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pymr import failpoint
from pymr.errors import ResourceError
from pymr.failpoint import POINTS

SOURCES = Path(failpoint.__file__).parent


@pytest.fixture
def arm(monkeypatch, tmp_path):
    """Arm a place in this process: what would have come from the environment."""

    def armed(name: str, kind: str, count: int = 1) -> Path:
        token = tmp_path / "token"
        monkeypatch.setattr(failpoint, "_armed", failpoint._arm(f"{name} {kind} {count} {token}"))
        monkeypatch.setattr(failpoint, "_passed", 0)
        return token

    return armed


def test_each_name_stands_at_one_place_of_the_code() -> None:
    """And none that the table does not have. Two ways to do the same are one place."""
    called = Counter(
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r'failpoint\.(?:hit|cut|each)\(\s*"([a-z.]+)"', path.read_text())
    )

    assert set(called) == set(POINTS)
    of_folders_and_stores = {
        *("commit.claim", "history.append", "journal.append", "journal.sync"),
        "object.sync",
    }
    of_runner_and_master = {"commit.decide", "commit.verify", "lease.grant"}
    twice = {name for name, count in called.items() if count > 1}
    assert twice == {"spill.write"} | of_folders_and_stores | of_runner_and_master
    assert max(called.values()) == 2


def test_nothing_happens_where_nothing_is_armed(arm) -> None:
    """Neither without a fail-point nor at another place."""
    items = iter(())
    data = memoryview(b"data")
    for name in (None, "map.record"):
        if name:
            arm(name, "raise")
        failpoint.hit("journal.sync")
        assert failpoint.cut("journal.append", data) is data
        assert failpoint.each("reduce.group", items) is items


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_a_disk_says_what_disks_say(arm, kind: str) -> None:
    """The number and the text of the operating system."""
    arm("journal.sync", kind)

    with pytest.raises(OSError, match=re.escape(os.strerror(getattr(errno, kind)))) as caught:
        failpoint.hit("journal.sync")

    assert caught.value.errno == getattr(errno, kind)


def test_it_breaks_once_at_its_time(arm, capfd) -> None:
    """The token says that it did, to this process and to others; a line says so too."""
    token = arm("commit.verify", "raise", count=2)

    failpoint.hit("commit.verify")
    assert not token.exists()
    with pytest.raises(RuntimeError, match=r"fail-point commit\.verify"):
        failpoint.hit("commit.verify")
    failpoint.hit("commit.verify")

    assert token.exists()
    assert capfd.readouterr().err == "fail-point commit.verify raise\n"
    arm("commit.verify", "raise")
    failpoint.hit("commit.verify")  # The token is there: it has been elsewhere.


def test_a_short_write_takes_half(arm) -> None:
    """Once; other kinds break, or let the write be."""
    data = memoryview(b"12345")
    arm("journal.append", "short")
    assert [bytes(failpoint.cut("journal.append", data)) for _ in "ab"] == [b"12", b"12345"]

    arm("journal.append", "EIO").unlink()
    with pytest.raises(OSError, match="Input/output error"):
        failpoint.cut("journal.append", data)


def test_being_slow_is_no_failure(arm, monkeypatch) -> None:
    """It takes its time, and goes on."""
    monkeypatch.setattr(failpoint, "PAUSE", 0.001)
    arm("journal.append", "slow")

    assert bytes(failpoint.cut("journal.append", memoryview(b"ab"))) == b"ab"


def test_items_are_handed_on_until_the_one_that_breaks(arm) -> None:
    """The place is before each of them."""
    arm("map.record", "raise", count=3)
    seen = []

    with pytest.raises(RuntimeError):
        seen.extend(failpoint.each("map.record", iter("abcd")))

    assert seen == ["a", "b"]
    assert list(failpoint.each("map.record", iter("abcd"))) == list("abcd")


@pytest.mark.parametrize(("kind", "code"), [("kill", -9), ("raise", 1)])
def test_a_process_is_armed_by_its_environment(tmp_path: Path, kind: str, code: int) -> None:
    """All processes of a command have the same."""
    done = subprocess.run(
        [sys.executable, "-c", "from pymr import failpoint; failpoint.hit('task.load')"],
        env={**os.environ, failpoint.VARIABLE: f"task.load {kind} 1 {tmp_path / 'a token'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert done.stderr.startswith(f"fail-point task.load {kind}\n")
    assert (tmp_path / "a token").exists()


def test_a_kind_that_a_place_does_not_know_is_refused() -> None:
    """A test that arms it would never see it break."""
    with pytest.raises(AssertionError, match=r"map\.record does not know short"):
        failpoint._arm("map.record short 1 token")
    with pytest.raises(KeyError):
        failpoint._arm("map.nothing kill 1 token")


def fill(buffer: Any) -> None:
    for key in range(1000):
        buffer.emit(key, "x" * 50)


def test_a_spill_that_breaks_is_the_disk_s_fault(arm, tmp_path: Path) -> None:
    """Plain or compiled: an error of ours, that another try may not have."""
    from pymr.core.spec import Limits
    from pymr.shuffle.buffer import MapBuffer
    from pymr.shuffle.native_buffer import NativeMapBuffer

    for number, buffer_class in enumerate((MapBuffer, NativeMapBuffer)):
        folder = str(tmp_path / str(number))
        token = arm("spill.write", "ENOSPC")
        buffer = buffer_class(partitions=1, limits=Limits(spill_bytes_max=100), spill_folder=folder)
        with pytest.raises(ResourceError, match="cannot write a spill"):
            fill(buffer)
        token.unlink()
