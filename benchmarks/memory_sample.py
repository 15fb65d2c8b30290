"""The memory of a process and all below it, as Linux counts it: the sum of PSS.

The proportional set size counts a page that n processes share as 1/n in each, so that the sum
counts it once; the resident set size would count it n times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SAMPLE_INTERVAL_S = 0.1
PROC = Path("/proc")


def pss_bytes(pid: int) -> int:
    """Return the sum over `pid` and its descendants; what has ended meanwhile counts nothing."""
    return sum(map(_pss_of, _family(pid)))


def children_of(pid: int) -> Iterator[int]:
    """Yield the processes that are there right below `pid`; none but on Linux."""
    for task in _listing(PROC / str(pid) / "task"):
        with suppress(OSError):
            yield from map(int, (task / "children").read_text().split())


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in children_of(pid):
        yield from _family(child)


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _pss_of(pid: int) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
