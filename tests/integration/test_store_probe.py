"""`pymr doctor --store` on real stores, and on one that is made unsafe on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import services
from cli import CommandLine, Outcome
from flawed_stores import unconditional
from pymr.errors import StoreError
from pymr.store.access import Access, Address
from pymr.store.clock_offset import clock_offset_s
from pymr.store.object_store import open_objects
from pymr.store.safety import refuse_unsafe
from s3_request import Server

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def doctor(cli: CommandLine, server: Server, bucket: str, endpoint: str | None = None) -> Outcome:
    return cli.run(
        *("doctor", "--store", f"s3://{bucket}/a/b", "--endpoint", endpoint or server.endpoint),
        *("--region", server.region, "--json"),
        environ=keys(server),
    )


def keys(server: Server) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
    }


def found(outcome: Outcome) -> dict[str, dict[str, str]]:
    """Return what was found of the store, by name."""
    facts = json.loads(outcome.stdout)
    assert facts["exit_code"] == outcome.code
    return {each["name"]: each for each in facts["findings"] if each["area"] == "store"}


@pytest.mark.parametrize("name", ["minio", "ceph"])
def test_f50_f51_a_real_store_is_safe_and_is_left_as_it_was(
    cli: CommandLine, request: pytest.FixtureRequest, name: str
) -> None:
    """All that is tried is right; nothing of it stays."""
    server: Server = request.getfixturevalue(name)
    bucket = services.new_bucket(server)

    outcome = doctor(cli, server, bucket)

    assert outcome.code == 0, outcome.stdout
    traits = found(outcome)
    assert traits["verdict"]["text"].startswith("SAFE:")
    assert {trait["level"] for trait in traits.values()} == {"ok"}
    objects = open_objects(Address("s3", bucket, ""), services.access_to(server))
    assert list(objects.list("")) == []


@pytest.mark.parametrize("trait", ["create", "race to create"], ids=["f51", "f50"])
def test_f50_f51_a_store_that_does_not_keep_its_conditions_is_refused_before_any_work(
    cli: CommandLine,
    minio: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trait: str,
) -> None:
    """Whether always, or only when two come at once; but one master may be allowed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    address = Address("s3", services.new_bucket(minio), "out")
    with unconditional(minio, is_racy=trait != "create") as endpoint:
        outcome = doctor(cli, minio, address.bucket, endpoint)
        access = services.access_to(minio, endpoint=endpoint)
        objects = open_objects(address, access)
        with pytest.raises(StoreError, match=f"SAFE-SINGLE-MASTER: {trait}"):
            refuse_unsafe(objects, address, access)
        refuse_unsafe(objects, address, access, is_single_allowed=True)
        assert list(objects.list("")) == []

    assert outcome.code == 5
    assert found(outcome)[trait]["level"] == "broken"
    assert found(outcome)["verdict"]["text"].startswith("SAFE-SINGLE-MASTER")
    assert "--allow-unsafe-store" in found(outcome)["verdict"]["remedy"]


def test_a_store_that_cannot_be_used_is_told_with_its_remedy(
    cli: CommandLine, minio: Server
) -> None:
    """No bucket, wrong keys, nobody there, no address: exit 5 or 2, in words."""
    bucket = services.new_bucket(minio)

    no_bucket = doctor(cli, minio, "no-such-bucket")
    wrong_key = doctor(cli, minio._replace(secret_access_key="wrong" * 5), bucket)
    no_address = cli.run("doctor", "--store", "bucket")

    assert (no_bucket.code, wrong_key.code, no_address.code) == (5, 5, 2)
    assert "there is no bucket `no-such-bucket`" in found(no_bucket)["access"]["text"]
    assert found(no_bucket)["access"]["remedy"].startswith("aws ")
    assert found(wrong_key)["access"]["level"] == "broken"
    assert "such as `--store s3://bucket/prefix`" in no_address.stderr


def test_the_clock_of_a_store_is_known_without_keys(minio: Server) -> None:
    """Any answer has it, also a refusal; nobody there, and it is not known."""
    address = Address("s3", "bucket", "")
    offset_s = clock_offset_s(address, Access(endpoint=minio.endpoint))

    assert offset_s is not None
    assert abs(offset_s) < 60
    assert clock_offset_s(address, Access(endpoint="http://127.0.0.1:1")) is None
    assert clock_offset_s(address, Access(endpoint="https://127.0.0.1:1")) is None
    assert clock_offset_s(Address("gs", "bucket", ""), Access()) is None


def test_f50_f51_a_run_is_refused_on_a_store_that_is_not_safe_before_any_work(
    cli: CommandLine, minio: Server
) -> None:
    """Exit 5 before the worker file is loaded; the user may say that nobody else works there."""
    cli.write("worker.py", "raise SystemError('it was loaded')")
    cli.write("input.txt", "a\n")
    bucket = services.new_bucket(minio)
    output = ("--input", "input.txt", "--output", f"s3://{bucket}/out", "worker.py")
    with unconditional(minio, is_racy=True) as endpoint:
        flags = ("start", "--endpoint", endpoint, "--region", minio.region)
        refused = cli.run(*flags, *output, environ=keys(minio))
        allowed = cli.run(*flags, "--allow-unsafe-store", *output, environ=keys(minio))

    assert refused.code == 5, refused.stderr
    assert "SAFE-SINGLE-MASTER: race to create" in refused.stderr
    assert "--allow-unsafe-store" in refused.stderr
    assert allowed.code == 2, allowed.stderr
    assert "it was loaded" in allowed.stderr
