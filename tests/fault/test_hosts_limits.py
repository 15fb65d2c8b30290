"""Workers on other machines that run out of memory, of disk, or of open files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import PYMR
from hosts_run import HostsRun
from s3_request import Server
from stopped_run import undisturbed

pytestmark = pytest.mark.services
# Holds so much until it is stopped; a minute is more than it takes.
HOLD = "import signal\nheld = b'x' * (300 << 20)\nsignal.alarm(60)\nsignal.pause()\n"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


def test_f12_a_task_over_its_memory_is_tried_again_alone(
    run: HostsRun, expected: list[str]
) -> None:
    """By a worker, of which the master knows only what it says."""
    run.cli.write("at-line17", "do")
    run.cli.write("then.py", HOLD)
    master = run.start("--task-memory=128M")
    worker = run.worker()

    assert master.ends() == 0, master.said
    assert worker.ends() == 0, worker.said
    assert "had 128M: it is tried again alone" in master.said
    run.is_whole(expected)


def test_f14_a_worker_without_space_gives_its_task_back(run: HostsRun, expected: list[str]) -> None:
    """It is not charged to the task, and done by whoever has room."""
    master = run.start("--workers=2", "--spill=200", "--attempts=1")
    full = run.worker(armed=f"spill.write ENOSPC 1 {run.cli.folder / 'token'}")
    other = run.worker()

    assert master.ends() == 0, master.said
    assert [full.ends(), other.ends()] == [0, 0]
    run.is_whole(expected)
    [lost] = [entry for entry in run.history() if entry["kind"] == "AttemptLost"]
    assert "No space left on device" in lost["error"]["message"]


def test_f22_a_worker_with_few_open_files_does_its_part(run: HostsRun, expected: list[str]) -> None:
    """Or says in one line that it cannot."""
    master = run.start()
    worker = run.worker(prefix=("prlimit", "--nofile=64", str(PYMR)))

    assert master.ends() == 0, master.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)
