"""What is refused of a run on hosts: a store, a worker or a join file that is not as it must be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import COUNT_WORDS, CommandLine, Outcome
from cluster_stub import RunningMaster
from fault_proxy import Fault, FaultProxy
from hosts_run import HostsRun
from pymr.cluster.join import JoinFile, write_join_file
from s3_request import Server
from services import trust

# Python loads this when it starts; what stands in it is so from then on.
OTHER_VERSION = "import pymr\npymr.__version__ = '9.9.9'\n"
NO_EXTRA = "import sys\nsys.modules['grpc'] = None\nsys.modules['cryptography'] = None\n"


def joining(cli: CommandLine, join: JoinFile, *arguments: str, **run: Any) -> Outcome:
    """Have a worker join by this file."""
    path = cli.folder / "run.join"
    path.unlink(missing_ok=True)
    write_join_file(str(path), join)
    return cli.run("worker", "--join-file=run.join", "--slots=1", *arguments, **run)


def with_site(cli: CommandLine, program: str) -> dict[str, str]:
    """Return the environment of a Python that is as `program` makes it."""
    cli.write("site/sitecustomize.py", program)
    return {"PYTHONPATH": str(cli.folder / "site")}


def changed(join: JoinFile, **changes: object) -> JoinFile:
    """Return a join file that says something else."""
    return msgspec.structs.replace(join, **changes)


# -- workers and their join files ------------------------------------------------------------


def test_a_worker_of_another_version_is_refused_with_its_host(cli: CommandLine) -> None:
    """Before it has any work: both versions are named, and what to install."""
    with RunningMaster() as master:
        refused = joining(cli, master.join(), environ=with_site(cli, OTHER_VERSION))

    refused.refused(8, "has PyMR 9.9.9, protocol 1; expected", "pip install 'pymr[cluster]==")


def test_a_worker_with_a_wrong_token_is_refused(cli: CommandLine) -> None:
    """Its certificate alone is not enough; the token is not told."""
    with RunningMaster() as master:
        refused = joining(cli, changed(master.join(), token="guessed-token"))

    said = refused.refused(8, "the token of `127.0.0.1` is not that of a worker of this run")
    assert "guessed-token" not in said


def test_a_worker_with_a_certificate_of_another_run_is_refused(cli: CommandLine) -> None:
    """There is no connection, and so no answer of the master: it may be neither."""
    with RunningMaster() as master, RunningMaster() as other:
        refused = joining(cli, other.join("worker", master.address), "--master-wait=1s")

    refused.refused(8, f"`{master.address}`")


def test_an_operators_file_is_no_workers(cli: CommandLine) -> None:
    """Before anybody is asked."""
    with RunningMaster() as master:
        refused = joining(cli, master.join("operator"))

    refused.refused(2, "is for the operator of a run, expected a worker's")


def test_the_join_file_of_another_run_is_refused_by_name(cli: CommandLine) -> None:
    """Also where one authority has made both."""
    with RunningMaster() as master:
        refused = joining(cli, changed(master.join(), run="run-2"))

    refused.refused(8, "this is of run `run-2`, the master works on `run-1`")


def test_a_master_out_of_reach_is_waited_for_and_then_told_with_what_was_tried(
    cli: CommandLine,
) -> None:
    """Each address, and why it did not do."""
    with RunningMaster() as master:
        join = master.join("worker", "127.0.0.1:1", "127.0.0.2:1")

    refused = joining(cli, join, "--master-wait=3s")

    refused.refused(8, "answered within 3 s", "`127.0.0.1:1`", "`127.0.0.2:1`", "port is open")


def test_a_join_file_that_others_can_read_is_refused(cli: CommandLine) -> None:
    """Its secret is none any more."""
    with RunningMaster() as master:
        write_join_file(str(cli.folder / "run.join"), master.join())
    (cli.folder / "run.join").chmod(0o640)

    refused = cli.run("worker", "--join-file=run.join")

    refused.refused(2, "is not private: its mode is 0640, expected 0600", "chmod 600 run.join")


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00\xff", '{"v": 99}'])
def test_a_join_file_that_is_none_is_refused(cli: CommandLine, content: str) -> None:
    """Without a word of what stands in it."""
    cli.write("run.join", content).chmod(0o600)

    cli.run("worker", "--join-file=run.join").refused(2, "run.join")


@pytest.mark.parametrize(
    "command",
    [
        ("worker", "--join-file=run.join"),
        ("master", "spec.json"),
        ("start", "--on=hosts", "--input=in.txt", "worker.py"),
    ],
    ids=lambda command: command[0],
)
def test_without_the_extra_it_is_said_what_to_install(
    cli: CommandLine, command: tuple[str, ...]
) -> None:
    """Before anything else, the store included."""
    cli.write("in.txt", "a b\n")
    cli.write("worker.py", COUNT_WORDS)

    refused = cli.run(*command, environ=with_site(cli, NO_EXTRA))

    refused.refused(2, "not installed: grpc, cryptography", "pip install 'pymr[cluster]'")


# -- what is started -------------------------------------------------------------------------


def test_a_folder_is_no_output_of_a_run_on_hosts(cli: CommandLine) -> None:
    """Workers do not see it."""
    cli.write("in.txt", "a b\n")
    cli.write("worker.py", COUNT_WORDS)

    refused = cli.run("start", "--on=hosts", "--input=in.txt", "--output=out", "worker.py")

    refused.refused(2, "output `out` is a folder of this machine", "--store s3://bucket")


def test_a_join_file_without_a_folder_is_refused_before_any_work(cli: CommandLine) -> None:
    """Not after the inputs were uploaded."""
    cli.write("in.txt", "a b\n")
    cli.write("worker.py", COUNT_WORDS)

    refused = cli.run(
        "start", "--on=hosts", "--input=in.txt", "--join-file=no/run.join", "worker.py"
    )

    refused.refused(2, "join file `no/run.join` cannot be written", "mkdir -p")


@pytest.fixture
def hosts(tmp_path: Path, minio: Server) -> Any:
    with HostsRun(tmp_path, minio) as run:
        trust(minio, run.bucket, run.cli.home / "state")
        yield run


def begin(hosts: HostsRun, *arguments: str, environ: dict[str, str] | None = None) -> Outcome:
    """Start the run, which is refused."""
    where = f"--output={hosts.output}", f"--store=s3://{hosts.bucket}", "--join-file=run.join"
    command = "start", "--on=hosts", "--workers=1", "--input=in.txt", *where, *arguments
    return hosts.cli.run(*command, "worker.py", environ=environ or {})


@pytest.mark.services
@pytest.mark.parametrize(
    ("arguments", "environ", "parts"),
    [
        (
            ("--store=s3://no-such-place-here",),
            {},
            ("there is no bucket `no-such-place-here`", "s3 mb s3://no-such-place-here"),
        ),
        (
            ("--output=s3://no-such-place-here/out",),
            {},
            ("there is no bucket `no-such-place-here`", "s3 mb s3://no-such-place-here"),
        ),
        ((), {"AWS_ACCESS_KEY_ID": "nobody"}, ("does not know the access key",)),
        ((), {"AWS_SECRET_ACCESS_KEY": "wrong"}, ("secret key does not fit",)),
        (
            ("--endpoint=http://127.0.0.1:1",),
            {},
            ("http://127.0.0.1:1: the store does not answer",),
        ),
    ],
    ids=["store", "output", "key", "secret", "endpoint"],
)
def test_a_store_that_cannot_be_used_is_refused_before_any_work(
    hosts: HostsRun, arguments: tuple[str, ...], environ: dict[str, str], parts: tuple[str, ...]
) -> None:
    """No worker file is loaded, and no join file is written."""
    hosts.cli.write("worker.py", "open('loaded', 'w')\n" + COUNT_WORDS)

    begin(hosts, *arguments, environ=environ).refused(5, *parts)

    assert not (hosts.cli.folder / "loaded").exists()
    assert not (hosts.cli.folder / "run.join").exists()
    assert list(hosts.objects.list_names("")) == []


@pytest.mark.services
@pytest.mark.parametrize(
    ("refusal", "parts"),
    [
        (Fault("status", status=403, code="RequestTimeTooSkewed"), ("clocks", "set-ntp true")),
        (
            Fault(
                "status",
                status=400,
                code="AuthorizationHeaderMalformed",
                words="the region is wrong; expecting 'eu-west-9'",
            ),
            ("another region", "--region eu-west-9"),
        ),
    ],
    ids=["clock", "region"],
)
def test_a_wrong_clock_or_region_is_refused_before_any_work(
    hosts: HostsRun, minio: Server, refusal: Fault, parts: tuple[str, ...]
) -> None:
    """As stores answer that are strict about it."""
    with FaultProxy(minio.endpoint) as proxy:
        proxy.break_(refusal)

        begin(hosts, f"--endpoint={proxy.endpoint}").refused(5, *parts)


@pytest.mark.services
def test_one_input_object_of_many_that_is_denied_is_named(hosts: HostsRun, minio: Server) -> None:
    """Before any work, as all inputs are looked at."""
    for number in range(9):
        hosts.objects.put_if_absent(f"in/{number}", b"a b\n")
    hosts.cli.write("worker.py", COUNT_WORDS)
    with FaultProxy(minio.endpoint) as proxy:
        proxy.break_(Fault("status", target="/in/7", status=403, code="AccessDenied"))

        refused = hosts.cli.run(
            "start",
            "--on=hosts",
            f"--input={hosts.output}/in/*",
            f"--store=s3://{hosts.bucket}",
            f"--endpoint={proxy.endpoint}",
            "worker.py",
        )

    said = refused.refused(refused.code, "/in/7")
    assert refused.code in (3, 5)
    assert "/in/6" not in said


@pytest.mark.services
def test_a_package_that_a_worker_does_not_have_is_named_with_its_host(hosts: HostsRun) -> None:
    """The machine of the start has it; the run ends, since no worker can do it."""
    hosts.cli.write("packages/only_here.py", "")
    hosts.cli.write("worker.py", "import only_here\n" + COUNT_WORDS)
    hosts.cli.environ["PYTHONPATH"] = str(hosts.cli.folder / "packages")
    master = hosts.start()
    master.says("on the other machines:")
    del hosts.cli.environ["PYTHONPATH"]

    worker = hosts.worker()

    assert worker.ends() == 2, worker.said
    assert "only_here" in worker.said
    assert master.ends() == 8, master.said
    assert f"no worker can run the job: `{os.uname().nodename}`" in master.said
    assert "only_here" in master.said
    assert "worker.py:1 in <module>" in master.said
    assert "hint: mend that, then   pymr resume words" in master.said


@pytest.mark.services
def test_two_masters_at_one_port_are_told_apart(hosts: HostsRun) -> None:
    """The second says who is there, and what to do."""
    with RunningMaster() as other:
        refused = begin(hosts, f"--listen={other.address}")

    refused.refused(8, f"cannot listen at `{other.address}`: another process listens there")
