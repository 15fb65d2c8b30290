"""P12: what one master gives and takes: assignments, each with its verdict, over gRPC.

200 workers with a stream each, in other processes; the master's process is clocked by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from command import HERE, SideFailedError
from contest import Clocked, Figure, Measure, Side
from sizes import FULL, Sizes

WORKERS = 200
PROCESSES = 2  # of all the workers
MASTER = "the master"


def assignments(sizes: Sizes) -> Measure:
    tasks = sizes.assignments
    is_full = tasks >= FULL.assignments

    def of_cpu(took: Mapping[str, Clocked]) -> float:
        return tasks / took[MASTER].cpu

    def of_wall(took: Mapping[str, Clocked]) -> float:
        return tasks / took[MASTER].wall

    return Measure(
        name="assignments",
        about=f"{tasks:,} map tasks without work, a master and {WORKERS} workers' streams",
        sides=[Side(MASTER, lambda: _run(tasks))],
        figures=[
            Figure(
                "P12",
                "assignments a second of CPU",
                of_cpu,
                "",
                5_000,
                at_least=True,
                full_size=is_full,
            ),
            Figure("P12", "assignments a second, workers on the same cores", of_wall),
        ],
        check=lambda: None,  # The master ends when all tasks are committed and the books balance.
    )


def _run(tasks: int) -> Clocked:
    script = str(HERE / "master_at_scale.py")
    command = [sys.executable, script, *map(str, (tasks, WORKERS, PROCESSES))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SideFailedError(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
    return Clocked(*json.loads(done.stdout))
