"""Runs in pods on a store that the user has: no MinIO is started, and this machine needs no port."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lightkube.resources.core_v1 import Namespace

from cli import CommandLine
from outside_store import outside_server
from pods_run import LINES, ROWS, SLOW, PodsRun
from pymr.cluster.certificate import new_authority
from pymr.errors import ClusterError
from pymr.kubernetes.credentials import Scope, scoped
from pymr.kubernetes.images.nodes import read_nodes
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.probe import image_for_probe
from pymr.store.access import Access, Address, parse_address
from pymr.store.object_store import open_objects
from real_cluster import kubectl, ours, until
from s3_request import Server
from services import access_to, new_bucket

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with outside_server() as server:
        yield server


@pytest.fixture
def store(pods: PodsRun, server: Server) -> str:
    """Have keys and address of a bucket in the usual variables of this machine; return its URL."""
    lend(pods.cli, access_to(server))
    pods.cli.environ["AWS_ENDPOINT_URL"] = server.endpoint
    return f"s3://{new_bucket(server)}/mine"


def lend(cli: CommandLine, keys: Access) -> None:
    """Put keys into the variables that commands read."""
    named = {
        "AWS_ACCESS_KEY_ID": keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        "AWS_SESSION_TOKEN": keys.session_token,
    }
    cli.environ |= {name: value for name, value in named.items() if value is not None}


def keys_in(kube: Kube) -> str:
    """Return all that the Secrets of the namespace hold, as text."""
    secrets = json.loads(kubectl(kube, "get", "secrets", "-o", "json"))["items"]
    values = [value for secret in secrets for value in secret.get("data", {}).values()]
    return "\n".join(base64.b64decode(value).decode() for value in values)


def test_a_store_that_is_named_takes_the_place_of_ours(
    pods: PodsRun, server: Server, store: str
) -> None:
    """Pods have keys of this run, and the policy the store's port; nothing of it stays."""
    mine = (f"--store={store}", f"--endpoint={server.endpoint}", "--workers=1")
    del pods.cli.environ["AWS_ENDPOINT_URL"]  # The flag is enough, and is remembered.

    pods.ended(pods.start(*mine, "--detach", worker=SLOW, name="mine"))
    pods.until_it_maps("mine")
    status = json.loads(pods.cli.run("status", "mine", "--json").stdout)
    made, held = ours(pods.kube), keys_in(pods.kube)
    policies = kubectl(pods.kube, "get", "networkpolicies", "-o", "json")
    said = pods.ended(pods.run("attach", "mine"))

    assert [each for each in made if "minio" in each] == []
    assert "aws_session_token" in held
    assert server.secret_access_key not in held
    assert f'"port": {server.endpoint.rpartition(":")[2]},' in policies
    assert status["state"] == "running"
    assert f"{store}/outputs/mine" in said
    assert pods.rows("mine") == ROWS
    assert len(pods.cli.run("head", "mine", "-n3").stdout.splitlines()) == 3
    assert pods.cli.run("verify", "mine").code == 0
    assert "Map reduce completed" in pods.cli.run("logs", "mine").stdout
    until("something of it stays", lambda: not ours(pods.kube))


def test_a_run_on_it_is_resumed_from_another_machine(
    pods: PodsRun, tmp_path: Path, server: Server, store: str
) -> None:
    """Which finds it by its address; the input was in the store before."""
    address = parse_address(store)
    bucket = open_objects(Address(address.scheme, address.bucket, ""), access_to(server))
    bucket.replace("logs/day 1.txt", "".join(LINES).encode())
    pods.cli.write("worker.py", SLOW)
    told = ("start", "--on=kubernetes", "--name=moved", f"--store={store}", "--workers=1")
    inputs = (f"--input=s3://{address.bucket}/logs/*", "--mappers=8", "--detach")
    pods.ended(pods.run(*told, *inputs, "worker.py"))
    pods.until_it_maps("moved")
    kubectl(pods.kube, "delete", "job", "-l", "pymr.dev/job=moved", "--wait")
    (tmp_path / "other").mkdir()
    other = PodsRun(pods.kube, tmp_path / "other")
    other.cli.environ |= {n: v for n, v in pods.cli.environ.items() if n.startswith("AWS_")}

    other.ended(other.run("resume", f"{store}/outputs/moved"))

    assert pods.rows("moved") == ROWS
    resumed = [each for each in pods.history("moved") if each["kind"] == "RunResumed"]
    assert resumed[-1]["epoch"] >= 2
    until("something of it stays", lambda: not ours(pods.kube))


def test_doctor_tries_the_store_from_here_and_from_a_pod(
    pods: PodsRun, server: Server, store: str
) -> None:
    """It is safe, and pods reach it; rights for a MinIO of ours are not asked for."""
    until("nodes list what they have", lambda: image_for_probe(read_nodes(pods.kube)), 120.0)

    looked = pods.cli.run("doctor", "--on=kubernetes", f"--store={store}", "--json")

    found = {each["name"]: each for each in json.loads(looked.stdout)["findings"]}
    assert looked.code == 0, looked.stdout
    assert found["verdict"]["text"].startswith("SAFE")
    assert found["storage"]["text"] == f"{store} is used, and no MinIO of the namespace"
    assert found["reach"]["level"] == "ok", found["reach"]
    assert urlsplit(server.endpoint).netloc in found["reach"]["text"]
    assert "policies" not in found


def test_a_store_whose_certificate_is_by_an_own_authority(pods: PodsRun) -> None:
    """Pods trust whom this machine trusts; a pod that only tries the store does so, too."""
    with outside_server(new_authority("of the user")) as server:
        pods.cli.write("authority.pem", server.root_certificates or "")
        lend(pods.cli, access_to(server))
        pods.cli.environ["AWS_CA_BUNDLE"] = str(pods.cli.folder / "authority.pem")
        store = (f"--store=s3://{new_bucket(server)}", f"--endpoint={server.endpoint}")

        pods.ended(pods.start(*store, "--workers=1", name="trusting"), "Map reduce completed")
        rows = pods.rows("trusting")
        looked = pods.cli.run("doctor", "--on=kubernetes", *store, "--json")

    found = {each["name"]: each for each in json.loads(looked.stdout)["findings"]}
    assert rows == ROWS
    assert found["reach"]["level"] == "ok", found["reach"]


def test_a_store_that_makes_no_keys_gets_those_of_the_user(pods: PodsRun, server: Server) -> None:
    """Who are told that their own go to the pods: here such that end by themselves."""
    bucket = new_bucket(server)
    scope = Scope("01890a5d-ac96-774b-bcce-b302099a8057", f"s3://{bucket}")
    lend(pods.cli, scoped(access_to(server), "master", scope, valid_s=3600))
    store = (f"--store=s3://{bucket}", f"--endpoint={server.endpoint}", "--region=eu-west-1")

    said = pods.ended(pods.start(*store, "--workers=1", "--detach", worker=SLOW, name="lent"))
    pods.until_it_maps("lent")
    cancelled = pods.ended(pods.run("cancel", "lent"))

    assert "pods have your keys of the store, with all that they may do" in said
    assert "(it makes none for a run, `AccessDenied`)" in said
    assert "nothing of it is kept" in cancelled
    until("something of it stays", lambda: not ours(pods.kube))


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ((), {"AWS_SECRET_ACCESS_KEY": "wrong"}, ("does not fit", "AWS_SECRET_ACCESS_KEY=…")),
        (("--store=s3://no-such-bucket",), {}, ("there is no bucket", "s3 mb")),
        (("--endpoint=http://127.0.0.1:1",), {}, ("the store does not answer", "--endpoint URL")),
    ],
    ids=["keys", "bucket", "endpoint"],
)
def test_a_store_that_cannot_be_used_is_told_before_anything_is_made(
    pods: PodsRun,
    store: str,
    flags: tuple[str, ...],
    environ: dict[str, str],
    said: tuple[str, ...],
) -> None:
    """Not even the namespace."""
    pods.cli.environ |= {**environ, "PYMR_NAMESPACE": f"{pods.kube.namespace}-not"}

    pods.ended(pods.start(f"--store={store}", *flags), *said, code=5)

    with pytest.raises(ClusterError, match="not found"), pods.kube.asking("look"):
        pods.kube.client.get(Namespace, f"{pods.kube.namespace}-not")
