"""`--on hosts`: a run from its plan to its end, with a master here and workers that join.

submit ─► secrets ─► master, in this process or in one of its own ─► join file, for workers
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from pymr.cluster.address import HostPort, hosts_of, parse_host_port
from pymr.cluster.certificate import new_authority
from pymr.cluster.crew import Reception
from pymr.cluster.join import (
    JoinFile,
    MasterFile,
    join_file,
    master_file,
    new_tokens,
    read_join_file,
    read_master_file,
    write_join_file,
)
from pymr.cluster.serve import serve_run
from pymr.config import Settings
from pymr.errors import ConfigError, PymrError
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
    settings: Settings | None = None  # None: those of the run


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


def spec_path(run: str) -> str:
    """Return where this account keeps what a master in the background is told."""
    return os.path.join(os.path.dirname(state_folder()), "masters", f"{run}.spec.json")


def forget_secrets(run: str) -> None:
    """Remove what is kept for a run that is done."""
    for path in (secrets_path(run), operator_path(run), spec_path(run)):
        with suppress(OSError):
            os.unlink(path)


def join_path(settings: Settings, name: str) -> str:
    """Return where the join file of a run goes."""
    return os.path.abspath(settings.join_file or f"{name}.join")


def reception_of(spec: MasterSpec, say: Say) -> Reception:
    """Return how workers come to the master that `spec` describes; `say` tells the user how.

    Raises:
        ConfigError: its secrets cannot be read.
    """
    held = read_master_file(spec.secrets)

    def listening(address: HostPort) -> None:
        authority = held.open()
        addresses = tuple(str(HostPort(h, address.port)) for h in hosts_of(address.host))
        worker = join_file(authority, held.tokens, "worker", addresses)
        _replace(spec.join_file, worker)
        _replace(operator_path(spec.run), join_file(authority, held.tokens, "operator", addresses))
        say(f"on the other machines:   pymr worker --join-file {show_path(spec.join_file)}")

    return Reception(
        listen=_listen(spec),
        secrets=held,
        workers=spec.workers,
        worker_wait_s=spec.worker_wait_s,
        listening=listening,
    )


def _listen(spec: MasterSpec) -> str:
    """Return where a master listens: if any port will do, where workers knew the one before."""
    host, port = parse_host_port(spec.listen)
    if port:
        return spec.listen
    with suppress(ConfigError, OSError):
        before = read_join_file(operator_path(spec.run), "operator").addresses[0]
        address = HostPort(host, parse_host_port(before)[1])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server(address, family=family):
            return str(address)
    return spec.listen


def _replace(path: str, join: JoinFile) -> None:
    """Write a join file in the place of an older one of the same run."""
    temporary = f"{path}.{os.getpid()}"
    write_join_file(temporary, join)
    os.replace(temporary, path)


def refuse_join_file(settings: Settings) -> None:
    """Refuse a join file that is there already, before any work: a run that stopped needs it.

    Raises:
        ConfigError: it is there, and the run to begin would write it.
    """
    if settings.join_file is None and settings.name is None:
        return  # The name is not known yet, and will be a new one.
    path = join_path(settings, settings.name or "")
    if os.path.lexists(path):
        raise ConfigError(
            f"join file `{show_path(path)}` exists, and is not replaced",
            hint=f"pymr resume   with its run, or   rm {show_path(path)}",
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
        settings=settings,
    )


def serve_here(
    found: FoundRun,
    settings: Settings,
    access: Access,
    observer: Observer,
    say: Say,
    *,
    is_replay: bool = False,
) -> Manifest:
    """Be the master of a run in this process; see `serve_run`."""
    secrets_of(found.run)
    spec = spec_of(found, settings, access)
    return serve_spec(spec, found, settings, access, observer, say, is_replay=is_replay)


def serve_spec(  # noqa: PLR0913 - what a master is told
    spec: MasterSpec,
    found: FoundRun,
    settings: Settings,
    access: Access,
    observer: Observer,
    say: Say,
    *,
    is_replay: bool = False,
) -> Manifest:
    """Be the master that `spec` describes; see `serve_run`.

    Secrets and join file are removed with the end of the run. While it can be resumed they stay:
    workers that wait know no others.
    """
    reception = reception_of(spec, say)
    try:
        manifest = serve_run(found, settings, access, reception, observer, is_replay=is_replay)
    except PymrError as error:
        if error.fields.get("is_cancelled"):
            _forget(spec)
        raise
    _forget(spec)
    return manifest


def _forget(spec: MasterSpec) -> None:
    """Remove what leads to a run that nobody takes on any more."""
    with suppress(ConfigError, OSError):
        if read_join_file(spec.join_file, "worker").run == spec.run:
            os.unlink(spec.join_file)
    forget_secrets(spec.run)


def detach(found: FoundRun, settings: Settings, access: Access) -> tuple[int, str]:
    """Start a master in the background, and return its process id and the file of what it says.

    Raises:
        ClusterError, PymrError: it ended at once.
    """
    secrets_of(found.run)
    folder = os.path.dirname(secrets_path(found.run))
    path = spec_path(found.run)
    log_path = os.path.join(folder, f"{found.run}.log")
    spec = spec_of(found, settings, access)
    with open(path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pymr", "master", path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid, log_path
