"""Word count of an object by Lithops on this machine.

    python word_count_lithops.py s3://BUCKET/KEY OUTPUT

Its partitioner cuts the object into chunks of whole lines; each is counted by one call, and the
counts are added up here.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from lithops import FunctionExecutor

WORKERS = int(os.environ["PEER_WORKERS"])
CHUNKS = 4 * WORKERS  # as many as PyMR makes map tasks


def count(obj: Any) -> Counter[str]:
    return Counter(obj.data_stream.read().decode().split())


def add(results: list[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in results:
        total.update(counts)
    return total


def main(text: str, output: str) -> None:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    config = {
        "lithops": {"backend": "localhost", "storage": "minio"},
        "localhost": {"runtime": sys.executable, "worker_processes": WORKERS},
        "minio": {
            "endpoint": os.environ["AWS_ENDPOINT_URL"],
            "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "storage_bucket": bucket,
        },
    }
    with FunctionExecutor(config=config) as executor:
        # Its own reducer takes no more than 4 MiB of results.
        executor.map(count, f"minio://{bucket}/{key}", obj_chunk_number=CHUNKS)
        total = add(executor.get_result())
    with Path(output).open("w") as file:
        file.writelines(f"{word}\t{number}\n" for word, number in total.items())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
