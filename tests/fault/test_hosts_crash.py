"""A master, or a worker, that is killed wherever something is at stake: the run ends the same.

Each fail-point of a master is hit in one; then another takes the run on, and the worker, which has
waited, goes on with it. Each of a worker is hit in one, or in its task process; the same worker or
the next one goes on. A fail-point that is not reached fails its test.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import HostsRun, until
from pymr.failpoint import POINTS
from s3_request import Server
from stopped_run import undisturbed

pytestmark = pytest.mark.services

IN_FOLDERS = ("folder.made", "publish.sync", "resume.reopen", "object.write", "object.link")
TASK_POINTS = tuple(
    point
    for point in POINTS
    if point.startswith(("task.", "map.", "reduce.", "object.sync", "attempt."))
)
WORKER_POINTS = tuple(point for point in POINTS if point.startswith("worker."))
MASTER_POINTS = tuple(
    point
    for point in POINTS
    if not point.startswith(
        (*IN_FOLDERS, *TASK_POINTS, *WORKER_POINTS, "spill.", "resume.", "run.")
    )
)
# Not at their first time, which is that of planning.
TIMES = {
    "commit.claim": 2,
    "history.append": 8,
    "journal.append": 6,
    "journal.sync": 4,
    "slot.put": 4,
    "map.record": 12,
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


def armed(run: HostsRun, point: str, time: int | None = None) -> str:
    return f"{point} kill {time or TIMES.get(point, 1)} {run.cli.folder / 'token'}"


@pytest.mark.parametrize("point", MASTER_POINTS)
def test_a_master_killed_there_has_a_successor(
    run: HostsRun, expected: list[str], point: str
) -> None:
    """Which finds all that was decided, and the worker that has waited."""
    master = run.start(armed=armed(run, point))
    until("it neither ends nor listens", lambda: run.join_file.exists() or not master.is_alive)
    worker = run.worker() if run.join_file.exists() else None
    assert master.ends() == -signal.SIGKILL, master.said
    assert f"fail-point {point} kill" in master.said
    if not point.startswith("publish."):
        run.is_unpublished()

    again = run.run("resume", "words")

    worker = worker or run.worker()
    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said  # Told by the master, or by the manifest.
    run.is_whole(expected, killed=1)


@pytest.mark.parametrize("point", [*TASK_POINTS, *WORKER_POINTS])
def test_a_worker_killed_there_is_replaced(run: HostsRun, expected: list[str], point: str) -> None:
    """By its next task process, or by the next worker."""
    master = run.quick_start(workers=1, lease_s=2.5)
    worker = run.worker(armed=armed(run, point))
    until("it is not reached", (run.cli.folder / "token").exists, told=lambda: worker.said)
    killed = 0
    if point in WORKER_POINTS:
        assert worker.ends() == -signal.SIGKILL
        worker, killed = run.worker(), 1

    assert master.ends() == 0, master.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected, killed)
