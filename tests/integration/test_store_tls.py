"""A store that speaks TLS, with a certificate by an authority of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import HostsRun
from pymr.cluster.certificate import new_authority
from s3_request import Server, send
from services import Minio
from stopped_run import undisturbed

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Minio(tmp_path_factory.mktemp("tls"), authority=new_authority("of the user"))
    running.start()
    try:
        yield running.server
    finally:
        running.kill()


@pytest.fixture
def hosts(tmp_path: Path, server: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, server) as run:
        yield run


def test_a_run_on_hosts_trusts_whom_its_user_trusts(hosts: HostsRun, tmp_path: Path) -> None:
    """Workers have it from their master: their own surroundings do not say."""
    master = hosts.start()
    del hosts.cli.environ["AWS_CA_BUNDLE"]
    worker = hosts.worker()

    assert (master.ends(), worker.ends()) == (0, 0), master.said + worker.said
    hosts.cli.environ["AWS_CA_BUNDLE"] = "authority.pem"
    assert hosts.rows() == undisturbed(tmp_path)
    assert hosts.cli.run("verify", hosts.output).code == 0


def test_whatever_is_asked_of_the_store_is_asked_in_trust(hosts: HostsRun, server: Server) -> None:
    """Its clock, what it lists, uploads that were begun."""
    send(server, "PUT", f"/{hosts.bucket}/logs/day.txt", body=b"a b\n")
    looked = hosts.cli.run("doctor", f"--store=s3://{hosts.bucket}", "--json")
    logs = f"--input=s3://{hosts.bucket}/logs/*"
    counted = hosts.cli.run("start", logs, f"--output={hosts.output}", "worker.py")
    collected = hosts.cli.run("gc", hosts.output)

    found = {each["name"]: each for each in json.loads(looked.stdout)["findings"]}
    assert looked.code == 0, looked.stdout
    assert found["clock"]["text"].startswith("the same as here")
    assert (counted.code, collected.code) == (0, 0), counted.stderr + collected.stderr


@pytest.mark.parametrize("bundle", [None, "/etc/ssl/certs/ca-certificates.crt"])
def test_a_store_that_nobody_vouches_for_is_refused(hosts: HostsRun, bundle: str | None) -> None:
    """With the variable to set: an authority is not found out, but named."""
    hosts.cli.environ.pop("AWS_CA_BUNDLE")
    if bundle is not None:
        hosts.cli.environ["AWS_CA_BUNDLE"] = bundle

    refused = hosts.cli.run("start", "--input=in.txt", f"--output={hosts.output}", "worker.py")

    refused.refused(5, "certificate is not one for its name", "AWS_CA_BUNDLE=")
