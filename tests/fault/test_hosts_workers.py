"""Workers on other machines that die, stand still, and go: others do their tasks.

The master is one with leases of 4 s, but where no lease matters.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import HostsRun, until
from s3_request import Server
from stopped_run import WORKER, calls, undisturbed

pytestmark = pytest.mark.services
STOP_WORKER = """\
import os, select, signal
if os.path.exists("stopped"):
    while not os.path.exists("go"):
        select.select([], [], [], 0.01)
else:
    open("stopped", "w").write(str(os.getppid()))
    os.kill(os.getppid(), signal.SIGSTOP)
"""
END_WORKER = "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n"
CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


@pytest.mark.parametrize("at", ["line17", "key-even"])
def test_f1_f6_a_worker_that_is_killed_is_missed(
    run: HostsRun, expected: list[str], at: str
) -> None:
    """Another one does again what it held; what it had committed stays."""
    run.cli.write(f"at-{at}", "kill-runner")
    master = run.quick_start()
    workers = run.workers(2)

    assert master.ends() == 0, master.said
    assert sorted(worker.ends() for worker in workers) == [-signal.SIGKILL, 0]
    run.is_whole(expected, killed=1)
    again = 0 if at.startswith("key") else 2
    assert 32 <= len(calls(run.cli, "map")) <= 32 + again
    task = "map-0002" if at == "line17" else next(k for k, n in run.committed().items() if n == 2)
    assert {name for name, number in run.committed().items() if number == 2} == {task}


def test_f1_f18_workers_that_die_one_after_the_other_use_up_no_tries(
    run: HostsRun, expected: list[str]
) -> None:
    """A lost worker is no fault of a task, however often; each new one does what is left."""
    places = ["line01", "line02", "line03", "line05"]
    for place in places:
        run.cli.write(f"at-{place}", "kill-runner")
    master = run.quick_start(workers=1, lease_s=2.5)
    for _ in places:
        assert run.worker().ends() == -signal.SIGKILL

    assert run.worker().ends() == 0
    assert master.ends() == 0, master.said
    run.is_whole(expected)
    lost = [entry for entry in run.history() if entry["kind"] == "AttemptLost"]
    assert len(lost) >= 3
    assert run.committed()["map-0000"] == len(places) + 1
    assert "has lost its work 3 times" in master.said


def test_f7_all_workers_are_killed_and_others_come(run: HostsRun, expected: list[str]) -> None:
    """The master waits, and goes on with what is committed."""
    run.cli.write("at-line09", "kill-runner")
    run.cli.write("at-line25", "kill-runner")
    master = run.quick_start(lease_s=2.5)
    for worker in run.workers(2):
        assert worker.ends() == -signal.SIGKILL

    assert run.worker().ends() == 0
    assert master.ends() == 0, master.said
    run.is_whole(expected)


def test_f7_without_any_worker_a_run_stops_and_can_be_resumed(
    run: HostsRun, expected: list[str]
) -> None:
    """After `--worker-wait`, with the next command; its join file stays good."""
    master = run.start("--worker-wait=1s")
    assert master.ends() == 10
    assert "no worker was connected for 1 s, which is --worker-wait" in master.said
    assert "pymr resume" in master.said
    run.is_unpublished()
    worker = run.worker()

    again = run.run("resume", "words", "--worker-wait=60s")

    assert again.ends() == 0, again.said
    assert worker.ends() == 0
    run.is_whole(expected)


def test_f8_a_task_that_kills_its_process_each_time_ends_the_run(run: HostsRun) -> None:
    """After four deaths on two workers, with signal, input and what to do; others stay."""
    run.cli.write("worker.py", WORKER.replace('    os.remove(f"at-{record}")\n', ""))
    run.cli.write("at-line17", "do")
    run.cli.write("then.py", CRASH)
    master = run.start("--workers=2")
    workers = run.workers(2)

    assert master.ends() == 1, master.said
    assert [worker.ends() for worker in workers] == [0, 0], workers[0].said
    for part in ("SIGSEGV", "in.txt [224:", "pymr debug words map", "pymr resume words"):
        assert part in master.said
    lost = [entry for entry in run.history() if entry["kind"] == "AttemptLost"]
    assert [entry["attempt"]["number"] for entry in lost] == [1, 2, 3, 4]
    assert len({entry["worker"] for entry in lost}) == 2
    run.is_unpublished()


def test_f9_a_report_that_comes_late_is_stale(run: HostsRun, expected: list[str]) -> None:
    """The worker stood still until its task was another's; it goes on, and the result stands."""
    run.cli.write("at-line25", "do")
    run.cli.write("at-key-even", "do")
    run.cli.write("then.py", STOP_WORKER)
    master = run.quick_start()
    workers = run.workers(2)
    until("no worker stands still", (run.cli.folder / "stopped").exists)
    master.says("All map tasks completed!")

    zombie = int((run.cli.folder / "stopped").read_text())
    [stopped] = [worker for worker in workers if worker.popen.pid == zombie]
    stopped.kill(signal.SIGCONT)
    run.cli.write("go", "")

    assert master.ends() == 0, master.said
    assert [worker.ends() for worker in workers] == [0, 0]
    run.is_whole(expected)
    assert run.committed()["map-0003"] == 2


@pytest.mark.parametrize("when", ["after another attempt won", "after the end"])
def test_f10_f11_an_upload_that_goes_on_late_changes_nothing(
    run: HostsRun, expected: list[str], when: str
) -> None:
    """It writes under its own key; what the manifest names stays as it is."""
    token = run.cli.folder / "token"
    if when != "after the end":
        run.cli.write("at-key-even", "do")
        run.cli.write("then.py", STOP_WORKER)
        run.cli.write("stopped", "")
    master = run.quick_start(workers=1)
    zombie = run.worker(armed=f"object.sync stop 1 {token}")
    until("no upload began", token.exists, told=lambda: zombie.said)
    zombie.kill(signal.SIGSTOP)
    other = run.worker()
    if when == "after the end":
        assert master.ends() == 0, master.said
        before = run.parts()
    else:
        master.says("All map tasks completed!")
    children = run.children_of(zombie)
    for pid in children:
        signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGCONT)
    zombie.kill(signal.SIGCONT)
    if when != "after the end":
        run.cli.write("go", "")
        assert master.ends() == 0, master.said
        before = run.parts()

    assert other.ends() == 0
    assert zombie.ends() in (0, 10), zombie.said
    assert run.parts() == before
    run.is_whole(expected)


def test_f17_a_worker_that_hangs_is_overtaken(run: HostsRun, expected: list[str]) -> None:
    """A backup attempt on the other one wins; its process is ended."""
    master = run.start("--workers=2")
    slow = run.worker(armed=f"map.record stop 1 {run.cli.folder / 'token'}")
    other = run.worker()

    assert master.ends() == 0, master.said
    assert "backup of map-000" in master.said
    assert [slow.ends(), other.ends()] == [0, 0]
    run.is_whole(expected)


def test_f20_workers_with_the_same_join_file_have_ids_of_their_own(
    run: HostsRun, expected: list[str]
) -> None:
    """The master gives them: a cloned machine is another worker."""
    run.cli.write("at-line01", "do")
    run.cli.write("at-line09", "do")
    meet = 'import os, select\nopen(f"{os.getpid()}.here", "w")\nimport glob\n'
    run.cli.write(
        "then.py", meet + 'while len(glob.glob("*.here")) < 2: select.select([], [], [], 0.01)\n'
    )
    master = run.start("--workers=2")
    workers = run.workers(2)

    assert [each.ends() for each in (master, *workers)] == [0, 0, 0], master.said
    run.is_whole(expected)
    assert len({entry["worker"] for entry in run.started()}) == 2


def test_f107_a_worker_that_is_told_to_end_finishes_what_it_has(
    run: HostsRun, expected: list[str]
) -> None:
    """Nothing is lost, and another one does the rest."""
    run.cli.write("at-line10", "do")
    run.cli.write("then.py", END_WORKER)
    master = run.start()
    assert run.worker().ends() == 128 + signal.SIGTERM
    assert run.worker().ends() == 0

    assert master.ends() == 0, master.said
    run.is_whole(expected)
    assert len(calls(run.cli, "map")) == 32
    assert [e for e in run.history() if e["kind"] == "AttemptLost"] == []


def test_f107_a_worker_that_is_told_twice_gives_back_what_it_has(
    run: HostsRun, expected: list[str]
) -> None:
    """The task is another's at once: no lease has to end."""
    run.cli.write("at-line10", "do")
    run.cli.write("then.py", END_WORKER + "signal.pause()\n")
    master = run.start()
    worker = run.worker()
    worker.says("it was told to end (SIGTERM): ")  # Of two at once a process hears one.
    worker.kill(signal.SIGTERM)
    assert worker.popen.returncode == 128 + signal.SIGTERM, worker.said
    assert worker.said.count("it was told to end") == 1, worker.said
    assert run.worker().ends() == 0

    assert master.ends() == 0, master.said
    run.is_whole(expected)
    [lost] = [e for e in run.history() if e["kind"] == "AttemptLost"]
    assert "it was told to end (SIGTERM)" in lost["error"]["message"]
