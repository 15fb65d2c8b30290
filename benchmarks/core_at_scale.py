"""Drives the core at full scale in one process: a side of `scheduler`.

python benchmarks/core_at_scale.py cluster TASKS WORKERS
python benchmarks/core_at_scale.py books TASKS PARTITIONS
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_cluster import Books, Cluster

SEED = 20_240_601


def main() -> None:
    """Do it, and fail if the work was not done once."""
    kind, tasks, others = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "cluster":
        cluster = Cluster(SEED, tasks, others)
        cluster.run()
        done = cluster.phase.committed
    else:
        books = Books(tasks, others)
        for task in range(tasks):
            books.commit_map(task)
        books.grant_reduces()
        done = books.job.map.committed
    if len(done) != tasks:
        sys.exit(f"{len(done)} tasks were committed, expected {tasks}")


if __name__ == "__main__":
    main()
