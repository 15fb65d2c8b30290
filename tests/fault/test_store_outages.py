"""Runs on hosts whose store fails, is away, or loses what it had."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import Fault
from hosts import LINES, MASTER, SAYS_JOIN, HostProcess, Hosts, expected_parts, until
from private_mounts import needs_mounts
from pymr.core.events import AttemptFailed, AttemptLost, RunResumed, TaskInvalidated, TaskKept
from pymr.store.access import open_store
from s3_request import Server
from services import Minio, access_to, small_minio

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

OUTAGE_S = 3.0
HANGS_S = 15.0
LAST = "line31"  # a worker with one slot comes there when it has done three map tasks
LAST_KEY = f"key-{expected_parts(''.join(LINES))[-1].partition(chr(9))[0]}"  # … of the reduce tasks
SLOWLY_S = 60.0  # for what takes its time on a machine that is busy


@pytest.fixture
def hosts(tmp_path: Path, minio: Server) -> Iterator[Hosts]:
    with Hosts(tmp_path, minio, namespaces=False) as running:
        yield running


def ended_well(hosts: Hosts, *processes: HostProcess) -> None:
    """Assert that all have ended well, the output is the oracle's, and no attempt was charged."""
    for process in processes:
        assert process.ended(SLOWLY_S) == 0, hosts.told()
    hosts.assert_whole()
    assert hosts.happened(AttemptFailed, AttemptLost) == []


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
def test_f36_a_tenth_of_all_requests_of_a_run_may_fail(
    hosts: Hosts, status: int, code: str
) -> None:
    """Those of the start, of the master, of the workers: no task fails for it."""
    fault = hosts.proxy.break_(Fault("status", share=0.1, status=status, code=code))
    master = hosts.start(workers=2)
    workers = [hosts.worker("w1"), hosts.worker("w2")]

    ended_well(hosts, master, *workers)
    assert fault.hits


@pytest.mark.parametrize("place", ["line17", "key-even"])
def test_f37_an_outage_of_the_store_is_waited_for(hosts: Hosts, place: str) -> None:
    """In the map phase, in the reduce phase."""
    hosts.hold(place)
    master = hosts.start(workers=2)
    workers = [hosts.worker("w1"), hosts.worker("w2")]
    hosts.held(place)
    fault = hosts.proxy.break_(Fault("cut"))
    hosts.release(place)
    threading.Event().wait(OUTAGE_S)
    hosts.proxy.heal()

    ended_well(hosts, master, *workers)
    assert fault.hits


def test_f37_who_waits_for_the_store_says_since_when(hosts: Hosts) -> None:
    """Master and worker, in feed and status; user code is not taken for what hangs meanwhile."""
    away = r"s3://\S+ at http\S+ does not answer since \d\d:\d\d:\d\d UTC"
    hosts.hold(LAST)
    master = hosts.start(f"--task-timeout={HANGS_S:g}s")
    worker = hosts.worker("w1")
    hosts.held(LAST)
    until(lambda: len(hosts.committed()) == 3, "three commits")
    began = time.monotonic()
    hosts.proxy.break_(Fault("cut"))
    hosts.release(LAST)
    master.wait_for(rf"(?m)warning: {away}")
    master.wait_for(rf"(?m)warning: worker `\S+`: {away}")
    worker.wait_for(rf"(?m)^WARNING {away}")
    status = hosts.run(MASTER, "status", "words", **hosts.with_keys())
    assert status.ended(SLOWLY_S) == 0, status.said
    assert re.search(rf"worker `\S+`: {away}", status.said), status.said
    until(lambda: time.monotonic() > began + HANGS_S + 5.0, "a hang")
    hosts.proxy.heal()

    ended_well(hosts, master, worker)
    assert re.search(r"warning: s3://\S+ at http\S+ answers again, after \d\d s", master.said)
    live = master.said.partition("Map reduce completed")[0]
    assert live.count("does not answer since") == 2, "each says it once"


@pytest.mark.parametrize(
    ("method", "target"),
    [("PUT", "/inputs/"), ("GET", "/code/"), ("PUT", "/_pymr/MANIFEST"), ("PUT", "/part-0000")],
)
def test_f37_an_outage_that_begins_with_some_object_is_waited_for(
    hosts: Hosts, method: str, target: str
) -> None:
    """At the start, when workers load the code, when the run is published, when it is shown."""
    first = hosts.proxy.break_(Fault("cut", method=method, target=target))

    def end_all() -> None:
        until(lambda: first.hits, target, SLOWLY_S)
        hosts.proxy.break_(Fault("cut"))
        threading.Event().wait(OUTAGE_S)
        hosts.proxy.heal()

    outage = threading.Thread(target=end_all)
    outage.start()
    master = hosts.start(workers=2)
    workers = [hosts.worker("w1"), hosts.worker("w2")]

    ended_well(hosts, master, *workers)
    outage.join()


def test_f38_a_run_whose_store_stays_away_parks(hosts: Hosts) -> None:
    """Exit 5 with the endpoint and the next command; a resume goes on from what was committed."""
    hosts.hold(LAST)
    master = hosts.start("--storage-wait=4s")
    worker = hosts.worker("w1")
    hosts.held(LAST)
    until(lambda: len(hosts.committed()) == 3, "three commits")
    hosts.proxy.break_(Fault("cut"))
    hosts.release(LAST)

    assert master.ended(SLOWLY_S) == 5, hosts.told()
    assert worker.ended(SLOWLY_S) == 0, hosts.told()
    assert f"{hosts.proxy.endpoint}: the store does not answer (`IncompleteMessage`)" in master.said
    assert "3 of 4 map tasks are finished and kept; to go on:   pymr resume words" in master.said
    assert "--storage-wait TIME   waits longer" in master.said
    assert "Traceback" not in hosts.told()
    hosts.proxy.heal()
    hosts.assert_nothing()

    resumed = hosts.resume()
    resumed.wait_for(SAYS_JOIN)
    other = hosts.worker("w2")
    assert resumed.ended(SLOWLY_S) == 0, hosts.told()
    assert other.ended() == 0, hosts.told()
    assert len(hosts.happened(TaskKept)) == 3
    hosts.assert_whole()


def test_f38_a_store_that_goes_away_at_publication_parks_the_run(hosts: Hosts) -> None:
    """All tasks are kept; a resume publishes, and runs nothing again."""
    first = hosts.proxy.break_(Fault("cut", method="PUT", target="/_pymr/MANIFEST"))
    master = hosts.start("--storage-wait=4s")
    worker = hosts.worker("w1")
    until(lambda: first.hits, "the manifest", SLOWLY_S)
    hosts.proxy.break_(Fault("cut"))

    assert master.ended(SLOWLY_S) == 5, hosts.told()
    assert worker.ended() == 0, hosts.told()
    assert "4 of 4 map tasks and 2 of 2 reduce tasks are finished and kept" in master.said
    assert "Traceback" not in hosts.told()
    hosts.proxy.heal()
    hosts.assert_nothing()

    resumed = hosts.resume()
    assert resumed.ended(SLOWLY_S) == 0, hosts.told()
    hosts.assert_whole()


def test_f45_an_input_that_changes_after_the_plan_ends_the_run(hosts: Hosts) -> None:
    """Exit 3 with its address; nothing is published."""
    source = open_store(hosts.address, access_to(hosts.server))
    source.replace("in/a.txt", "".join(LINES).encode())
    master = hosts.start(f"--input={hosts.address}/in/a.txt", workers=2)
    source.replace("in/a.txt", "".join(LINES).upper().encode())
    workers = [hosts.worker("w1"), hosts.worker("w2")]

    assert master.ended() == 3, hosts.told()
    for worker in workers:
        assert worker.ended() == 0, hosts.told()
        assert "the run has ended: input changed" in worker.said
    assert f"input changed: `{hosts.address}/in/a.txt`: it was replaced (ETag" in master.said
    assert "nothing was published" in master.said
    hosts.assert_nothing()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Minio]:
    """Give a MinIO of the test alone, which it can kill."""
    (tmp_path / "minio").mkdir()
    running = Minio(tmp_path / "minio")
    running.start()
    yield running
    running.kill()


def lose(own: Minio, *parts: str) -> int:
    """Kill the store, have it lose all objects with those parts in their keys, and start it."""
    own.kill()
    lost = [path for path in own.data.rglob("xl.meta") if all(p in str(path) for p in parts)]
    for path in lost:
        shutil.rmtree(path.parent)
    own.start()
    return len(lost)


def test_f53_map_outputs_that_a_killed_store_has_lost_are_made_again(
    tmp_path: Path, own: Minio
) -> None:
    """They were committed; reduce tasks find that they are gone, and the map tasks run again."""
    with Hosts(tmp_path, own.server, namespaces=False) as hosts:
        hosts.hold(LAST)
        master = hosts.start()
        worker = hosts.worker("w1")
        hosts.held(LAST)
        until(lambda: len(hosts.committed()) == 3, "three commits")
        assert lose(own, "/map-00001-") == 1
        hosts.release(LAST)

        assert master.ended(SLOWLY_S) == 0, hosts.told()
        assert worker.ended() == 0, hosts.told()
        hosts.assert_whole()
        again = [event.receipt.attempt.task for event in hosts.happened(TaskInvalidated)]
        assert again == [1], hosts.told()


def test_f53_parts_that_a_killed_store_has_lost_are_made_again_at_publication(
    tmp_path: Path, own: Minio
) -> None:
    """By the workers that are there; what is missing, and that alone."""
    with Hosts(tmp_path, own.server, namespaces=False) as hosts:
        hosts.hold(LAST_KEY)
        master = hosts.start()
        worker = hosts.worker("w1")
        hosts.held(LAST_KEY)
        until(lambda: len(hosts.committed()) == 5, "five commits")
        assert lose(own, "/reduce-") == 1
        hosts.release(LAST_KEY)

        assert master.ended(SLOWLY_S) == 0, hosts.told()
        assert worker.ended(SLOWLY_S) == 0, hosts.told()
        assert re.search(r"object `\S+/reduce-0000\S+` is missing", master.said)
        assert len(hosts.happened(TaskKept)) == 5
        assert [each.epoch for each in hosts.happened(RunResumed)] == [1, 2]
        hosts.assert_whole()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Minio]:
    """Give a MinIO on a small disk of its own."""
    with small_minio(tmp_path) as running:
        yield running


@needs_mounts
@pytest.mark.parametrize(
    ("place", "before", "kept"),
    [(LAST, 3, "3 of 4 map tasks"), (LAST_KEY, 5, "4 of 4 map tasks and 1 of 2 reduce tasks")],
)
def test_f54_a_run_whose_store_is_full_parks(
    tmp_path: Path, small: Minio, place: str, before: int, kept: str
) -> None:
    """Exit 6 at the first word of it, with what to do; with room again it goes on from there."""
    with Hosts(tmp_path, small.server, namespaces=False, direct=True) as hosts:
        hosts.hold(place)
        master = hosts.start()
        worker = hosts.worker("w1")
        hosts.held(place)
        until(lambda: len(hosts.committed()) == before, "commits")
        small.fill()
        hosts.release(place)

        assert master.ended(SLOWLY_S) == 6, hosts.told()
        assert worker.ended(SLOWLY_S) == 0, hosts.told()
        assert "the store has no room left (`XMinioStorageFull`" in master.said
        assert f"{kept} are finished and kept; to go on:   pymr resume words" in master.said
        assert "tried again" not in master.said, "it is nobody's fault, and no other's chance"
        assert "Traceback" not in hosts.told()
        hosts.assert_nothing()

        small.make_room()
        resumed = hosts.resume()
        resumed.wait_for(SAYS_JOIN)
        hosts.worker("w2")
        assert resumed.ended(SLOWLY_S) == 0, hosts.told()
        assert len(hosts.happened(TaskKept)) == before
        hosts.assert_whole()
