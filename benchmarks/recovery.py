"""How soon the work goes on when a worker or the master is killed, on a MinIO of this machine.

A worker: from its kill to the next grant of the task that it had. Its lease has to end first.
A master: from its kill, and the start of the next one at once, to that one's first grant, with
many map tasks done: it reads the journal, and looks whether each of their outputs is there. That
run goes on for all rounds; to get it so far is not clocked.
"""

from __future__ import annotations

import time
from pathlib import Path

from bucket import Bucket
from cluster_run import ClusterRun, Event
from command import FOLDER, HERE, remove
from contest import Clocked, Figure, Measure, Side
from sizes import FULL, Sizes

JOB = HERE / "workers/waiting.py"
CELLS = 31  # of a file of so many bytes, and so map tasks: see `core.plan.grid_step`
SLOTS = 2
LEASE_S, MARGIN_S = 15.0, 1.0
MASTER_S = 10.0
A_WORKER, A_MASTER = "a worker is killed", "a master is killed"


def recovery(sizes: Sizes) -> Measure:
    bucket = Bucket()
    tasks = sizes.recovery_tasks
    masters = _Masters(bucket, tasks)
    return Measure(
        name="recovery",
        about=f"from a kill to the next grant; of a master with {tasks:,} map tasks done",
        sides=[
            Side(A_MASTER, masters.kill_one),
            Side(A_WORKER, lambda: _kill_worker(bucket)),
        ],
        figures=[
            Figure(
                "",
                "kill of a worker to the next grant of its task, wall",
                lambda took: took[A_WORKER].wall,
                "s",
                LEASE_S + MARGIN_S,
            ),
            Figure(
                "",
                "kill of a master to the first grant of the next, wall",
                lambda took: took[A_MASTER].wall,
                "s",
                MASTER_S,
                full_size=tasks >= FULL.recovery_tasks,
            ),
        ],
        check=lambda: (
            None
        ),  # A task that was done is not granted again, or the run would not go on.
        close=masters.close,
    )


def _kill_worker(bucket: Bucket) -> Clocked:
    """Kill the worker that has the only task; another one waits."""
    text = FOLDER / "long.txt"
    text.write_text("600\n")
    bucket.clear("worker-killed")
    run = ClusterRun(bucket, "worker-killed")
    try:
        run.start(JOB, text, "--workers", "1", "--overwrite")
        run.add_worker(SLOTS)
        run.wait_for(_is_grant)
        run.add_worker(SLOTS)  # It has joined long before the lease ends.
        run.kill_worker(0)
        began = time.perf_counter()
        run.wait_for(_is_grant)
        return Clocked(time.perf_counter() - began, run.master_cpu)
    finally:
        run.close()


class _Masters:
    """A run with many map tasks done, and its masters, one after the other."""

    def __init__(self, bucket: Bucket, tasks: int) -> None:
        self._run = ClusterRun(bucket, "master-killed")
        self._tasks = tasks
        self._is_ready = False

    def kill_one(self) -> Clocked:
        """Kill the master, and clock the start of the next one, which is left."""
        if not self._is_ready:
            self._get_ready()
        self._run.kill_master()
        began = time.perf_counter()
        self._run.resume()
        self._run.wait_for(_is_grant)
        return Clocked(time.perf_counter() - began, self._run.master_cpu)

    def close(self) -> None:
        """End the last one, and its workers."""
        self._run.close()

    def _get_ready(self) -> None:
        folder, mappers = _inputs(self._tasks)
        options = ("--workers", "1", "--mappers", str(mappers), "--reducers", "8")
        self._run.start(JOB, folder, *options)
        self._run.add_worker(SLOTS)
        for _ in range(self._tasks):
            self._run.wait_for(lambda event: event["kind"] == "TaskCommitted")
        self._is_ready = True


def _inputs(tasks: int) -> tuple[Path, int]:
    """Write files for so many map tasks that are done at once, and for some that are not."""
    folder = FOLDER / f"waiting-{tasks}"
    remove(folder)
    folder.mkdir(parents=True)
    quick = -(-tasks // CELLS)
    slow = 20  # files of as many tasks of one second as there are lines
    for number in range(quick + slow):
        line = "0\n" if number < quick else "1\n"
        (folder / f"{number:05d}.txt").write_text((line * CELLS)[:CELLS])
    return folder, (quick + slow) * CELLS


def _is_grant(event: Event) -> bool:
    return str(event["kind"]) == "AttemptStarted"
