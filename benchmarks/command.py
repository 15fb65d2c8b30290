"""Sides that are commands: how they are run, and what is taken of them."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from contest import Clocked, Side
from memory_sample import SAMPLE_INTERVAL_S, children_of, pss_bytes

HERE = Path(__file__).parent
BENCH = HERE.parent / ".bench"  # environment of the peers, inputs, outputs; can be removed
FOLDER = BENCH / "work"
WORKERS = 2
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_STAYING: set[int] = set()
SHOWN_BYTES = 2000  # of what a command that failed wrote to its standard error


class SideFailedError(Exception):
    """A command failed, so that there is nothing to compare."""


def command_side(
    name: str,
    command: list[str],
    *,
    output: Path | None = None,
    once: bool = False,
    sample_memory: bool = False,
    environment: dict[str, str] | None = None,
) -> Side:
    """Return a side that runs `command`; `output` is removed before each run.

    So each run does the same work. Raises SideFailedError when it is run, if it fails.
    """
    run = partial(
        _clock, command, output=output, sample_memory=sample_memory, environment=environment or {}
    )
    return Side(name, run, once=once)


def pymr_start(
    worker: Path,
    text: Path | str,
    output: Path | str,
    *,
    workers: int = WORKERS,
    memory: str | None = None,
    before: tuple[str, ...] = (),
) -> list[str]:
    """Return the command that a user types; `before` stands in front of it."""
    pymr = str(Path(sys.executable).with_name("pymr"))
    options = ["--workers", str(workers), "--input", str(text), "--output", str(output)]
    if memory:
        options += ["--memory", memory]
    return [*before, pymr, "start", *options, str(worker)]


def _clock(
    command: list[str],
    *,
    output: Path | None,
    sample_memory: bool,
    environment: dict[str, str],
) -> Clocked:
    if output is not None:
        remove(output)
    # Runs are not to appear among those of the user.
    everything = {**os.environ, "XDG_STATE_HOME": str(FOLDER / "state"), **environment}
    cpu_before = _cpu_of_children()
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=everything,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        peak = _wait_sampling(process) if sample_memory else 0
        code = process.wait()
        wall = time.perf_counter() - started
        _wait_for_orphans()
        if code:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - SHOWN_BYTES))
            told = errors.read().decode(errors="replace")
            raise SideFailedError(f"exit code {code}: {' '.join(command)}\n{told}")
    return Clocked(wall, _cpu_of_children() - cpu_before, memory_mb=peak / 1e6)


def _wait_sampling(process: subprocess.Popen[bytes]) -> int:
    """Wait, and return the peak of the memory of `process` and all below it, in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, pss_bytes(process.pid))
        time.sleep(SAMPLE_INTERVAL_S)
    return peak


def adopt_orphans() -> None:
    """Make this process the parent of what commands leave behind, for the rest of its life.

    PySpark ends before its Java does: so it cannot run on beside the next side, and its CPU
    seconds count. Linux only; elsewhere they are lost.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans() -> None:
    with suppress(ChildProcessError):
        while left := set(children_of(os.getpid())) - _STAYING:
            os.waitpid(min(left), 0)


def let_stay() -> None:
    """Wait for none of the processes below this one that are there now: servers."""
    _STAYING.update(children_of(os.getpid()))


def _cpu_of_children() -> float:
    """Return the CPU seconds of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
