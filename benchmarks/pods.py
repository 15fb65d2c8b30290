"""Word count of an object by workers in pods, beside workers that join a master of this machine.

The same input, worker file, number of workers and slots, and the same MinIO, in the cluster and
outside of it. CPU seconds of pods are not known, so that wall seconds alone are compared.
"""

from __future__ import annotations

from bucket import Bucket
from cluster_namespace import namespace, put, rows_in_pods, run_in_pods
from command import FOLDER, WORKERS
from contest import Clocked, Figure, Measure, Side, WrongAnswerError, wall_ratio
from sizes import Sizes
from zipf_text import zipf_file

from hosts import HOSTS, TEXT, WORKER, counts_of, distance, run_on_hosts

PODS = "pymr start --on kubernetes"
NAME = "counted"


def pods(sizes: Sizes) -> Measure:
    megabytes = sizes.text_megabytes
    namespace()
    bucket = Bucket()
    text = zipf_file(FOLDER, megabytes)
    bucket.put(text, TEXT)
    address = put(text, f"inputs/{TEXT}")
    run_in_pods(WORKER, address, NAME)  # The first one builds and loads images.

    def in_pods() -> Clocked:
        told = run_in_pods(WORKER, address, NAME)
        return Clocked(told.wall, told.cpu)

    def check() -> None:
        right = counts_of(bucket.rows_of(f"{bucket.address}/hosts"))
        if found := distance(counts_of(rows_in_pods(NAME)), right):
            raise WrongAnswerError(f"{PODS}: {found} words are wrong")

    return Measure(
        name="pods",
        about=f"word count of an object of {megabytes} MB, {WORKERS} workers of one slot",
        sides=[Side(HOSTS, lambda: run_on_hosts(bucket)), Side(PODS, in_pods)],
        figures=[Figure("", "pods ÷ hosts, wall", wall_ratio(PODS, HOSTS))],
        check=check,
    )
