"""What the machine gives a run: cores, memory, processes, open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import NamedTuple

from pymr.config import Settings, this_machine
from pymr.config.machine import FILES_MIN, OTHER_FILES, Machine
from pymr.config.setting import MEMORY_BYTES_MIN
from pymr.doctor.finding import Area, Finding
from pymr.errors import ResourceError
from pymr.observe.quantity import show_size

FILES_WISHED = 65536
PROCESSES_MIN = 4  # the command, a worker, and what a worker file may start

_AREA = Area("machine")


class LimitsSeen(NamedTuple):
    """Limits of this process: soft and hard, None where there is none."""

    files: tuple[int | None, int | None]
    file_bytes: int | None
    address_bytes: int | None


def examine_machine(settings: Settings) -> Iterator[Finding]:
    """Yield what the machine, the cgroup and `ulimit` allow."""
    machine = this_machine()
    yield cores(machine, os.cpu_count() or 1)
    yield memory(machine, settings, _memory_total(), _memory_available())
    yield processes(machine, settings)
    yield from limits(_limits(), settings)


def cores(machine: Machine, cores_total: int) -> Finding:
    """Return how many cores there are, and for whom."""
    if machine.cores < cores_total:
        return _AREA.ok(
            "cores", f"{machine.cores} of {cores_total}, by affinity or the cgroup's quota"
        )
    return _AREA.ok("cores", str(machine.cores))


def memory(
    machine: Machine, settings: Settings, total_bytes: int, available_bytes: int | None
) -> Finding:
    """Return whether there is memory for what `--memory` says."""
    text = show_size(machine.memory_bytes)
    if machine.memory_bytes < total_bytes:
        text += f" of {show_size(total_bytes)}, by the cgroup's limit"
    if machine.memory_bytes < MEMORY_BYTES_MIN:
        return _AREA.broken(
            "memory",
            f"{text}, expected at least {show_size(MEMORY_BYTES_MIN)}",
            "raise the limit of the container or cgroup",
            ResourceError,
        )
    if settings.memory_bytes > machine.memory_bytes:
        return _AREA.warning(
            "memory",
            f"{text}, less than the {show_size(settings.memory_bytes)} of --memory",
            f"--memory {_half(machine.memory_bytes)}",
        )
    if available_bytes is None:
        return _AREA.ok("memory", text)
    text += f", {show_size(available_bytes)} available"
    if available_bytes < settings.memory_bytes:
        return _AREA.warning(
            "memory",
            f"{text}, less than the {show_size(settings.memory_bytes)} of --memory",
            f"end other programs, or --memory {_half(available_bytes)}",
        )
    return _AREA.ok("memory", text)


def _half(size: int) -> str:
    """Return half of `size` as `--memory` takes it, at least its minimum."""
    return f"{max(size // 2, MEMORY_BYTES_MIN) >> 20}M"


def processes(machine: Machine, settings: Settings) -> Finding:
    """Return whether as many processes may start as there are workers."""
    limit = machine.processes_max
    if limit is None:
        return _AREA.ok("processes", "no limit")
    text = f"at most {limit:,}"
    remedy = "raise ulimit -u, or the container's limit of processes"
    if limit < PROCESSES_MIN:
        return _AREA.broken("processes", text, remedy, ResourceError)
    if limit // 2 < machine.cores:
        return _AREA.warning(
            "processes", f"{text}, so only {settings.workers} of {machine.cores} workers", remedy
        )
    return _AREA.ok("processes", text)


def limits(seen: LimitsSeen, settings: Settings) -> Iterator[Finding]:
    """Yield what `ulimit` allows."""
    yield _open_files(seen, settings)
    if seen.file_bytes is None:
        yield _AREA.ok("file size", "no limit")
    else:
        yield _AREA.warning(
            "file size", f"at most {show_size(seen.file_bytes)}", "ulimit -f unlimited"
        )
    if seen.address_bytes is None:
        yield _AREA.ok("address space", "no limit")
    else:
        yield _AREA.warning(
            "address space",
            f"at most {show_size(seen.address_bytes)} for each process",
            "ulimit -v unlimited",
        )


def _open_files(seen: LimitsSeen, settings: Settings) -> Finding:
    soft, hard = seen.files
    if soft is None:
        return _AREA.ok("open files", "no limit")
    text = f"at most {soft:,} for each process"
    merge = settings.merge_fan_in + OTHER_FILES
    wished = FILES_WISHED if hard is None else min(hard, FILES_WISHED)
    remedy = f"ulimit -n {wished}"
    if wished < merge:
        remedy = "raise the hard limit (LimitNOFILE=, limits.conf, --ulimit nofile=65536)"
    if soft < FILES_MIN:
        needed = f"{text}, a run needs {FILES_MIN}"
        return _AREA.broken("open files", needed, remedy, ResourceError)
    if soft < merge:
        return _AREA.warning(
            "open files",
            f"{text}, so {max(soft - OTHER_FILES, 2)} sorted runs are merged at once,"
            f" not {settings.merge_fan_in}",
            remedy,
        )
    return _AREA.ok("open files", text)


def _limits() -> LimitsSeen:
    def limited(value: int) -> int | None:
        return None if value == resource.RLIM_INFINITY else value

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return LimitsSeen(
        (limited(soft), limited(hard)),
        limited(resource.getrlimit(resource.RLIMIT_FSIZE)[0]),
        limited(resource.getrlimit(resource.RLIMIT_AS)[0]),
    )


def _memory_total() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory_available() -> int | None:
    """Return what the kernel thinks can be had without swapping; None: it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
