"""Runs on hosts whose networks break: what is lost is lost, and the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import Hosts
from s3_request import Server

pytestmark = pytest.mark.services


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
