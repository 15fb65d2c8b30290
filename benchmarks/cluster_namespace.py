"""A namespace of the cluster that the kubeconfig names, with storage, and runs in its pods."""

from __future__ import annotations

import atexit
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bucket import PYMR
from command import FOLDER, SHOWN_BYTES, WORKERS, SideFailedError
from contest import SkippedError

if TYPE_CHECKING:
    from pymr.kubernetes.kube import Kube

HOW = "kind create cluster   makes one; in a checkout of PyMR tests/cluster/up does"
NAME = f"pymr-bench-{os.getpid()}"
STORE = "s3://map-reduce-bucket"  # the storage's own
_OPEN = ExitStack()
atexit.register(_OPEN.close)


class Told(NamedTuple):
    """What a run in pods has told: when it was asked for, when it was done, and its events."""

    began: float  # Unix seconds
    wall: float  # of the command
    cpu: float  # of the command alone: nobody counts that of pods
    events: list[dict[str, Any]]

    def at(self, kind: str) -> float:
        """Return when the first event of that kind happened, in seconds from the command.

        Some are of the master's clock: that of a node, which in kind is this machine's.
        """
        found = next((each["time"] for each in self.events if each["kind"] == kind), None)
        if found is None:
            raise SideFailedError(f"the run has told of no {kind}")
        return float(found) - self.began


@cache
def namespace() -> Kube:
    """Return the namespace, which is made when it is first asked for; MinIO takes requests there.

    Raises SkippedError where there is no cluster.
    """
    try:
        from lightkube.resources.core_v1 import Namespace

        from pymr.errors import ClusterError
        from pymr.kubernetes.kube import open_kube
    except ImportError as error:
        raise SkippedError(f"{error}   pip install 'pymr[kubernetes]'") from error
    try:
        kube = _OPEN.enter_context(open_kube(namespace=NAME))
        with kube.asking("look for the cluster"):
            kube.client.get(Namespace, "default")
    except ClusterError as error:
        raise SkippedError(f"{error.message}   {HOW}") from error
    _OPEN.callback(_remove, kube)
    done = subprocess.run([PYMR, "up"], env=_environment(), capture_output=True, check=False)
    if done.returncode:
        raise SideFailedError(done.stderr[-SHOWN_BYTES:].decode(errors="replace"))
    return kube


def _remove(kube: Kube) -> None:
    from lightkube.resources.core_v1 import Namespace

    down = [PYMR, "down", "--purge", "--force"]
    subprocess.run(down, env=_environment(), capture_output=True, check=False)
    kube.client.delete(Namespace, kube.namespace)


def run_in_pods(worker: Path, text: Path | str, name: str) -> Told:
    """Run a job in pods of the namespace: the command that a user types.

    Raises SideFailedError if it fails.
    """
    namespace()
    options = ["--name", name, "--output", f"{STORE}/outputs/{name}", "--overwrite"]
    options += ["--workers", str(WORKERS), "--input", str(text), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, clock = time.time(), time.perf_counter()
    done = subprocess.run(
        [PYMR, "start", "--on", "kubernetes", *options, str(worker)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    wall = time.perf_counter() - clock
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = done.stderr[-SHOWN_BYTES:].decode(errors="replace")
        raise SideFailedError(f"exit code {done.returncode}: {said}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Told(began, wall, cpu, [json.loads(line) for line in done.stdout.splitlines()])


def put(file: Path, key: str) -> str:
    """Make an object of a file in the storage of the namespace; return its address."""
    import obstore
    from obstore.store import S3Store

    with _reached() as access:
        client = S3Store(
            STORE.removeprefix("s3://"),
            endpoint=access.endpoint,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            region=access.region,
            client_options={"allow_http": True},
        )
        obstore.put(client, key, file)
    return f"{STORE}/{key}"


def rows_in_pods(name: str) -> Iterator[bytes]:
    """Yield the rows of a run's output, read from outside of the cluster and checked by PyMR."""
    command = [PYMR, "cat", f"{STORE}/outputs/{name}", "--on", "kubernetes"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from process.stdout
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


@contextmanager
def _reached() -> Iterator[Any]:
    from pymr.kubernetes.reach import known_storage, reached

    kube = namespace()
    with reached(kube, known_storage(kube), wait_s=60.0) as access:
        yield access


def _environment() -> dict[str, str]:
    """Return what says to a command which namespace is meant."""
    # Runs are not to appear among those of the user.
    return {**os.environ, "PYMR_NAMESPACE": NAME, "XDG_STATE_HOME": str(FOLDER / "state")}
