"""Who is not let in to the control plane, and that a run does not mind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster_stub import RunningMaster, request
from cluster_worker import WAIT_S, StubWorker, eventually
from pymr.cluster import message as m
from pymr.cluster import wire
from pymr.cluster.admission import bearer
from pymr.cluster.certificate import Identity, new_authority
from pymr.cluster.client import Client
from pymr.cluster.join import JoinFile, new_tokens, write_join_file
from pymr.cluster.transport import CLIENT_OPTIONS, client_credentials, grpc
from pymr.errors import PymrError, RefusedError, UnreachableError

TESTS = Path(__file__).parents[1]
CALL = f"/{wire.SERVICE}/"


@pytest.fixture
def master() -> Iterator[RunningMaster]:
    """Return a master whose worker goes on with its work, whatever a test does."""
    with RunningMaster() as running:
        worker = StubWorker(running.join())
        yield running
        worker.link.send(m.Ask(1, 0))
        worker.until(m.Grant)
        worker.link.close()
        assert running.stub.failures == []


def registered(join: JoinFile, run: str = "run-1", wait_s: float = WAIT_S) -> m.RegisterReply:
    """Register with a join file."""
    client = Client(join, wait_s=wait_s)
    try:
        return client.register(request(run))
    finally:
        client.close()


def changed(join: JoinFile, **fields: Any) -> JoinFile:
    """Return the join file with other fields."""
    return msgspec.structs.replace(join, **fields)


def with_identity(join: JoinFile, identity: Identity) -> JoinFile:
    """Return the join file with another certificate."""
    return changed(join, certificate=identity.certificate.decode(), key=identity.key.decode())


def raw(join: JoinFile, name: str, body: bytes, metadata: Any = None, **options: Any) -> Any:
    """Send bytes in a call of that name; return the code and the details of the answer."""
    credentials = client_credentials(join.authority.encode(), join.identity)
    more = [(key.replace("__", "."), value) for key, value in options.items()]
    with grpc.secure_channel(join.addresses[0], credentials, [*CLIENT_OPTIONS, *more]) as channel:
        sent = bearer(join.token) if metadata is None else metadata
        try:
            if name == "Lease":
                call = channel.stream_stream(CALL + name)(iter([body]), WAIT_S, sent)
                return list(call)
            return channel.unary_unary(CALL + name)(body, WAIT_S, sent)
        except grpc.RpcError as error:
            return error.code().name, error.details()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"token": "x"}, "token"),
        ({"token": ""}, "token"),
        ({"token": new_tokens().worker}, "token"),
    ],
)
def test_f35_a_wrong_token_is_refused_at_once(
    master: RunningMaster, change: dict[str, Any], what: str
) -> None:
    """That of another run too; exit 8, and nobody waits for it to become right."""
    with pytest.raises(RefusedError, match=f"the {what} of `127.0.0.1` is not that") as caught:
        registered(changed(master.join(), **change))

    assert caught.value.exit_code == 8
    eventually(lambda: len(master.stub.refusals) == 1)
    assert master.admission.refused == 1


def test_f35_a_role_has_its_own_calls(master: RunningMaster) -> None:
    """A worker cannot cancel, an operator not register; not with the other's token either."""
    worker, operator = master.join("worker"), master.join("operator")
    mixed = changed(worker, token=operator.token)

    with pytest.raises(RefusedError, match="certificate"):
        registered(operator)
    for join in (worker, mixed):
        client = Client(join, wait_s=WAIT_S)
        with pytest.raises(RefusedError, match="certificate"):
            client.cancel(m.CancelRequest("run-1"))
        with pytest.raises(RefusedError, match="certificate"):
            client.status(m.StatusRequest("run-1"))
        client.close()
    with pytest.raises(RefusedError, match="token"):
        registered(mixed)


def test_f35_a_certificate_of_another_run_is_refused(master: RunningMaster) -> None:
    """Of the same authority, even: the run stands in it."""
    other = new_authority("run-2")
    forged = changed(master.join(), run="run-2")
    same_authority = master.authority
    same_authority.run = "run-2"
    identity = same_authority.for_client("worker")
    same_authority.run = "run-1"

    with pytest.raises(RefusedError, match="certificate"):
        registered(with_identity(forged, identity))
    with pytest.raises(UnreachableError):
        registered(with_identity(master.join(), other.for_client("worker")), wait_s=0.5)


def test_f35_a_message_of_another_run_is_refused(master: RunningMaster) -> None:
    """A worker that was started with the wrong file learns which run this is."""
    with pytest.raises(RefusedError, match="of run `run-2`, the master works on `run-1`"):
        registered(master.join(), run="run-2")


def test_f35_a_master_of_another_authority_is_not_trusted(master: RunningMaster) -> None:
    """An old join file, or somebody who plays the master: told at once, with the reason."""
    strangers = new_authority("run-1").certificate.decode()

    with pytest.raises(RefusedError, match="is not that of this join file") as caught:
        registered(changed(master.join(), authority=strangers))

    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.message
    assert str(caught.value.hint).startswith("copy here the join file")


def test_f35_a_worker_cannot_play_the_master() -> None:
    """Its certificate is of the right authority, and not for serving."""
    with RunningMaster() as true_master:
        authority, tokens = true_master.authority, true_master.tokens
    false_master = RunningMaster(authority=authority, tokens=tokens)
    false_master.identity = authority.for_client("worker")
    with false_master, pytest.raises(RefusedError, match="CERTIFICATE_VERIFY_FAILED"):
        registered(false_master.join())


@pytest.mark.parametrize("days", [-8, 8])
def test_f35_a_certificate_that_is_not_of_now_is_refused(master: RunningMaster, days: int) -> None:
    """It has expired, or is not valid yet."""
    then = datetime.now(UTC) + timedelta(days=days)
    identity = master.authority.for_client("worker", now=then)

    with pytest.raises(UnreachableError, match=r"Socket closed|Connection reset"):
        registered(with_identity(master.join(), identity), wait_s=2.0)


def test_f16_a_certificate_from_a_clock_an_hour_ahead_is_accepted(master: RunningMaster) -> None:
    """As a worker sees it whose clock is an hour behind."""
    then = datetime.now(UTC) + timedelta(hours=1)

    assert registered(with_identity(master.join(), master.authority.for_client("worker", now=then)))


@pytest.mark.parametrize("kind", ["plain text", "one-sided TLS"])
def test_f35_without_a_certificate_there_is_no_connection(master: RunningMaster, kind: str) -> None:
    """Neither in plain text nor with TLS of one side only."""
    join = master.join()
    channel = (
        grpc.secure_channel(
            join.addresses[0],
            grpc.ssl_channel_credentials(join.authority.encode()),
            CLIENT_OPTIONS,
        )
        if kind == "one-sided TLS"
        else grpc.insecure_channel(join.addresses[0])
    )
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(CALL + "Register")(b"", WAIT_S, bearer(join.token))

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert master.stub.refusals == []


@pytest.mark.parametrize("name", ["Register", "Lease"])
def test_f35_malformed_bytes_are_refused(master: RunningMaster, name: str) -> None:
    """With a good certificate and token, even."""
    code, details = raw(master.join(), name, b"\xff\xff\xff")

    assert code == "INVALID_ARGUMENT"
    assert "a message of 3 bytes is no `" in details
    assert len(master.stub.refusals) == 1


def test_f35_nothing_of_a_stranger_is_parsed(master: RunningMaster) -> None:
    """The token is looked at first: bytes that would be refused are not even seen."""
    code, details = raw(master.join(), "Register", b"\xff\xff\xff", metadata=())

    assert (code, "token" in details) == ("PERMISSION_DENIED", True)


@pytest.mark.parametrize("name", ["Register", "Lease"])
def test_f35_a_message_over_the_limit_is_refused(master: RunningMaster, name: str) -> None:
    """Whatever is in it: it is not read to its end."""
    huge = b"\x00" * (2 << 20)

    code, details = raw(master.join(), name, huge, grpc__max_send_message_length=4 << 20)

    assert code == "RESOURCE_EXHAUSTED"
    assert "1048576" in details


def test_f35_huge_metadata_are_refused(master: RunningMaster) -> None:
    """8 KiB are room for a token and an error."""
    join = master.join()

    answer = raw(join, "Register", b"", metadata=(*bearer(join.token), ("x", "y" * 20_000)))

    assert answer[0] in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL")


@pytest.mark.parametrize("name", ["ServerReflectionInfo", "Drop"])
def test_f35_there_are_no_other_calls(master: RunningMaster, name: str) -> None:
    """No reflection, for one."""
    assert raw(master.join(), name, b"")[0] == "UNIMPLEMENTED"


def test_f35_many_wrong_tokens_shut_a_host_out_for_a_while(master: RunningMaster) -> None:
    """Then not even the right one is looked at; streams that are open go on."""
    join = master.join()
    for _ in range(10):
        raw(join, "Register", b"", metadata=bearer("x"))

    code, details = raw(join, "Register", b"")

    assert code == "PERMISSION_DENIED"
    assert "was refused 10 times within 60 s" in details


def test_a_secret_is_in_no_output_and_no_argument(tmp_path: Path, master: RunningMaster) -> None:
    """Neither token nor key nor what opens the store: not when refused, not when all is well."""
    join = master.join()
    wrong = changed(join, token=new_tokens().worker)
    printed = ""
    for name, each in (("good", join), ("bad", wrong)):
        path = str(tmp_path / name)
        write_join_file(path, each)
        started = subprocess.Popen(
            [sys.executable, str(TESTS / "cluster_worker.py"), path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS), "GRPC_VERBOSITY": "debug"},
        )
        assert started.stdout is not None
        for line in started.stdout:  # to its end, or until it holds a stream
            printed += line
            if line == "open\n":
                for what in ("cmdline", "environ"):
                    printed += Path(f"/proc/{started.pid}/{what}").read_text(errors="replace")
                started.kill()
        started.communicate()
    for error in master.stub.refusals:
        printed += f"{error} {error.fields}"

    secrets = [wrong.token, master.tokens.worker, master.tokens.operator, "canary-of-the-store"]
    secrets += join.key.splitlines()[1:-1]
    assert "open\n" in printed
    assert "RefusedError" in printed
    assert [secret for secret in secrets if secret in printed] == []


def test_an_error_knows_no_secret(master: RunningMaster) -> None:
    """Nor does its chain of causes, as a log would show it."""
    import traceback

    join = changed(master.join(), token="canary-token")

    with pytest.raises(PymrError) as caught:
        registered(join)

    text = "".join(traceback.format_exception(caught.value))
    assert "canary-token" not in text
    assert "PRIVATE" not in text
