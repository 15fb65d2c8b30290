"""No secret of a run on hosts is anywhere but in the files that are made for it."""

from __future__ import annotations

import json
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import Fault, FaultProxy
from hosts_run import HostsRun, Running, until
from pymr.store.access import Address
from pymr.store.object_store import open_objects
from s3_request import Server
from services import access_to, trust
from stopped_run import processes_of

pytestmark = pytest.mark.services
WAIT = """\
import os, select
open("there", "w").close()
while not os.path.exists("go"):
    select.select([], [], [], 0.02)
"""


class Canaries:
    """Secrets of one run, and everything in which they must not be."""

    def __init__(self, hosts: HostsRun, server: Server) -> None:
        self._hosts = hosts
        self._server = server
        self.of_environment = f"canary-{secrets.token_hex(16)}"
        hosts.cli.environ["PYMR_TEST_CANARY"] = self.of_environment

    def all(self) -> list[bytes]:
        """Return them: keys of the store, the environment, and what the join files hold."""
        found = [self._server.secret_access_key, self.of_environment]
        for path in self.files_of_secrets():
            held = json.loads(path.read_bytes())
            found += [held.get("token", ""), *held.get("tokens", {}).values()]
            for name in ("key", "authority_key"):  # PEM: a line of it is enough to find it.
                found += held.get(name, "").splitlines()[1:2]
        return [text.encode() for text in found if text]

    def files_of_secrets(self) -> list[Path]:
        """Return the files that are made for secrets."""
        kept = self._hosts.cli.home.glob("state/pymr/masters/*.json")
        return [
            path
            for path in (*kept, *self._hosts.cli.folder.glob("*.join"))
            if not path.name.endswith(".spec.json")
        ]

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that anybody may see: files, objects, arguments of processes."""
        cli = self._hosts.cli
        made = self.files_of_secrets()
        for folder in (cli.folder, cli.home, cli.temporary):
            for path in folder.rglob("*"):
                yield "a name", str(path).encode()
                if path.is_file() and path not in made:
                    yield str(path), path.read_bytes()
        objects = open_objects(Address("s3", self._hosts.bucket, ""), access_to(self._server))
        for entry in objects.list(""):
            yield "a key", entry.key.encode()
            yield entry.key, objects.get(entry.key)
        for process in processes_of(cli):
            arguments = Path("/proc", process, "cmdline")
            yield str(arguments), arguments.read_bytes()

    def are_nowhere(self) -> None:
        """Assert that they are where they must be, and there only."""
        made, known = self.files_of_secrets(), self.all()
        assert [path for path in made if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
        looked = dict.fromkeys(known, 0)
        for where, text in self.texts():
            for canary in known:
                assert canary not in text, f"`{canary.decode()}` is in {where}"
                looked[canary] += 1
        assert min(looked.values()) > 20, "there was little to look at"


def test_no_secret_leaves_the_files_that_are_made_for_it(tmp_path: Path, minio: Server) -> None:
    """With failures and retries, of tasks, of the store and of callers; --verbose and --json."""
    with FaultProxy(minio.endpoint, seed=3) as proxy, HostsRun(tmp_path, minio) as hosts:
        trust(minio, hosts.bucket, hosts.cli.home / "state", endpoint=proxy.endpoint)
        hosts.cli.environ["AWS_ENDPOINT_URL"] = proxy.endpoint
        canaries = Canaries(hosts, minio)
        proxy.break_(Fault("status", share=0.05, status=503, code="SlowDown"))
        hosts.cli.write("at-line05", "kill-task")
        hosts.cli.write("at-line17", "do")
        hosts.cli.write("then.py", WAIT)
        hosts.cli.write("at-line30", "raise")
        master = hosts.start("--verbose", "--json")
        worker = hosts.worker()
        until("nobody came there", (hosts.cli.folder / "there").exists)
        _refused(hosts)

        assert len(canaries.all()) >= 7
        canaries.are_nowhere()

        hosts.cli.write("go", "")
        assert master.ends() == 1, master.said
        worker.ends()
        canaries.are_nowhere()
        assert "no line30" in master.said
        assert "lost" in master.said
        held = canaries.all()
        hosts.cli.folder.joinpath("at-line30").unlink()
        again = hosts.run("resume", "words", "--json", "--verbose")
        again.says('"kind":"RunResumed"')
        assert hosts.worker().ends() == 0
        assert again.ends() == 0, again.said
        assert canaries.files_of_secrets() == []
        canaries.are_nowhere()
        for where, text in canaries.texts():
            assert [canary for canary in held if canary in text] == [], where


def _refused(hosts: HostsRun) -> Running:
    """Have a worker with a wrong token come, and be told so."""
    held = json.loads((hosts.cli.folder / "run.join").read_bytes())
    wrong = hosts.cli.write("wrong.join", json.dumps({**held, "token": "wrong"}))
    wrong.chmod(0o600)
    refused = hosts.run("worker", "--join-file=wrong.join")
    assert refused.ends() == 8, refused.said
    wrong.unlink()
    return refused
