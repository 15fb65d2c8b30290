"""What this machine gives us: cores, memory and processes, by affinity, cgroup and limit.

In a container the machine is what its cgroup allows, not what the hardware has. Versions 1
and 2 of cgroups are read, from the process's own group up to the root: the smallest limit on
the way holds. Nothing here raises; what cannot be read does not limit.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from math import ceil

import msgspec

# Open files beside those of workers and the sorted runs of a merge: modules, journal, claim.
OTHER_FILES = 16
FILES_OF_WORKER = 5  # requests, replies, prints, its end, the log of what it prints
FILES_MIN = 14  # measured: with fewer no run of a single worker comes to its end

_CGROUPS = "/sys/fs/cgroup"
_MEMORY_UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a huge number of bytes


class Machine(msgspec.Struct, frozen=True):
    """What a run may use: `files_max` open ones, of each process. None: no limit is known."""

    cores: int
    memory_bytes: int
    processes_max: int | None = None
    files_max: int | None = None


def this_machine() -> Machine:
    """Return what the machine, or the cgroup we are in, gives."""
    groups = _read("/proc/self/cgroup")
    return Machine(
        cores=_cores(groups),
        memory_bytes=_memory(groups),
        processes_max=_processes(groups),
        files_max=_soft_limit(resource.RLIMIT_NOFILE),
    )


def _cores(groups: str) -> int:
    cores = len(os.sched_getaffinity(0))
    for folder in group_folders(groups, "cpu"):
        quota = cpu_quota(_read(f"{folder}/cpu.max")) or cpu_quota(
            f"{_read(f'{folder}/cpu.cfs_quota_us')} {_read(f'{folder}/cpu.cfs_period_us')}"
        )
        if quota is not None:
            cores = min(cores, ceil(quota))
    return max(cores, 1)


def _memory(groups: str) -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in group_folders(groups, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _read(f"{folder}/{name}").strip()
            if limit.isdigit() and int(limit) < _MEMORY_UNLIMITED:
                memory = min(memory, int(limit))
    return memory


def _processes(groups: str) -> int | None:
    soft = _soft_limit(resource.RLIMIT_NPROC)
    limits = [] if soft is None else [soft]
    for folder in group_folders(groups, "pids"):
        limit = _read(f"{folder}/pids.max").strip()
        if limit.isdigit():
            limits.append(int(limit))
    return min(limits, default=None)


def _soft_limit(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft


def oom_kills() -> int:
    """Return how many processes the kernel has ended so far for want of memory.

    In our cgroup, where that counts; else on the whole machine.
    """
    groups = _read("/proc/self/cgroup")
    for folder in group_folders(groups, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            if (count := _counted(_read(f"{folder}/{name}"))) is not None:
                return count
    return _counted(_read("/proc/vmstat")) or 0


def _counted(text: str) -> int | None:
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdigit():
            return int(number)
    return None


def cpu_quota(text: str) -> float | None:
    """Return the cores that a `quota period` line of microseconds allows; None: no limit."""
    match text.split():
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period) > 0:
            return int(quota) / int(period)
    return None


def group_folders(groups: str, controller: str, root: str = _CGROUPS) -> Iterator[str]:
    """Yield the folders that hold limits of `controller`, from our group up to the root.

    `groups` is the text of /proc/self/cgroup. Inside a container the path that it names may
    not be visible; the root of the mount is then our group.
    """
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = f"{root}/{controller}" if controllers else root
        while path.strip("/"):
            yield base + path.rstrip("/")
            path = path.rpartition("/")[0]
        yield base


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
