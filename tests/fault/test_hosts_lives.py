"""Workers and masters that die, stand still and come back, on a real store."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import HostsRun
from s3_request import Server
from stopped_run import calls, undisturbed

pytestmark = pytest.mark.services
# What happens in a process of the worker, by name of the file that the worker file looks for.
KILL_MASTER = 'import os, signal\nos.kill(int(open("master.pid").read()), signal.SIGKILL)\n'


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


# -- masters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["line00", "line17", "key-0", "key-even"])
def test_f58_f60_a_worker_keeps_its_attempt_when_the_master_is_killed(
    run: HostsRun, expected: list[str], at: str
) -> None:
    """The next one listens at the same address, and adopts what the worker holds."""
    run.cli.write(f"at-{at}", "do")
    run.cli.write("then.py", KILL_MASTER)
    master = run.start()
    run.cli.write("master.pid", str(master.popen.pid))
    worker = run.worker()
    assert master.ends() == -signal.SIGKILL

    again = run.run("resume", "words")

    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)
    assert len(calls(run.cli, "map")) == 32


# -- workers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["line01", "line17", "key-even"])
def test_f1_f6_a_worker_that_is_killed_is_missed(
    run: HostsRun, expected: list[str], at: str
) -> None:
    """Another one does again what it held; what it had committed stays."""
    run.cli.write(f"at-{at}", "kill-runner")
    master = run.quick_start()
    workers = run.workers(2)

    assert master.ends() == 0, master.said
    assert sorted(worker.ends() for worker in workers) == [-signal.SIGKILL, 0]
    # Whichever is sooner: the end of its lease, or a backup attempt.
    assert "tried again" in master.said or "backup of" in master.said
    run.is_whole(expected)
    again = 0 if at.startswith("key") else 8
    assert 32 <= len(calls(run.cli, "map")) <= 32 + again
