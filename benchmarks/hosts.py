"""Word count of an object by workers that join, beside others on the same MinIO of this machine.

The master and two workers of one slot each share two cores with the store, as the other sides do.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bucket import Bucket
from cluster_run import ClusterRun
from command import FOLDER, HERE, WORKERS, command_side, pymr_start
from contest import Clocked, Figure, Measure, Side, WrongAnswerError, wall_ratio
from peer import peer_side
from sizes import Sizes
from zipf_text import zipf_file

WORKER = HERE.parent / "examples/wordcount/worker.py"
HOSTS, HERE_ALONE = "pymr start --on hosts", "pymr start"
TEXT = "text.txt"


def hosts(sizes: Sizes, *, with_peers: bool) -> Measure:
    megabytes = sizes.text_megabytes
    bucket = Bucket()
    text = zipf_file(FOLDER, megabytes)
    bucket.put(text, TEXT)
    by_lithops = FOLDER / "counts-lithops.tsv"
    counted = _Counted(bucket, by_lithops if with_peers else None)
    alone = command_side(
        HERE_ALONE,
        pymr_start(WORKER, f"{bucket.address}/{TEXT}", f"{bucket.address}/alone"),
        environment=bucket.environment,
    )

    def run_alone() -> Clocked:
        bucket.clear("alone")
        return alone.run()

    sides = [Side(HOSTS, lambda: run_on_hosts(bucket)), alone._replace(run=run_alone)]
    figures = [Figure("", "÷ pymr start on this machine, wall", wall_ratio(HOSTS, HERE_ALONE))]
    if with_peers:
        sides.append(
            peer_side(
                "Lithops",
                "word_count_lithops.py",
                f"{bucket.address}/{TEXT}",
                by_lithops,
                once=False,
                environment=bucket.environment,
            )
        )
        figures += [
            Figure("", "Lithops ÷ PyMR, wall", wall_ratio("Lithops", HOSTS)),
            Figure("", "words that Lithops lost or made up", lambda _: float(counted.wrong)),
        ]
    return Measure(
        name="hosts",
        about=f"word count of an object of {megabytes} MB, {WORKERS} workers of one slot",
        sides=sides,
        figures=figures,
        check=counted.check,
    )


def run_on_hosts(bucket: Bucket) -> Clocked:
    """Count the words of the bucket's text into `hosts`, by workers that join."""
    bucket.clear("hosts")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    run = ClusterRun(bucket, "hosts")
    try:
        run.start(WORKER, f"{bucket.address}/{TEXT}", "--workers", str(WORKERS), "--slots", "1")
        for _ in range(WORKERS):
            run.add_worker(1)
        run.wait_master()
        wall = time.perf_counter() - began
        run.wait_workers()
    finally:
        run.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Clocked(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


class _Counted:
    """What was counted: both of PyMR must be the same; what a peer gets wrong is told."""

    def __init__(self, bucket: Bucket, by_lithops: Path | None) -> None:
        self.wrong = 0  # words, in the last round
        self._bucket = bucket
        self._by_lithops = by_lithops

    def check(self) -> None:
        """Compare the answers of the sides.

        Raises:
            WrongAnswerError: those of PyMR differ.
        """
        right, by_hosts = (
            counts_of(self._bucket.rows_of(f"{self._bucket.address}/{output}"))
            for output in ("alone", "hosts")
        )
        if by_hosts != right:
            raise WrongAnswerError(f"{HOSTS}: {distance(by_hosts, right)} words are wrong")
        if self._by_lithops is not None:
            with self._by_lithops.open("rb") as rows:
                self.wrong = distance(counts_of(rows), right)


def counts_of(rows: Iterable[bytes]) -> Counter[bytes]:
    """Return the count of each word."""
    return Counter({word: int(count) for word, count in (row.split(b"\t") for row in rows)})


def distance(one: Counter[bytes], other: Counter[bytes]) -> int:
    """Return how many words are counted in one and not in the other."""
    return ((one - other) + (other - one)).total()
