"""A large run on a simulated clock: many tasks, many workers, some slow, some dying."""

from __future__ import annotations

import time
import tracemalloc

from core_samples import attempt, receipt
from pymr.core.events import Finished, Grant, LeaseAsked, Ticked, encode
from pymr.core.limit import PhaseLimits
from pymr.core.phase import Phase
from simulated_cluster import TASK_S, Books, Cluster

TASKS, WORKERS = 100_000, 1_000


def test_a_hundred_thousand_tasks_end_in_bounded_events_and_time() -> None:
    """Workers die, fall silent and are slow; the work is done once, and not much slower."""
    cluster = Cluster(seed=20_240_601, tasks=TASKS, workers=WORKERS)
    start = time.process_time()

    cluster.run()

    took_s = time.process_time() - start
    cluster.phase.check()
    print(f"{took_s:.1f} s of CPU, {cluster.now:.0f} s simulated, {dict(cluster.seen)}")  # noqa: T201 - shown if it fails
    assert sorted(cluster.phase.committed) == list(range(TASKS))
    assert cluster.phase.running == 0
    assert min(cluster.seen[kind] for kind in ("silent", "died", "backup")) > 0
    attempts = TASKS + cluster.seen["silent"] + cluster.seen["died"] + cluster.seen["backup"]
    assert cluster.seen["events"] < 5 * attempts, "events for each attempt are bounded"
    ideal_s = TASKS / WORKERS * TASK_S
    assert cluster.now < 1.3 * ideal_s, "one slow worker in a hundred costs little"
    assert took_s < 30.0, "a step costs O(log n)"  # about 4 s on a quiet machine


def test_the_last_task_of_a_phase_does_not_wait_for_a_silent_worker_for_ever() -> None:
    """A single task on a worker that says nothing is granted again after one lease."""
    phase = Phase("map", 1, PhaseLimits())
    phase.handle(LeaseAsked("silent", 0.0))

    now = 0.0
    while not any(isinstance(c, Grant) for c in phase.handle(LeaseAsked("other", now))):
        now += 1.0
        phase.handle(Ticked(now))

    assert now == 15.0
    assert phase.handle(Finished(attempt(0, 2), receipt(attempt(0, 2)), now)) != []


def test_f67_what_a_master_holds_of_100_000_tasks_and_1_000_partitions_is_bounded() -> None:
    """Some KiB of each task, whatever the number of partitions; the same of each decision.

    `benchmarks/scheduler.py` does all of it: 1 GiB and 50 ms a commit are far away.
    """
    few, partitions = 200, 1_000
    books = Books(few, partitions)
    commits_s, decisions = [], []
    tracemalloc.start()
    try:
        for task in range(few):
            start = time.process_time()
            decisions.append(len(encode(books.commit_map(task))))
            commits_s.append(time.process_time() - start)
        works = books.grant_reduces()
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held_bytes / few * TASKS < 1 << 30
    assert sorted(commits_s)[few // 2] < 0.050
    assert max(decisions) < 2048, "64 of them are a slot of a journal"
    assert len({id(work.sources) for work in works}) == 1, "the list is the same object"
