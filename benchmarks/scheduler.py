"""P11: the core as a master drives it, without machines: workers and time are simulated.

One process does both, so a part of the time is the simulation's. Of the second side each task
writes to every partition, and all is committed: what a master holds of a large run (F67).
"""

from __future__ import annotations

import sys

from command import HERE, command_side
from contest import Figure, Measure
from sizes import FULL, Sizes

WORKERS = 10_000
PARTITIONS = 1_000
GIB_MB = (1 << 30) / 1e6


def scheduler(sizes: Sizes) -> Measure:
    tasks, map_tasks = sizes.scheduler_tasks, sizes.scheduler_tasks // 10
    leases, books = f"{tasks:,} tasks", f"{map_tasks:,} tasks, {PARTITIONS:,} partitions"
    script = str(HERE / "core_at_scale.py")
    amounts = {leases: ("cluster", tasks, WORKERS), books: ("books", map_tasks, PARTITIONS)}
    full = tasks >= FULL.scheduler_tasks
    return Measure(
        name="scheduler",
        about=f"the core in simulation, {tasks:,} tasks, {WORKERS:,} workers",
        sides=[
            command_side(
                name, [sys.executable, script, *map(str, told)], once=True, sample_memory=True
            )
            for name, told in amounts.items()
        ],
        figures=[
            Figure("P11", f"{leases}, CPU", lambda took: took[leases].cpu, "s", 60, full_size=full),
            *(
                Figure(
                    "P11",
                    f"{name}, peak of PSS",
                    lambda took, name=name: took[name].memory_mb,  # type: ignore[misc]
                    "MB",
                    GIB_MB,
                    full_size=full,
                )
                for name in amounts
            ),
            Figure(
                "P11",
                f"{books}, CPU a commit",
                lambda took: took[books].cpu / map_tasks * 1e3,
                "ms",
                50,
                full_size=full,
            ),
        ],
        check=lambda: None,  # each side fails by itself if a task is not committed
    )
