"""Masters that die, stand still and come back; two at once; and what the command does then."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import WAIT, HostsRun, Running, until
from pymr.names import journal_slot_key
from s3_request import Server
from services import free_port
from stopped_run import WORKER, calls, undisturbed

pytestmark = pytest.mark.services
KILL_MASTER = """\
import os, select, signal
while not (os.path.exists("master.pid") and os.path.getsize("master.pid")):
    select.select([], [], [], 0.01)
pid = int(open("master.pid").read())
os.remove("master.pid")  # Before the next one has written its own.
os.kill(pid, signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


def waiting(run: HostsRun, at: str = "line17") -> tuple[Running, Running]:
    """Return a master and a worker in the middle of a run, which goes on with the file `go`."""
    run.cli.write(f"at-{at}", "do")
    run.cli.write("then.py", WAIT)
    master = run.start()
    worker = run.worker()
    until("it does not come so far", (run.cli.folder / "waits").exists, told=lambda: master.said)
    return master, worker


# -- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["line00", "line17", "key-0", "key-even"])
def test_f29_f58_f60_a_worker_keeps_its_attempt_when_the_master_is_killed(
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


def test_f127_masters_that_are_killed_again_and_again(run: HostsRun, expected: list[str]) -> None:
    """Each life commits something, and the same worker serves all of them."""
    places = ["line01", "line17", "key-0"]
    for place in places:
        run.cli.write(f"at-{place}", "do")
    run.cli.write("then.py", KILL_MASTER)
    master = run.start()
    run.cli.write("master.pid", str(master.popen.pid))
    worker = run.worker()
    for _ in places:
        assert master.ends() == -signal.SIGKILL, master.said
        master = run.run("resume", "words")
        run.cli.write("master.pid", str(master.popen.pid))

    assert master.ends() == 0, master.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)
    assert len(calls(run.cli, "map")) == 32
    epochs = [e["epoch"] for e in run.history() if e["kind"] == "RunResumed"]
    assert epochs[-1] == 4, "what was said last of a killed master may be lost, and no more"


def test_f57_a_start_that_is_killed_before_its_claim_leaves_nothing(run: HostsRun) -> None:
    """It is started again, under the same name."""
    token = run.cli.folder / "token"
    assert run.start(armed=f"commit.claim kill 1 {token}").ends() == -signal.SIGKILL
    run.is_unpublished()

    again = run.start()

    assert run.worker().ends() == 0
    assert again.ends() == 0, again.said


def test_f63_a_run_that_is_done_has_nothing_to_resume(run: HostsRun, expected: list[str]) -> None:
    """Whoever asks is told so; secrets and join file are gone."""
    master = run.start()
    assert run.worker().ends() == 0
    assert master.ends() == 0, master.said
    assert not run.join_file.exists()
    assert list((run.cli.home / "state").rglob("masters/*.json")) == []

    again = run.run("resume", "words")

    assert again.ends() == 0
    assert "words is done" in again.said
    run.is_whole(expected)


# -- two at once -------------------------------------------------------------------------------


def detached(run: HostsRun) -> tuple[int, str]:
    """Start a run whose master is in the background; return its process and its SPEC."""
    started = run.start("--detach")
    assert started.ends() == 0, started.said
    [spec] = (run.cli.home / "state").rglob("*.spec.json")
    return pid_of(started), str(spec)


def pid_of(started: Running) -> int:
    """Return the process of the master that a command has left to the background."""
    found = re.search(r"process (\d+)", started.said)
    assert found, started.said
    return int(found[1])


def know_both(run: HostsRun, spec: str) -> tuple[str, ...]:
    """Have workers know two addresses, and have the next master of SPEC listen at the second."""
    second = f"127.0.0.1:{free_port()}"
    until("there is no join file", run.join_file.exists)
    join = json.loads(run.join_file.read_bytes())
    both = (*join["addresses"], second)
    run.join_file.write_text(json.dumps({**join, "addresses": both}))
    told = json.loads(Path(spec).read_bytes())
    elsewhere = str(run.cli.folder / "second.join")
    Path(spec).write_text(json.dumps({**told, "listen": second, "join_file": elsewhere}))
    return both


def test_f64_a_master_that_stood_still_is_deposed(run: HostsRun, expected: list[str]) -> None:
    """It ends with the epoch that goes on, and has published nothing; the worker stays."""
    run.cli.write("at-line17", "do")
    run.cli.write("then.py", WAIT)
    pid, spec = detached(run)
    know_both(run, spec)
    worker = run.worker()
    until("it does not come so far", (run.cli.folder / "waits").exists)
    os.kill(pid, signal.SIGSTOP)
    successor = run.run("master", spec).says("on the other machines")

    os.kill(pid, signal.SIGCONT)

    [log] = (run.cli.home / "state").rglob("masters/*.log")
    until("it is not deposed", lambda: "deposed by epoch 2" in log.read_text(), told=log.read_text)
    until("it does not end", lambda: str(pid) not in run.processes())
    run.cli.write("go", "")
    assert successor.ends() == 0, successor.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)
    assert len(calls(run.cli, "map")) == 32


def test_f65_of_two_masters_that_start_together_one_goes_on(
    run: HostsRun, expected: list[str]
) -> None:
    """The other ends with exit 10, whichever it is, unless it comes so late that all is done."""
    run.cli.write("at-line17", "do")
    run.cli.write("then.py", KILL_MASTER)
    master = run.start("--listen=127.0.0.1:0", "--detach")
    assert master.ends() == 0, master.said
    [spec] = (run.cli.home / "state").rglob("*.spec.json")
    run.cli.write("master.pid", str(pid_of(master)))
    both = know_both(run, str(spec))
    worker = run.worker()
    until("the first does not die", lambda: not (run.cli.folder / "at-line17").exists())

    first = run.run("master", str(spec))
    told = json.loads(spec.read_bytes())
    spec_2 = run.cli.write("spec-2.json", json.dumps({**told, "listen": both[0]}))
    second = run.run("master", str(spec_2))

    assert worker.ends() == 0, worker.said
    codes = sorted([first.ends(), second.ends()])
    said = first.said + second.said
    ends = {"deposed by epoch": [0, 10], "is done: its result is in": [0, 0]}
    assert codes in [ends[words] for words in ends if words in said], said
    run.is_whole(expected)


def test_a_master_that_comes_when_all_is_done_says_so(run: HostsRun, expected: list[str]) -> None:
    """A pod may end between the publication and its own exit code, and is replaced."""
    master = run.start("--listen=127.0.0.1:0", "--detach")
    assert master.ends() == 0, master.said
    [spec] = (run.cli.home / "state").rglob("*.spec.json")
    told = json.loads(spec.read_bytes())
    secrets = run.cli.folder / "master.json"
    secrets.write_bytes(Path(told["secrets"]).read_bytes())
    secrets.chmod(0o600)
    late = run.cli.write("late.json", json.dumps({**told, "secrets": str(secrets)}))
    worker = run.worker()
    assert worker.ends() == 0, worker.said
    until("the run does not end", lambda: "words is done" in run.cli.run("resume", "words").stderr)

    again = run.run("master", str(late))

    assert again.ends() == 0, again.said
    assert "words is done: its result is in" in again.said
    run.is_whole(expected)


# -- what is refused, and what has changed -----------------------------------------------------


def stopped(run: HostsRun, at: str = "line17", finished: int = 0) -> None:
    """Stop a run there: its master and its worker are killed once so many tasks are committed."""
    master, worker = waiting(run, at)
    until("so much is never committed", lambda: run.journalled() >= finished)
    master.kill()
    worker.kill()
    (run.cli.folder / "waits").unlink()


def test_f66_a_journal_that_is_damaged_stops_the_resume(run: HostsRun) -> None:
    """Exit 7, with the slot; all is kept."""
    stopped(run)
    key = journal_slot_key(run.id, 1)
    body = bytearray(run.objects.get(key))
    body[-9] ^= 1
    run.objects.replace(key, bytes(body))

    again = run.run("resume", "words")

    assert again.ends() == 7
    assert "is corrupt in slot 1 at byte" in again.said
    run.is_unpublished()


def test_f69_a_journal_of_another_version_is_refused(run: HostsRun) -> None:
    """Exit 10, with both versions; nothing is touched."""
    stopped(run)
    run.rewrite_journal(b'"journal":1', b'"journal":2')

    again = run.run("resume", "words")

    assert again.ends() == 10
    assert "has format 2, expected 1" in again.said
    run.is_unpublished()


def test_a_worker_file_that_was_mended_is_what_workers_load(run: HostsRun) -> None:
    """What was done by the code before is kept, and that is told."""
    stopped(run, finished=2)
    run.cli.write("worker.py", WORKER.replace("sum(values)", "10 * sum(values)"))

    again = run.run("resume", "words")
    worker = run.worker()

    run.cli.write("go", "")
    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said
    assert "worker.py has changed; kept from before: 2 finished tasks" in again.said
    assert run.rows()[:2] == ["1\t80", "2\t80"]


def test_code_that_does_another_job_is_refused(run: HostsRun) -> None:
    """As on one machine: what is there was made for the job before."""
    stopped(run)
    run.cli.write("worker.py", WORKER.replace("reducer=reducer, ", ""))

    again = run.run("resume", "words")

    assert again.ends() == 2
    assert "the job has changed: its" in again.said
    assert "pymr resume words --restart" in again.said


def test_another_machine_goes_on_with_the_code_of_the_store(
    run: HostsRun, expected: list[str]
) -> None:
    """It has no worker file, no list of runs, and no secrets of the start."""
    stopped(run)
    (run.cli.folder / "worker.py").unlink()
    run.join_file.unlink()
    run.cli.environ["XDG_STATE_HOME"] = str(run.cli.home / "other")

    again = run.run("resume", run.output)
    worker = run.worker()

    run.cli.write("go", "")
    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)


def test_restart_does_all_again_under_another_id(run: HostsRun, expected: list[str]) -> None:
    """Workers of the run before have to join anew."""
    stopped(run)
    before = run.id

    again = run.run("resume", "words", "--restart")
    again.says("on the other machines")
    assert run.id != before
    worker = run.worker()

    run.cli.write("go", "")
    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)
    assert len(calls(run.cli, "map")) > 32


def test_a_run_that_lives_is_not_resumed(run: HostsRun, expected: list[str]) -> None:
    """Its master is named; only `pymr master` takes over from one that lives."""
    master, worker = waiting(run)

    again = run.run("resume", "words")

    assert again.ends() == 4
    assert "run words still runs (pid" in again.said
    run.cli.write("go", "")
    assert (master.ends(), worker.ends()) == (0, 0)
    run.is_whole(expected)


def test_a_join_file_that_is_there_is_not_replaced(run: HostsRun) -> None:
    """Before any work: a run that stopped may need it."""
    run.cli.write("run.join", "mine")

    again = run.start()

    assert again.ends() == 2
    assert "run.join` exists, and is not replaced" in again.said
    assert run.join_file.read_text() == "mine"


# -- the command and its life ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "interrupted by Ctrl-C"),
        (signal.SIGTERM, 143, "terminated by SIGTERM"),
        (signal.SIGHUP, 129, "terminated by SIGHUP"),
    ],
)
def test_f92_f94_f95_a_signal_stops_a_master_in_good_order(
    run: HostsRun, expected: list[str], number: signal.Signals, code: int, text: str
) -> None:
    """What is finished is kept. After Ctrl-C workers go; else they wait for the next master."""
    master, worker = waiting(run)

    master.popen.send_signal(number)

    assert master.ends() == code, master.said
    assert text in master.said
    assert "pymr resume words" in master.said
    run.is_unpublished()
    if number == signal.SIGINT:
        assert worker.ends() == 0
        assert "the run has ended: interrupted by Ctrl-C" in worker.said
    again = run.run("resume", "words")
    if number == signal.SIGINT:
        worker = run.worker()
    run.cli.write("go", "")
    assert again.ends() == 0, again.said
    assert worker.ends() == 0, worker.said
    run.is_whole(expected)


def test_f97_a_run_in_the_background_needs_no_command(run: HostsRun, expected: list[str]) -> None:
    """Who follows it may be killed, and follow it again."""
    run.cli.write("at-line17", "do")
    run.cli.write("then.py", WAIT)
    detached(run)
    worker = run.worker()
    until("it does not come so far", (run.cli.folder / "waits").exists)
    run.run("attach", "words").says("map").kill()
    follower = run.run("attach", "words")

    run.cli.write("go", "")

    assert worker.ends() == 0, worker.said
    assert follower.ends() == 0, follower.said
    run.is_whole(expected)
    assert not run.join_file.exists()


def test_f97_a_resume_in_the_background_goes_on(run: HostsRun, expected: list[str]) -> None:
    """With the settings that it was given."""
    stopped(run)

    again = run.run("resume", "words", "--detach", "--attempts=7")

    assert again.ends() == 0, again.said
    [spec] = (run.cli.home / "state").rglob("*.spec.json")
    assert json.loads(spec.read_bytes())["settings"]["attempts"] == 7
    run.cli.write("go", "")
    worker = run.worker()
    assert worker.ends() == 0, worker.said
    until("it does not end", lambda: run.processes() == [])
    run.is_whole(expected)
