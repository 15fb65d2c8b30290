"""The list of runs of an account: a hint that may be lost, torn or read-only."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymr.store import registry
from pymr.store.registry import (
    RegisteredRun,
    newest_runs,
    register,
    state_folder,
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state directory, not made yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/pymr/runs"


def run(number: int) -> RegisteredRun:
    return RegisteredRun(f"01-{number}", f"name {number} é", f"/out/{number}", 1.5 + number)


def test_runs_come_back_oldest_first(state: Path) -> None:
    """In the order of their ids, which is that of their start."""
    assert [*newest_runs()] == []
    for number in (3, 1, 2):
        register(run(number))

    assert [*newest_runs()] == [run(3), run(2), run(1)]
    assert str(state) == state_folder()


def test_the_newest_runs_are_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years of runs are no reason to read years of files; what is not ours stays."""
    monkeypatch.setattr(registry, "RUNS_MAX", 3)
    state.mkdir(parents=True)
    (state / "00-notes.txt").write_text("mine")
    (state / "00-0.json").mkdir()  # which cannot be removed as a file is
    for number in (4, 1, 2, 5, 3):
        register(run(number))

    assert [*newest_runs()] == [run(5), run(4), run(3)]
    assert (state / "00-notes.txt").exists()


def test_who_looks_for_a_run_reads_no_older_ones(state: Path) -> None:
    """Newest first, one file at a time."""
    for number in (1, 2, 3):
        register(run(number))

    runs = newest_runs()
    found = [next(runs), next(runs)]
    (state / "01-1.json").write_bytes(b"torn since")

    assert found == [run(3), run(2)]
    assert list(runs) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"run": 1}', b"\xff"])
def test_an_entry_that_cannot_be_read_is_passed_over(state: Path, body: bytes) -> None:
    """A torn write must not hide the other runs; nor must a folder."""
    register(run(2))
    (state / "01-1.json").write_bytes(body)
    (state / "01-3.json").mkdir()

    assert [*newest_runs()] == [run(2)]


def test_a_home_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on; it is found by its output."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    assert not register(run(1))

    assert [*newest_runs()] == []


@pytest.mark.parametrize("value", [None, ""])
def test_the_state_directory_has_a_default(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """That of the XDG base directory specification, also for an empty variable."""
    monkeypatch.setenv("HOME", "/somewhere")
    if value is None:
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_STATE_HOME", value)

    assert state_folder() == "/somewhere/.local/state/pymr/runs"
