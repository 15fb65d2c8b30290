"""Runs on hosts whose networks break: what is lost is lost, and the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import FIRST, MASTER, Hosts
from s3_request import Server

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

LEASE_S = 15.0
NOTICED_S = 60.0  # within so much time a lease has ended, on a machine that is busy


@pytest.fixture
def hosts(tmp_path: Path, minio: Server) -> Iterator[Hosts]:
    with Hosts(tmp_path, minio) as running:
        yield running


def test_a_run_on_three_hosts(hosts: Hosts) -> None:
    """The master on one, two workers on others, the store on a fourth: all know their names."""
    hosts.hold("line17")
    master = hosts.start(workers=2)
    workers = [hosts.worker("w1"), hosts.worker("w2")]
    master.wait_for("All workers connected")
    assert hosts.held("line17") in ("w1", "w2")
    hosts.release("line17")

    assert master.ended() == 0, master.said
    assert [worker.ended() for worker in workers] == [0, 0], hosts.told()
    hosts.assert_whole()


def test_f24_a_worker_cut_off_from_the_master_publishes_nothing(hosts: Hosts) -> None:
    """It reaches the store, and finishes its object; the task is another's when its lease is over.

    It gives up when the master does not answer for as long as it was told to wait.
    """
    hosts.hold(*FIRST)
    master = hosts.start(workers=2)
    cut, other = hosts.worker("w1", "--master-wait=30s", slots=2), hosts.worker("w2")
    hosts.came(3)
    hosts.networks.cut("w1", MASTER)
    hosts.release(*FIRST)

    assert master.ended(NOTICED_S) == 0, master.said
    assert other.ended() == 0, hosts.told()
    assert cut.ended(NOTICED_S) == 8, hosts.told()
    hosts.assert_whole()
