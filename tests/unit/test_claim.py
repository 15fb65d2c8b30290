"""The claim on an output: exactly one owner, who is named, and never a dead one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pymr.errors import OutputError, StoreError
from pymr.names import CLAIM
from pymr.store.claim import GC, ClaimRecord, LocalClaim, read_claim

HOLDER = """
import sys, time
from pymr.store.claim import *
root, run, start = sys.argv[1], sys.argv[2], float(sys.argv[3])
from pymr.errors import OutputError
print("ready", flush=True)
sys.stdin.readline()
try:
    claim = LocalClaim.take(root, ClaimRecord(run=run, name=run, pid=1, host="h", started=start))
except OutputError as error:
    print("lost", error.message, flush=True)
else:
    print("won", run, flush=True)
    sys.stdin.read()
"""


def record(run: str = "run-1", **changes: object) -> ClaimRecord:
    fields = {"run": run, "name": "wc", "pid": 12, "host": "box", "started": time.time() - 12}
    return ClaimRecord(**(fields | changes))  # type: ignore[arg-type]


def hold(root: Path, run: str) -> subprocess.Popen[str]:
    """Start a process that claims `root` when it reads a line, and holds it to its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), run, str(time.time())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_claim_makes_the_output_and_records_its_owner(tmp_path: Path) -> None:
    """Who claims an output that is not there makes it, and can be looked up."""
    root = tmp_path / "deep" / "out"

    claim = LocalClaim.take(str(root), record())

    assert read_claim(str(root)) == (claim.record, True)
    claim.release()


def test_a_second_claim_names_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says which run owns the output, where, and since when."""
    claim = LocalClaim.take(str(tmp_path), record())
    monkeypatch.setattr("time.time", lambda: claim.record.started + 12.4)

    with pytest.raises(OutputError) as caught:
        LocalClaim.take(str(tmp_path), record("run-2"))

    assert caught.value.message == (
        f"output `{tmp_path}` is claimed by run run-1 (pid 12 on box, started 12 s ago)"
    )
    assert caught.value.hint == f"pymr attach {tmp_path}   follows it"
    assert caught.value.exit_code == 4
    assert caught.value.fields["run"] == "run-1"
    assert read_claim(str(tmp_path)) == (claim.record, True)
    claim.release()


def test_an_output_that_is_tidied_is_waited_for(tmp_path: Path) -> None:
    """`pymr gc` is no run that could be followed."""
    claim = LocalClaim.take(str(tmp_path), record(GC))

    with pytest.raises(OutputError) as caught:
        LocalClaim.take(str(tmp_path), record())

    assert caught.value.hint == "wait for it"
    claim.release()


def test_a_released_output_can_be_claimed_again(tmp_path: Path) -> None:
    """After `release`, which may be repeated, nobody owns the output; then the next run does."""
    first = LocalClaim.take(str(tmp_path), record())
    first.release()
    first.release()
    assert read_claim(str(tmp_path)) == (None, False)

    second = LocalClaim.take(str(tmp_path), record("run-2"))

    assert read_claim(str(tmp_path)) == (second.record, True)
    second.release()


def test_a_shorter_record_replaces_a_longer_one(tmp_path: Path) -> None:
    """The record is written in place; nothing of a dead owner's shows through."""
    (tmp_path / CLAIM).parent.mkdir()
    (tmp_path / CLAIM).write_bytes(b"x" * 10_000)

    claim = LocalClaim.take(str(tmp_path), record())

    assert read_claim(str(tmp_path)) == (claim.record, True)
    claim.release()


def test_the_claim_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """`kill -9` frees an output; its record still says whose it was."""
    process = hold(tmp_path, "run-dead")
    go(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "won run-dead\n"
    with pytest.raises(OutputError, match="claimed by run run-dead"):
        LocalClaim.take(str(tmp_path), record())

    end(process)

    dead, is_held = read_claim(str(tmp_path))
    assert dead is not None
    assert (dead.run, is_held) == ("run-dead", False)
    LocalClaim.take(str(tmp_path), record()).release()


def test_of_fifty_threads_exactly_one_wins(tmp_path: Path) -> None:
    """However claims race, one owns the output and all others name it."""
    for turn in range(5):
        root = str(tmp_path / str(turn))
        barrier = threading.Barrier(50)

        def take(
            number: int, root: str = root, barrier: threading.Barrier = barrier
        ) -> LocalClaim | OutputError:
            barrier.wait()
            try:
                return LocalClaim.take(root, record(f"run-{number}"))
            except OutputError as error:
                return error

        with ThreadPoolExecutor(50) as pool:
            results = list(pool.map(take, range(50)))

        [winner] = [result for result in results if isinstance(result, LocalClaim)]
        losers = [result for result in results if isinstance(result, OutputError)]
        assert {loser.fields["run"] for loser in losers} == {winner.record.run}
        winner.release()


def test_f98_of_ten_processes_exactly_one_wins(tmp_path: Path) -> None:
    """The same between processes."""
    processes = [hold(tmp_path, f"run-{number}") for number in range(10)]
    try:
        for process in processes:
            go(process)
        answers = [process.stdout.readline().split() for process in processes if process.stdout]
    finally:
        for process in processes:
            end(process)

    [winner] = [answer[1] for answer in answers if answer[0] == "won"]
    losers = [" ".join(answer) for answer in answers if answer[0] == "lost"]
    assert len(losers) == 9
    assert all(f"is claimed by run {winner} (pid 1 on h, started" in loser for loser in losers)


def test_looking_is_never_in_the_way_of_claiming(tmp_path: Path) -> None:
    """`read_claim` in a loop, by several threads, does not make one claim fail."""
    root = str(tmp_path)
    stopped = threading.Event()

    def look() -> None:
        while not stopped.is_set():
            read_claim(root)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(look)
        try:
            for number in range(200):
                LocalClaim.take(root, record(f"run-{number}")).release()
        finally:
            stopped.set()


def test_a_child_does_not_inherit_the_claim(tmp_path: Path) -> None:
    """A task process that outlives its master does not keep the output claimed."""
    claim = LocalClaim.take(str(tmp_path), record())
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        os.close(claim._descriptor)  # What the kernel does when the owner dies.

        LocalClaim.take(str(tmp_path), record("run-2")).release()
    finally:
        end(child)  # type: ignore[arg-type]


def test_an_output_never_claimed_has_no_owner(tmp_path: Path) -> None:
    """Looking at what is not there, or is a file, finds nobody and makes nothing."""
    (tmp_path / "file").write_bytes(b"")

    assert read_claim(str(tmp_path)) == (None, False)
    assert read_claim(str(tmp_path / "file")) == (None, False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_owner_without_a_record_is_still_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock alone is the truth: with a damaged record the output is claimed all the same."""
    monkeypatch.setattr("pymr.store.claim._RECORD_WAIT_S", 0.01)
    claim = LocalClaim.take(str(tmp_path), record())
    (tmp_path / CLAIM).write_bytes(b"{damaged")

    with pytest.raises(OutputError, match=r"is claimed by another run$"):
        LocalClaim.take(str(tmp_path), record("run-2"))

    assert read_claim(str(tmp_path)) == (None, True)
    claim.release()


def test_an_output_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    """A file in the way is reported with the system's words."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreError, match="Not a directory"):
        LocalClaim.take(str(tmp_path / "file"), record())
