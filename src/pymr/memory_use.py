"""How much memory processes use, as Linux counts it; elsewhere nothing is known.

The proportional set size (PSS) counts a page that n processes map as 1/n in each, so that it can
be summed. The kernel finds it by a walk through all pages of a process: measured, 10 µs for each
MB, 2.3 ms for a process of 250 MB, where the counters in `statm` cost 5 µs. Pages that belong to
no file are not shared among processes that were started by an exec, so only the share of the
pages of files needs the walk, and that hardly changes once all modules are imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

SAMPLE_INTERVAL_S = 0.1
_WALK_SAMPLES = 64  # samples of a process between walks; after its first ones they are closer

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FIELDS_BYTES = 4096  # of a file of /proc that is read here, more than it ever has


class Pages(NamedTuple):
    """The bytes of a process in memory: its own, and those of files, which others may map too."""

    private: int
    mapped: int


def pages_of(pid: int | str = "self") -> Pages | None:
    """Return the pages of a process; None if it is gone, or nobody knows."""
    fields = _read(f"/proc/{pid}/statm").split()
    if len(fields) < 3:  # noqa: PLR2004 - size, resident, shared
        return None
    resident, mapped = int(fields[1]), int(fields[2])
    return Pages((resident - mapped) * _PAGE_BYTES, mapped * _PAGE_BYTES)


def mapped_share_of(pid: int) -> int | None:
    """Return the proportional share of the mapped pages; None if the kernel does not tell."""
    found = {}
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0]) * 1024
    if "Pss" not in found:
        return None
    return max(0, found["Pss"] - found.get("Pss_Anon", found.get("Anonymous", 0)))


class MemoryMeter:
    """The sum of the proportional set sizes of some processes, and its peak.

    `excepted_bytes` are private bytes of this process that are somebody else's.
    """

    def __init__(self, excepted_bytes: int = 0) -> None:
        self.peak_bytes: int | None = None
        self._excepted_bytes = excepted_bytes
        self._processes: dict[int, _Process] = {}
        self._due = 0.0

    def due_in(self, now: float) -> float:
        """Return the seconds from `now` (monotonic) until the next sample is due."""
        return max(0.0, self._due - now)

    def sample(self, pids: Iterable[int], now: float) -> dict[int, int]:
        """Add up what the processes use now, and return it by process.

        Those that were there before and are not are gone.
        """
        self._due = now + SAMPLE_INTERVAL_S
        self._processes = {pid: self._processes.get(pid) or _Process(pid) for pid in pids}
        known = ((pid, process.size()) for pid, process in self._processes.items())
        sizes = {pid: size for pid, size in known if size is not None}
        if sizes:
            total = max(0, sum(sizes.values()) - self._excepted_bytes)
            self.peak_bytes = max(self.peak_bytes or 0, total)
        return sizes


class _Process:
    """One process, with the share of mapped pages that it had when it was last walked through."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._share: int | None = None
        self._samples = 0
        self._walk_at = 0

    def size(self) -> int | None:
        pages = pages_of(self._pid)
        if pages is None:
            return None
        if self._samples == self._walk_at:
            self._share = mapped_share_of(self._pid)
            self._walk_at += min(max(self._samples, 1), _WALK_SAMPLES)
        self._samples += 1
        return pages.private + (0 if self._share is None else self._share)


def _read(path: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(file, _FIELDS_BYTES).decode()
    except OSError:  # It has ended meanwhile.
        return ""
    finally:
        os.close(file)
