"""Runs the measures, prints one table, and appends to `history/`.

    python benchmarks/run.py [--rounds 5] [--megabytes 32] [MEASURE …]

Text is kept in the folder of temporary files, for the next time.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from pathlib import Path

import history
from contest import Measure, Times, hold
from start_up import start_up
from table import render
from word_count import word_count

ROUNDS_MIN = 5  # the median of fewer says little
SOURCE = Path(__file__).parent.parent / "src"
MEASURES = ("start_up", "word_count")


def main() -> None:
    arguments = _arguments()
    # An installed PyMR has its bytecode; where Python may not write any, start-up doubles.
    compileall.compile_dir(SOURCE, quiet=1)
    folder = Path(tempfile.gettempdir()) / "pymr-benchmarks"
    folder.mkdir(exist_ok=True)
    results: list[tuple[Measure, list[Times]]] = []
    for name in arguments.measures or MEASURES:
        measure = _measure(name, folder, arguments.megabytes)
        print(f"{measure.about} …", file=sys.stderr)
        results.append((measure, hold(measure, arguments.rounds, folder)))
    machine = ", ".join(f"{key} {value}" for key, value in history.machine().items())
    print(machine)
    print(", ".join(f"{key} {value}" for key, value in history.versions().items()))
    print(render(results))
    for measure, times in results:
        history.append(measure, times, history.command_line())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=ROUNDS_MIN, help="at least 5")
    parser.add_argument("--megabytes", type=int, default=32, help="of text, 1,000,000 bytes each")
    arguments = parser.parse_args()
    if arguments.rounds < ROUNDS_MIN:
        parser.error(f"--rounds {arguments.rounds}, expected at least {ROUNDS_MIN}")
    if unknown := set(arguments.measures) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(unknown)}")
    return arguments


def _measure(name: str, folder: Path, megabytes: int) -> Measure:
    return start_up(folder) if name == "start_up" else word_count(folder, megabytes)


if __name__ == "__main__":
    main()
