"""The sum of the values of each key in one dict, in one process: group_sum_dict.py TEXT OUTPUT.

A word is a key, its length the value, as in `workers/group_sum.py`. It is here for its answer,
which the others must equal.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(text: str, output: str) -> None:
    sums: dict[str, int] = {}
    with Path(text).open() as lines:
        for line in lines:
            for word in line.split():
                sums[word] = sums.get(word, 0) + len(word)
    with Path(output).open("w") as file:
        file.writelines(f"{word}\t{total}\n" for word, total in sums.items())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
