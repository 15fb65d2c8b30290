"""One job in process, for `instructions.py` to count: small_job.py TEXT FOLDER [NAME].

Without a name it does all but run it, so that what it takes to get there can be subtracted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from in_process import InProcess, jobs


def main(text: str, folder: str, name: str | None = None) -> None:
    runs = {each: InProcess(job, Path(text), Path(folder)) for each, job in jobs()}
    if name is not None:
        runs[name].map()
        runs[name].reduce()


if __name__ == "__main__":
    main(*sys.argv[1:])
