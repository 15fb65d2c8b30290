"""What an operator sees and touches of a run on hosts, from another terminal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cli import CommandLine, Outcome
from fault_proxy import Fault, FaultProxy
from hosts_run import HostsRun, until
from s3_request import Server
from services import free_port, trust
from services import minio as minio_alone
from stopped_run import undisturbed

pytestmark = pytest.mark.services
WAIT = """\
import os, select
open("there", "w").close()
while not os.path.exists("go"):
    select.select([], [], [], 0.02)
"""
THREE_LINES = ["All workers connected", "All map tasks completed!", "Map reduce completed"]


@pytest.fixture
def hosts(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as run:
        trust(minio, run.bucket, run.cli.home / "state")
        yield run


def elsewhere(hosts: HostsRun, folder: Path) -> CommandLine:
    """Return a command line of another account: it knows the store, and nothing else."""
    folder.mkdir()
    cli = CommandLine(folder)
    cli.environ |= {key: hosts.cli.environ[key] for key in hosts.cli.environ if key[:4] == "AWS_"}
    return cli


def hold(hosts: HostsRun, at: str = "line17") -> None:
    """Have whoever comes to a record or key wait there until there is a file `go`."""
    hosts.cli.write(f"at-{at}", "do")
    hosts.cli.write("then.py", WAIT)


def held(hosts: HostsRun) -> None:
    """Wait until somebody waits."""
    until("nobody came there", (hosts.cli.folder / "there").exists)


def let_go(hosts: HostsRun) -> None:
    hosts.cli.write("go", "")


def state(outcome: Outcome) -> dict[str, Any]:
    """Return the object of `status --json`."""
    assert outcome.code == 0, outcome.stderr
    (line,) = outcome.stdout.splitlines()
    return dict(json.loads(line))


def kept_files(hosts: HostsRun) -> list[str]:
    """Return the ends of what this account keeps of its runs on hosts."""
    folder = hosts.cli.home / "state/pymr/masters"
    return sorted(path.name.partition(".")[2] for path in folder.glob("*"))


def test_status_says_who_works_on_what(hosts: HostsRun) -> None:
    """By the master, where this account has started it: each worker with what it runs."""
    hold(hosts)
    master, _ = hosts.start(), hosts.worker()
    held(hosts)

    def looked() -> dict[str, Any]:
        return state(hosts.cli.run("status", "words", "--json"))

    # A task is granted before the commit of the one before it is durable.
    until("two are not committed", lambda: looked()["map"]["committed"] == 2)
    seen = looked()

    assert (seen["told_by"], seen["state"], seen["phase"]) == ("master", "running", "map")
    assert (seen["name"], seen["output"]) == ("words", hosts.output)
    assert (seen["map"]["tasks"], seen["map"]["committed"]) == (4, 2)
    (worker,) = seen["workers"]
    assert worker["host"] == os.uname().nodename
    assert (worker["slots"], worker["running"]) == (1, ["map-0002.1"])
    assert worker["silent_s"] < 10.0
    table = hosts.cli.run("status", "words").stdout
    assert [part for part in ("1 connected, 1 slot", "map-0002.1") if part not in table] == []
    let_go(hosts)
    assert master.ends() == 0


def test_a_store_alone_tells_how_a_run_on_hosts_stands(hosts: HostsRun, tmp_path: Path) -> None:
    """By the address, with the keys and nothing else: the same numbers, a little later."""
    hold(hosts)
    master, _ = hosts.start(), hosts.worker()
    held(hosts)
    other = elsewhere(hosts, tmp_path / "other")

    def seen() -> dict[str, Any]:
        return state(other.run("status", hosts.output, "--json"))

    def is_told() -> bool:
        running = [each["running"] for each in seen()["workers"]]
        return running == [["map-0002.1"]] and seen()["map"]["committed"] == 2

    until("the store does not tell it", is_told)  # It is a second or so behind.
    told = seen()
    assert (told["told_by"], told["state"], told["phase"]) == ("store", "running", "map")
    assert (told["map"]["committed"], told["worker_count"], told["slots"]) == (2, 1, 1)
    assert told["workers"][0]["running"] == ["map-0002.1"]
    assert (told["epoch"], told["master"]["pid"]) == (1, master.popen.pid)
    join = json.loads((hosts.cli.folder / "run.join").read_text())
    until("no address", lambda: seen()["master"]["address"] == join["addresses"][0])
    shown = other.run("show", hosts.output).stdout
    assert "words   running" in shown
    assert "2 of 4 tasks" in shown
    let_go(hosts)
    assert master.ends() == 0
    after = state(other.run("status", hosts.output, "--json"))
    assert (after["state"], after["workers"], after["master"]) == ("done", [], None)


def test_a_watched_status_ends_with_the_run(hosts: HostsRun) -> None:
    """A line of JSON for each look; the last one is the end."""
    hold(hosts)
    master, _ = hosts.start(), hosts.worker()
    held(hosts)
    watching = hosts.run("status", "words", "--watch", "--json").says('"state":"running"')
    let_go(hosts)

    assert master.ends() == watching.ends() == 0

    last = json.loads(watching.said.splitlines()[-1])
    assert (last["state"], last["map"]["committed"], last["reduce"]["committed"]) == ("done", 4, 2)


def test_the_operators_file_is_enough_to_ask(hosts: HostsRun, tmp_path: Path) -> None:
    """Elsewhere, without a key of the store; the file of a worker is not."""
    hold(hosts)
    master, _ = hosts.start(), hosts.worker()
    held(hosts)
    (operator,) = (hosts.cli.home / "state/pymr/masters").glob("*.operator.json")
    (tmp_path / "other").mkdir()
    other = CommandLine(tmp_path / "other")
    mine = shutil.copy2(operator, other.folder / "operator.json")

    seen = state(other.run("status", "--json", "--join-file", mine))

    assert (seen["name"], seen["told_by"]) == ("words", "master")
    workers = hosts.cli.folder / "run.join"
    refused = other.run("status", "--join-file", workers)
    refused.refused(2, "is for the worker of a run, expected an operator's")
    let_go(hosts)
    assert master.ends() == 0


def test_cancel_stops_a_run_on_hosts_and_its_secrets_go(hosts: HostsRun) -> None:
    """The master is told directly, and does not come to look for the mark first."""
    hold(hosts)
    master, worker = hosts.start(), hosts.worker()
    held(hosts)

    cancelled = hosts.cli.run("cancel", "words")

    assert cancelled.code == 0, cancelled.stderr
    assert "nothing of it is kept" in cancelled.stderr
    assert master.ends() == 143
    worker.ends()
    assert kept_files(hosts) == []
    assert not (hosts.cli.folder / "run.join").exists()
    assert "words  cancelled" in hosts.cli.run("jobs").stdout


def test_cancel_from_elsewhere_needs_the_store_alone(hosts: HostsRun, tmp_path: Path) -> None:
    """The mark is seen within seconds."""
    hold(hosts)
    master, _ = hosts.start(), hosts.worker()
    held(hosts)

    cancelled = elsewhere(hosts, tmp_path / "other").run("cancel", hosts.output)

    assert cancelled.code == 0, cancelled.stderr
    assert master.ends() == 143


def test_a_run_is_cancelled_while_its_input_is_uploaded(hosts: HostsRun) -> None:
    """Once what is on its way has come there: the store takes its time."""
    hosts.cli.write("in.txt", "a\n" * (3 << 20))
    with FaultProxy(hosts.cli.environ["AWS_ENDPOINT_URL"]) as proxy:
        proxy.break_(Fault("slow", method="PUT", target="/inputs/", bytes_per_s=500e3))
        hosts.cli.environ["AWS_ENDPOINT_URL"] = proxy.endpoint
        master = hosts.start()
        until("it is not at work", lambda: "words  running" in hosts.cli.run("jobs").stdout)

        cancelled = hosts.cli.run("cancel", "words")
        ended = master.ends()

    assert (cancelled.code, ended) == (0, 143), cancelled.stderr
    assert "words is stopped; nothing of it is kept" in cancelled.stderr
    assert "words  cancelled" in hosts.cli.run("jobs").stdout


def test_attach_follows_a_run_on_hosts_to_its_result(hosts: HostsRun, tmp_path: Path) -> None:
    """From the store alone, with the same lines and the summary; logs are there too."""
    hold(hosts, "key-even")
    hosts.cli.write("at-line03", "do")
    hosts.cli.write("then.py", f"print('printed')\n{WAIT}")
    master, _ = hosts.start(), hosts.worker()
    held(hosts)
    other = elsewhere(hosts, tmp_path / "other")
    hosts.run("attach", hosts.output).says("All workers connected")
    let_go(hosts)

    assert master.ends() == 0

    attached = other.run("attach", hosts.output)
    assert attached.code == 0, attached.stderr
    assert [line for line in attached.stderr.splitlines() if line in THREE_LINES] == THREE_LINES
    assert "goes on" not in attached.stderr, "its first master is no resume"
    assert "words done" in attached.stderr
    assert "printed" in other.run("logs", hosts.output, "map-0000").stdout
    assert other.run("verify", hosts.output).code == 0
    assert other.run("audit", hosts.output).stdout.splitlines()[3].endswith("records  in.txt")
    rows = other.run("cat", hosts.output).stdout.splitlines()
    assert rows == undisturbed(tmp_path)
    assert kept_files(hosts) == []


def test_a_detached_start_says_where_its_master_is(hosts: HostsRun, tmp_path: Path) -> None:
    """One object under --json; three lines in the log; and its files go with the run."""
    begun = hosts.run("start", *arguments(hosts), "--detach", "--json", "--quiet", "worker.py")

    assert begun.ends() == 0, begun.said
    told = json.loads(begun.said)
    assert told["join_file"] == str(hosts.cli.folder / "run.join")
    assert (told["name"], told["output"]) == ("words", hosts.output)
    master = Path(f"/proc/{told['pid']}")
    assert master.exists()
    assert told["addresses"][0].startswith("127.0.0.1:")
    assert hosts.worker().ends() == 0
    log = Path(told["log"])
    until("it does not end", lambda: not master.exists())
    assert [line for line in log.read_text().splitlines() if line in THREE_LINES] == THREE_LINES
    assert hosts.rows() == undisturbed(tmp_path)
    assert kept_files(hosts) == ["log"]
    assert log.stat().st_mode & 0o077 == 0
    assert not (hosts.cli.folder / "run.join").exists()


def test_a_detached_master_that_cannot_listen_is_told_at_once(hosts: HostsRun) -> None:
    """With its own words, and its exit code."""
    endpoint = hosts.cli.environ["AWS_ENDPOINT_URL"].removeprefix("http://")

    begun = hosts.cli.run(
        "start", *arguments(hosts), "--detach", f"--listen={endpoint}", "worker.py"
    )

    begun.refused(8, "another process listens there", "--listen 127.0.0.1:0")


def test_a_join_file_that_is_there_is_not_replaced(hosts: HostsRun) -> None:
    """Before any work: it may be another run's."""
    hosts.cli.write("run.join", "precious")

    begun = hosts.cli.run("start", *arguments(hosts), "worker.py")

    begun.refused(2, "join file `run.join` exists, and is not replaced")
    assert (hosts.cli.folder / "run.join").read_text() == "precious"
    assert list(hosts.objects.list_names("")) == []


def arguments(hosts: HostsRun) -> tuple[str, ...]:
    """Return how the run is started."""
    where = f"--output={hosts.output}", f"--store=s3://{hosts.bucket}", "--join-file=run.join"
    what = "--input=in.txt", "--name=words", "--mappers=4", "--reducers=2"
    return "--on=hosts", "--workers=1", *where, *what


def test_a_master_tells_prometheus_what_the_feed_folds(hosts: HostsRun) -> None:
    """And that it is well, while it works; the port closes with it."""
    port = free_port()
    hold(hosts)
    master, _ = hosts.start(f"--metrics=127.0.0.1:{port}"), hosts.worker()
    held(hosts)

    def asked(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return str(answer.read().decode())

    until(
        "two are not committed",
        lambda: 'pymr_tasks{phase="map",state="committed"} 2.0' in asked("metrics"),
    )
    told = asked("metrics")
    wanted = (
        'pymr_tasks{phase="map",state="leased"} 1.0',
        'pymr_attempts_total{outcome="committed",phase="map"} 2.0',
        "pymr_workers 1.0",
        "pymr_slots 1.0",
        "pymr_journal_slot_seconds_count",
    )
    assert [part for part in wanted if part not in told] == []
    assert asked("healthz") == "ok\n"
    let_go(hosts)
    assert master.ends() == 0


def test_the_store_that_nobody_named_is_made(tmp_path: Path) -> None:
    """`s3://map-reduce-bucket`, with a line that says so; the next start finds it."""
    with minio_alone() as server, HostsRun(tmp_path, server) as hosts:
        settings = ("--on=hosts", "--input=in.txt", "--workers=1", "--name=words")
        begun = hosts.run("start", *settings, "--detach", "worker.py")
        assert begun.ends() == 0, begun.said
        assert "s3://map-reduce-bucket was not there: it is made" in begun.said
        assert hosts.run("worker", "--join-file=words.join").ends() == 0

        rows = hosts.cli.run("cat", "s3://map-reduce-bucket/outputs/words")

        assert rows.code == 0, rows.stderr
        again = hosts.run("start", *settings, "--detach", "worker.py")
        assert again.ends() == 4, "the output is there"
        assert "is made" not in again.said
