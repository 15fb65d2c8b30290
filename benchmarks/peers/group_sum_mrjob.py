"""The sum of the values of each key by mrjob, in local processes.

    python group_sum_mrjob.py TEXT OUTPUT

mrjob starts this file again for each of its tasks, with options of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class GroupSum(MRJob):
    """Words and their lengths, summed for each word."""

    OUTPUT_PROTOCOL = TextProtocol

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        """Yield each word with its length."""
        for word in line.split():
            yield word, len(word)

    def reducer(self, word: str, values: Iterator[int]) -> Iterator[tuple[str, str]]:
        """Yield the row of one word."""
        yield word, str(sum(values))


if __name__ == "__main__":
    if len(sys.argv) == 3 and not sys.argv[1].startswith("-"):
        text, output = sys.argv[1:]
        cores, folder = os.environ["PEER_WORKERS"], tempfile.gettempdir()
        options = ["--runner=local", f"--num-cores={cores}", f"--local-tmp-dir={folder}"]
        sys.argv[1:] = [*options, f"--output-dir={output}", "--no-cat-output", text]
    GroupSum.run()
