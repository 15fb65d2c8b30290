"""Runs on hosts whose networks break: what is lost is lost, and the bytes are the same."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import (
    FIRST,
    JOIN,
    LINES,
    MASTER,
    STORE,
    WORKER,
    HostProcess,
    Hosts,
    expected_parts,
    until,
)
from pymr.core.events import AttemptFailed, AttemptLost, RunResumed
from pymr.core.replay import attempt_first
from s3_request import Server

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

LEASE_S = 15.0
NOTICED_S = 60.0  # within so much time a lease has ended, on a machine that is busy


@pytest.fixture
def hosts(tmp_path: Path, minio: Server) -> Iterator[Hosts]:
    with Hosts(tmp_path, minio) as running:
        yield running


def begun(
    hosts: Hosts, *arguments: str, wait: str = "60s"
) -> tuple[HostProcess, HostProcess, HostProcess]:
    """Start a run; `w1` holds two of its four map tasks, `w2` one. No backup can be due."""
    hosts.hold(*FIRST)
    master = hosts.start(*arguments, workers=2)
    w1, w2 = hosts.worker("w1", f"--master-wait={wait}", slots=2), hosts.worker("w2")
    assert sorted(hosts.came(3).values()) == ["w1", "w1", "w2"]
    return master, w1, w2


def of(hosts: Hosts, host: str) -> list[str]:
    """Return the places that a host has come to."""
    return [place for place, who in hosts.came().items() if who == host]


def tasks_of(hosts: Hosts, host: str) -> list[str]:
    """Return the map tasks whose first line a host has come to."""
    return [f"map-{FIRST.index(place):04}" for place in of(hosts, host)]


def ended_well(hosts: Hosts, *processes: HostProcess) -> None:
    """Assert that all have ended with exit code 0, and the output is the oracle's."""
    for process in processes:
        assert process.ended(NOTICED_S) == 0, hosts.told()
    hosts.assert_whole()


def test_a_run_on_three_hosts(hosts: Hosts) -> None:
    """The master on one, two workers on others, the store on a fourth: all know their names."""
    master, *workers = begun(hosts)
    master.wait_for("All workers connected")
    hosts.release(*FIRST)

    ended_well(hosts, master, *workers)


def test_f24_a_worker_cut_off_from_the_master_publishes_nothing(hosts: Hosts) -> None:
    """It reaches the store, and finishes its objects; the tasks are another's after its leases.

    It gives up when the master has not answered for as long as it was told to wait.
    """
    master, cut, other = begun(hosts, wait="5s")
    its_own = tasks_of(hosts, "w1")
    hosts.networks.cut("w1", MASTER)
    hosts.release(*FIRST)

    assert cut.ended(NOTICED_S) == 8, hosts.told()
    assert "no master of run" in cut.said
    assert "pymr master" in cut.said
    ended_well(hosts, master, other)
    won = {str(attempt): attempt.number for attempt in hosts.committed()}
    assert hosts.happened(AttemptLost)
    assert 1 not in [won[task] for task in its_own], hosts.told()
    assert "no sign of worker `w1-" in master.said


def test_f24_f28_reports_that_come_after_another_attempt_has_won_are_stale(hosts: Hosts) -> None:
    """A worker that was cut off comes back with what others have done meanwhile, and goes on."""
    master, cut, other = begun(hosts)
    late = tasks_of(hosts, "w1")
    hosts.networks.cut("w1", MASTER)
    keys = [f"key-{part.partition(chr(9))[0]}" for part in expected_parts("".join(LINES))]
    hosts.hold(*keys)  # One of each reduce task: for the second one there is but the late worker.
    hosts.release(*FIRST)
    until(lambda: set(keys) & set(hosts.came()), "a first reduce task", NOTICED_S)
    hosts.networks.heal()
    for key in keys:
        hosts.held(key)
    hosts.release(*keys)

    ended_well(hosts, master, cut, other)
    won = {str(attempt): attempt.number for attempt in hosts.committed()}
    assert [won[task] for task in late] == [2, 2]


def test_f25_a_worker_cut_off_from_the_store_hands_its_tasks_back(hosts: Hosts) -> None:
    """It reaches the master, says what is wrong, and others do its tasks."""
    master, cut, other = begun(hosts, "--storage-wait=3s")
    hosts.networks.cut("w1", STORE)
    hosts.release(*FIRST)

    ended_well(hosts, master, cut, other)
    told = [event.error["message"] for event in hosts.happened(AttemptLost)]
    assert told
    assert all(each.startswith("worker `w1-") for each in told), told
    assert re.search(
        r"lost: worker `w1-\w+`: s3://\S+ at \S+: the store does not answer", master.said
    )
    assert hosts.happened(AttemptFailed) == []


def test_f26_f30_verdicts_that_get_lost_are_given_again(hosts: Hosts) -> None:
    """What the worker says arrives, what it is told does not; then its connection breaks."""
    master, deaf, other = begun(hosts)
    hosts.networks.drop(MASTER, "w1")
    hosts.release(*of(hosts, "w1"))
    until(lambda: len(hosts.committed()) == 2, "commits of the deaf one")
    hosts.networks.reset("w1", MASTER)
    hosts.networks.heal()
    hosts.release(*FIRST)

    ended_well(hosts, master, deaf, other)
    assert hosts.happened(AttemptLost, AttemptFailed) == []
    assert len(set(hosts.committed())) == len(hosts.committed())


def test_f29_what_was_begun_for_an_earlier_master_counts_if_its_task_is_open(hosts: Hosts) -> None:
    """Workers keep their attempts while there is no master, and report them to the next one."""
    master, *workers = begun(hosts)
    until(lambda: hosts.happened(RunResumed), "the first master's history")
    master.kill()
    hosts.release(*FIRST)
    second = hosts.resume()

    ended_well(hosts, second, *workers)
    assert [event.epoch for event in hosts.happened(RunResumed)] == [1, 2]
    of_first = [each for each in hosts.committed() if each.number < attempt_first(2)]
    assert len(of_first) >= 3, hosts.committed()
    assert hosts.happened(AttemptLost, AttemptFailed) == []


def test_f31_tasks_and_receipts_that_are_larger_than_a_message_travel_as_objects(
    hosts: Hosts,
) -> None:
    """A map task of hundreds of files with long names; counters that are as many as may be."""
    here = hosts.host(MASTER).folder
    folder = here.joinpath(*["d" * 250] * 12)
    folder.mkdir(parents=True)
    for number, line in enumerate(LINES * 8):
        (folder / f"{'n' * 200}-{number:03}").write_text(line)
    counting = "    for n in range(1000):\n        ctx.count(f'{n:01100}')\n"
    worker = WORKER.replace("    for word in words:", f"{counting}    for word in words:")
    inputs = f"--input={folder.relative_to(here)}"
    master = hosts.start(inputs, "--mappers=1", files={"worker.py": worker})
    worker = hosts.worker("w1")

    assert master.ended(NOTICED_S) == 0, hosts.told()
    assert worker.ended() == 0, hosts.told()
    hosts.assert_whole(expected_parts("".join(LINES * 8)))


def test_f32_a_worker_whose_connection_is_cut_keeps_its_tasks(hosts: Hosts) -> None:
    """It dials anew, and goes on with what it holds: no attempt is lost."""
    master, cut, other = begun(hosts)
    for _ in range(2):
        hosts.networks.reset("w1", MASTER)
        threading.Event().wait(2.0)  # Heartbeats come that often.
        hosts.networks.heal()
    hosts.release(*FIRST)

    ended_well(hosts, master, cut, other)
    assert hosts.happened(AttemptLost, AttemptFailed) == []


def test_f33_a_master_that_stood_still_takes_no_lease_away(hosts: Hosts) -> None:
    """For longer than a lease nobody could renew one; nothing is lost for that."""
    master, *workers = begun(hosts)
    master.send_signal(signal.SIGSTOP)
    threading.Event().wait(LEASE_S + 2)
    master.send_signal(signal.SIGCONT)
    master.wait_for(r"warning: this master stood still for 1\d\.\d s")
    hosts.release(*FIRST)

    ended_well(hosts, master, *workers)
    assert hosts.happened(AttemptLost, AttemptFailed) == []


def stored(hosts: Hosts, part: str) -> list[str]:
    """Return the keys of the run in the store with a part in them."""
    return sorted(entry.key for entry in hosts.objects.list("_pymr") if part in entry.key)


def test_f68_a_master_without_its_store_decides_nothing(hosts: Hosts) -> None:
    """What workers report meanwhile waits with its lease; then it counts, and nothing is lost."""
    key = f"key-{expected_parts(''.join(LINES))[0].partition(chr(9))[0]}"
    master, *workers = begun(hosts)
    hosts.hold(key)
    decided = stored(hosts, "/journal/")
    hosts.networks.cut(MASTER, STORE)
    hosts.release(*FIRST)
    until(lambda: len(stored(hosts, "/map-")) == 4, "all map outputs", NOTICED_S)
    master.wait_for(r"warning: s3://\S+ at \S+ does not answer since", NOTICED_S)
    threading.Event().wait(LEASE_S + 2)

    assert stored(hosts, "/journal/") == decided
    assert key not in hosts.came(), "nobody was granted a reduce task"
    hosts.release(key)
    hosts.networks.heal()
    ended_well(hosts, master, *workers)
    assert hosts.happened(AttemptLost, AttemptFailed) == []
    assert len(hosts.committed()) == 6


def test_f34_names_that_nobody_knows_for_a_while_are_looked_up_again(hosts: Hosts) -> None:
    """Those of the master and the store: before a worker joins, and when it dials anew."""
    hosts.endpoint = hosts.endpoint.replace(hosts.networks.address(STORE), STORE)
    for name in (MASTER, "w1"):
        hosts.host(name)
    hosts.networks.tell_names(MASTER, MASTER, STORE)
    hosts.hold(FIRST[0])
    master = hosts.start("--listen=master:0")
    worker = hosts.worker("w1")
    worker.wait_for(r"WARNING the master at `master:\d+` did not answer")
    hosts.networks.tell_names("w1", MASTER, STORE)
    hosts.held(FIRST[0])

    hosts.networks.tell_names("w1")
    for end in (MASTER, STORE):
        hosts.networks.reset("w1", end)
    hosts.release(FIRST[0])
    worker.wait_for(r"(?s)answers again.*did not answer")
    hosts.networks.heal()
    threading.Event().wait(2.0)  # The way is open, and nobody knows where it leads.
    assert len(hosts.committed()) == 0
    hosts.networks.tell_names("w1", MASTER, STORE)

    ended_well(hosts, master, worker)
    assert hosts.happened(AttemptLost, AttemptFailed) == []


def test_f35_intruders_do_not_disturb_a_run(hosts: Hosts) -> None:
    """Noise without a certificate, a token of nobody: refused, and the latter is told."""
    master, *workers = begun(hosts)
    path = hosts.host(MASTER).folder / JOIN
    join = json.loads(path.read_text())
    host, _, port = join["addresses"][0].rpartition(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 70_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with hosts.networks.inside(lambda: socket.create_connection((host, port))) as intruder:
            intruder.sendall(noise)
    path.write_text(json.dumps(join | {"token": "0" * len(join["token"])}))
    stranger = hosts.worker("w3")

    assert stranger.ended() == 8
    assert "is not that of a worker of this run" in stranger.said
    master.wait_for("refused .*10.77.0.5.*the token")
    hosts.release(*FIRST)
    ended_well(hosts, master, *workers)
