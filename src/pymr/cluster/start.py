"""`--on hosts`: a run from its plan to its end, with a master here and workers that join.

submit ─► secrets ─► master, in this process or in one of its own ─► join file, for workers
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from pymr.cluster.address import HostPort, hosts_of, is_of_this_machine, parse_host_port
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
from pymr.cluster.master_spec import MasterSpec
from pymr.cluster.run_files import RunFiles
from pymr.cluster.serve import serve_run
from pymr.config import Settings
from pymr.core.events import RunFinished
from pymr.errors import ClusterError, ConfigError, LostPartError, PymrError, from_dict
from pymr.runner.find import FoundRun, history_of
from pymr.runner.life import Observer
from pymr.runner.stored import StoredRun
from pymr.store.access import Access
from pymr.task.manifest import Manifest
from pymr.text_form import show_path

DEFAULT_LISTEN: Final = "127.0.0.1:0"
DETACH_S: Final = 60.0  # for a master in the background to listen: it reads the journal first
LOOK_S: Final = 0.05
HEALS_MAX: Final = 3  # of a run whose store loses parts between commit and publication
LAST_WORDS_BYTES_MAX: Final = 4 << 10  # of the log of a master that has ended

Say = Callable[[str], None]


def secrets_of(run: str) -> MasterFile:
    """Return the secrets of a run: those that are kept here, else new ones, which are kept.

    Raises:
        ConfigError: they cannot be read or written.
    """
    files = RunFiles(run)
    if os.path.exists(files.secrets):
        return read_master_file(files.secrets)
    files.make_folder()
    secrets = master_file(new_authority(run), new_tokens())
    write_join_file(files.secrets, secrets)
    return secrets


def join_path(settings: Settings, name: str) -> str:
    """Return where the join file of a run goes."""
    return os.path.abspath(settings.join_file or f"{name}.join")


def join_lines(join_file: str, addresses: tuple[str, ...]) -> list[str]:
    """Return how workers come to a master at `addresses`, for people."""
    lines = [f"on the other machines:   pymr worker --join-file {show_path(join_file)}"]
    if all(is_of_this_machine(parse_host_port(address).host) for address in addresses):
        lines.append(f"but none can reach {addresses[0]}: --listen 0.0.0.0:0 is for them")
    return lines


def reception_of(spec: MasterSpec, say: Say) -> Reception:
    """Return how workers come to the master that `spec` describes; `say` tells the user how.

    Raises:
        ConfigError: its secrets cannot be read.
    """
    held = read_master_file(spec.secrets)

    def listening(address: HostPort) -> None:
        if spec.join_file is None:
            return
        authority = held.open()
        addresses = tuple(str(HostPort(h, address.port)) for h in hosts_of(address.host))
        worker = join_file(authority, held.tokens, "worker", addresses)
        _replace(spec.join_file, worker)
        operator = join_file(authority, held.tokens, "operator", addresses)
        _replace(RunFiles(spec.run).operator, operator)
        for line in join_lines(spec.join_file, addresses):
            say(line)

    return Reception(
        listen=_listen(spec),
        secrets=held,
        workers=spec.workers,
        worker_wait_s=spec.worker_wait_s,
        listening=listening,
        worker_keys=spec.worker_keys,
    )


def _listen(spec: MasterSpec) -> str:
    """Return where a master listens: if any port will do, where workers knew the one before."""
    host, port = parse_host_port(spec.listen)
    if port:
        return spec.listen
    with suppress(ConfigError, OSError):
        before = read_join_file(RunFiles(spec.run).operator, "operator").addresses[0]
        address = HostPort(host, parse_host_port(before)[1])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server(address, family=family):
            return str(address)
    return spec.listen


def _replace(path: str, join: JoinFile) -> None:
    """Write a join file in the place of an older one of the same run.

    Raises:
        ConfigError: there is no such folder: the run may have begun on another machine.
    """
    _refuse_folder(path)
    temporary = f"{path}.{os.getpid()}"
    write_join_file(temporary, join)
    os.replace(temporary, path)


def refuse_join_file(settings: Settings) -> None:
    """Refuse a join file that is there already or cannot be written, before any work.

    Raises:
        ConfigError: a run that stopped may need it, or there is no such folder.
    """
    if settings.join_file is None and settings.name is None:
        return  # The name is not known yet, and will be a new one.
    path = join_path(settings, settings.name or "")
    if os.path.lexists(path):
        raise ConfigError(
            f"join file `{show_path(path)}` exists, and is not replaced",
            hint="pymr resume RUN   goes on with the run that has it; or another --join-file",
        )
    _refuse_folder(path)


def _refuse_folder(path: str) -> None:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ConfigError(
            f"join file `{show_path(path)}` cannot be written: `{show_path(folder)}` is no folder"
            " to write into",
            hint=f"mkdir -p {show_path(folder)}   or another --join-file",
        )


def spec_of(found: FoundRun, settings: Settings, access: Access) -> MasterSpec:
    """Return what a master of the run is told."""
    return MasterSpec(
        output=found.output,
        run=found.run,
        endpoint=access.endpoint,
        region=access.region,
        secrets=RunFiles(found.run).secrets,
        listen=settings.listen or DEFAULT_LISTEN,
        join_file=join_path(settings, found.name),
        workers=settings.workers,
        worker_wait_s=settings.worker_wait_s,
        settings=settings,
    )


def serve_here(  # noqa: PLR0913 - what a master is told
    found: FoundRun,
    settings: Settings,
    access: Access,
    observer: Observer,
    say: Say,
    *,
    is_replay: bool = False,
    stored: StoredRun | None = None,
) -> Manifest:
    """Be the master of a run in this process; see `serve_run`."""
    secrets_of(found.run)
    spec = spec_of(found, settings, access)
    return serve_spec(
        spec, found, settings, access, observer, say, is_replay=is_replay, stored=stored
    )


def serve_spec(  # noqa: PLR0913 - what a master is told
    spec: MasterSpec,
    found: FoundRun,
    settings: Settings,
    access: Access,
    observer: Observer,
    say: Say,
    *,
    is_replay: bool = False,
    stored: StoredRun | None = None,
) -> Manifest:
    """Be the master that `spec` describes; see `serve_run`.

    Secrets and join file are removed with the end of the run. While it can be resumed they stay:
    workers that wait know no others.
    """

    def serve(known: StoredRun | None) -> Manifest:
        reception = reception_of(spec, say)  # At the same port each time: workers wait there.
        return serve_run(
            found, settings, access, reception, observer, is_replay=is_replay, stored=known
        )

    try:
        manifest = _healed(serve, stored, say)
    except PymrError as error:
        if error.fields.get("is_cancelled"):
            RunFiles(spec.run).forget(spec.join_file)
        raise
    RunFiles(spec.run).forget(spec.join_file)
    return manifest


def _healed(
    serve: Callable[[StoredRun | None], Manifest], stored: StoredRun | None, say: Say
) -> Manifest:
    """Return what `serve` does; where a part is lost that was committed, serve once more.

    That is what a resume does, with the workers that are there.
    """
    for _ in range(HEALS_MAX):
        try:
            return serve(stored)
        except LostPartError as error:
            say(f"{error.message}: what made it is run again")
            stored = None
    return serve(stored)


class Detached(NamedTuple):
    """A master in the background that listens."""

    pid: int
    log: str
    addresses: tuple[str, ...]  # where workers find it


def detach(found: FoundRun, settings: Settings, access: Access) -> Detached:
    """Start a master in the background, and wait until it listens.

    Raises:
        PymrError: what it has ended with.
        ClusterError: it does not listen within DETACH_S, and goes on; or it ended without a word.
        ConfigError: its files cannot be written.
    """
    secrets_of(found.run)
    files, spec = RunFiles(found.run), spec_of(found, settings, access)
    before, began = _version(files.operator), time.time()
    with open(files.spec, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")
    descriptor = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pymr", "master", files.spec],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_S
    while _version(files.operator) == before:  # It writes that file when it listens.
        if process.poll() is not None:
            if process.returncode:
                raise _end_of(found, files, began)
            break  # There was nothing left to do.
        if time.monotonic() >= deadline:
            raise ClusterError(
                f"the master of {found.name}, process {process.pid}, does not listen after"
                f" {DETACH_S:.0f} s, and goes on; its log: `{show_path(files.log)}`",
                hint=f"pymr attach {found.name}",
            )
        time.sleep(LOOK_S)
    addresses: tuple[str, ...] = ()
    with suppress(ConfigError):  # It is over already.
        addresses = read_join_file(files.operator, "operator").addresses
    return Detached(process.pid, files.log, addresses)


def _end_of(found: FoundRun, files: RunFiles, began: float) -> PymrError:
    """Return what a master has ended with that began at `began`, Unix seconds."""
    with suppress(PymrError):
        last = history_of(found)[-1:]
        if last and last[0].time >= began and isinstance(last[0].event, RunFinished):
            error = last[0].event.error
            if error is not None:
                return from_dict(error)
    words = b""
    with suppress(OSError), open(files.log, "rb") as file:
        file.seek(max(0, os.path.getsize(files.log) - LAST_WORDS_BYTES_MAX))
        words = file.read().rstrip().rpartition(b"\xe2\x9c\x97 ")[2]  # behind the last ✗
    told = words.decode(errors="replace") or "it said nothing"
    return ClusterError(f"the master of {found.name} ended at once: {told}")


def _version(path: str) -> tuple[int, int] | None:
    """Return what is other of a file that was replaced; None: there is none."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_ino, status.st_mtime_ns
    return None
