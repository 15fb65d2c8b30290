"""`--on hosts`: a run from its plan to its end, with a master here and workers that join.

submit ─► secrets ─► master, in this process or in one of its own ─► join file, for workers
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from pymr.cluster.address import HostPort, hosts_of
from pymr.cluster.certificate import new_authority
from pymr.cluster.crew import Reception
from pymr.cluster.join import (
    JoinFile,
    MasterFile,
    join_file,
    master_file,
    new_tokens,
    read_master_file,
    write_join_file,
)
from pymr.cluster.serve import serve_run
from pymr.config import Settings
from pymr.errors import ConfigError
from pymr.runner.find import FoundRun
from pymr.runner.life import Observer
from pymr.store.access import Access
from pymr.store.registry import state_folder
from pymr.task.manifest import Manifest
from pymr.text_form import show_path

DEFAULT_LISTEN: Final = "127.0.0.1:0"

Say = Callable[[str], None]


class MasterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What `pymr master SPEC` is told, as JSON. No secret is in it."""

    v: int = 1
    output: str  # the address of the run's output
    run: str
    endpoint: str | None = None
    region: str | None = None
    secrets: str  # the file of the master (`cluster.join`)
    listen: str
    join_file: str
    workers: int
    worker_wait_s: float


def read_spec(path: str) -> MasterSpec:
    """Return what stands in the file of a master.

    Raises:
        ConfigError: there is none, or it is something else.
    """
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=MasterSpec)
    except OSError as error:
        raise ConfigError(f"cannot read `{show_path(path)}`: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{show_path(path)}` tells a master nothing: {error}") from error


def secrets_of(run: str) -> MasterFile:
    """Return the secrets of a run: those that are kept here, else new ones, which are kept.

    Raises:
        ConfigError: they cannot be read or written.
    """
    path = secrets_path(run)
    if os.path.exists(path):
        return read_master_file(path)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    secrets = master_file(new_authority(run), new_tokens())
    write_join_file(path, secrets)
    return secrets


def secrets_path(run: str) -> str:
    """Return where this account keeps what a later master of the run needs."""
    return os.path.join(os.path.dirname(state_folder()), "masters", f"{run}.json")


def operator_path(run: str) -> str:
    """Return where this account keeps what the operator of a run needs."""
    return os.path.join(os.path.dirname(state_folder()), "masters", f"{run}.operator.json")


def forget_secrets(run: str) -> None:
    """Remove what is kept for a run that is done."""
    for path in (secrets_path(run), operator_path(run)):
        with suppress(OSError):
            os.unlink(path)


def join_path(settings: Settings, name: str) -> str:
    """Return where the join file of a run goes."""
    return os.path.abspath(settings.join_file or f"{name}.join")


def reception_of(spec: MasterSpec, say: Say, secrets: MasterFile | None = None) -> Reception:
    """Return how workers come to the master that `spec` describes; `say` tells the user how.

    Raises:
        ConfigError: its secrets cannot be read.
    """
    held = secrets if secrets is not None else read_master_file(spec.secrets)

    def listening(address: HostPort) -> None:
        authority = held.open()
        addresses = tuple(str(HostPort(h, address.port)) for h in hosts_of(address.host))
        worker = join_file(authority, held.tokens, "worker", addresses)
        _replace(spec.join_file, worker)
        _replace(operator_path(spec.run), join_file(authority, held.tokens, "operator", addresses))
        say(f"on the other machines:   pymr worker --join-file {show_path(spec.join_file)}")

    return Reception(
        listen=spec.listen,
        secrets=held,
        workers=spec.workers,
        worker_wait_s=spec.worker_wait_s,
        listening=listening,
    )


def _replace(path: str, join: JoinFile) -> None:
    """Write a join file in the place of an older one of the same run."""
    temporary = f"{path}.{os.getpid()}"
    write_join_file(temporary, join)
    os.replace(temporary, path)


def refuse_join_file(settings: Settings, name: str) -> None:
    """Refuse a join file that is there already, before any work.

    Raises:
        ConfigError: it may be another run's.
    """
    path = join_path(settings, name)
    if os.path.lexists(path):
        raise ConfigError(
            f"join file `{show_path(path)}` exists, and is not replaced",
            hint=f"rm {show_path(path)}   or another --join-file",
        )


def spec_of(found: FoundRun, settings: Settings, access: Access) -> MasterSpec:
    """Return what a master of the run is told."""
    return MasterSpec(
        output=found.output,
        run=found.run,
        endpoint=access.endpoint,
        region=access.region,
        secrets=secrets_path(found.run),
        listen=settings.listen or DEFAULT_LISTEN,
        join_file=join_path(settings, found.name),
        workers=settings.workers,
        worker_wait_s=settings.worker_wait_s,
    )


def serve_here(
    found: FoundRun, settings: Settings, access: Access, observer: Observer, say: Say
) -> Manifest:
    """Be the master of a run in this process; see `serve_run`."""
    spec = spec_of(found, settings, access)
    reception = reception_of(spec, say, secrets_of(found.run))
    manifest = serve_run(found, settings, access, reception, observer)
    forget_secrets(found.run)
    with suppress(OSError):
        os.unlink(spec.join_file)
    return manifest


def detach(found: FoundRun, settings: Settings, access: Access) -> tuple[int, str]:
    """Start a master in the background, and return its process id and the file of what it says.

    Raises:
        ClusterError, PymrError: it ended at once.
    """
    secrets_of(found.run)
    folder = os.path.dirname(secrets_path(found.run))
    spec_path = os.path.join(folder, f"{found.run}.spec.json")
    log_path = os.path.join(folder, f"{found.run}.log")
    spec = spec_of(found, settings, access)
    with open(spec_path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pymr", "master", spec_path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid, log_path
