"""Runs the measures, prints one table, and appends to `history/`.

    python benchmarks/run.py                            all, small inputs
    python benchmarks/run.py --full                     all, inputs as large as the targets say
    python benchmarks/run.py --records 1000000 group_sum

Inputs and the environment of the peers are kept in `.bench`, for the next time.
"""

from __future__ import annotations

import argparse
import compileall
import sys
from collections.abc import Callable, Iterator
from functools import partial

import history
from assignments import assignments
from command import FOLDER, HERE, SideFailedError, adopt_orphans
from contest import Measure, Result, SkippedError, WrongAnswerError, hold
from emit import emit
from group_sum import SHOWN, group_sum
from growth import growth
from instructions import instructions
from memory import memory
from pods import pods
from recovery import recovery
from scaling import scaling
from scheduler import scheduler
from sizes import FULL, QUICK, Sizes
from sort_records import sort_records
from start_up import start_up
from store import JOBS, store
from table import render
from warm_start import warm_start
from word_count import word_count

from hosts import hosts

ROUNDS = 5
ROUNDS_KEPT_MIN = 5  # the median of fewer says little: shown, but not kept in the history
SOURCE = HERE.parent / "src"
MEASURES = (
    "start_up",
    "word_count",
    "emit",
    "group_sum",
    "sort_records",
    "store",
    "scaling",
    "growth",
    "memory",
    "instructions",
    "scheduler",
    "assignments",
    "recovery",
    "hosts",
    "warm_start",
    "pods",
)


def main() -> int:
    """Return 1 if a measure failed; the others are taken and kept nevertheless."""
    arguments = _arguments()
    # An installed PyMR has its bytecode; where Python may not write any, start-up doubles.
    compileall.compile_dir(SOURCE, quiet=1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    results: list[Result] = []
    problems: list[str] = []
    for build in _measures(arguments, _sizes(arguments)):
        try:
            results.append(_take(build, arguments.rounds))
        except SkippedError as reason:
            problems.append(f"skipped: {reason}")
        except (WrongAnswerError, SideFailedError) as error:
            problems.append(f"failed: {error}")
    for facts in (history.machine(), history.versions()):
        print(", ".join(f"{key} {value}" for key, value in facts.items()))
    if results:
        print(render(results))
    print(*problems, sep="\n", end="\n" if problems else "")
    return any(problem.startswith("failed") for problem in problems)


def _take(build: Callable[[], Measure], rounds: int) -> Result:
    measure = build()
    print(f"{measure.about} …", file=sys.stderr)
    result = hold(measure, rounds)
    if rounds >= ROUNDS_KEPT_MIN:
        history.append(result, history.command_line())
    return result


def _measures(arguments: argparse.Namespace, sizes: Sizes) -> Iterator[Callable[[], Measure]]:
    """Yield what makes each measure; its inputs are written when it is called."""
    with_peers = arguments.with_peers
    builders: dict[str, list[Callable[[], Measure]]] = {
        "start_up": [start_up],
        "word_count": [partial(word_count, sizes, with_peers=with_peers)],
        "emit": [partial(emit, sizes)],
        "group_sum": [partial(group_sum, sizes, kind, with_peers=with_peers) for kind in SHOWN],
        "sort_records": [partial(sort_records, sizes)],
        "store": [partial(store, sizes, job) for job in JOBS],
        "scaling": [partial(scaling, sizes)],
        "growth": [partial(growth, sizes)],
        "memory": [partial(memory, sizes)],
        "instructions": [instructions],
        "scheduler": [partial(scheduler, sizes)],
        "assignments": [partial(assignments, sizes)],
        "recovery": [partial(recovery, sizes)],
        "hosts": [partial(hosts, sizes, with_peers=with_peers)],
        "warm_start": [warm_start],
        "pods": [partial(pods, sizes)],
    }
    assert tuple(builders) == MEASURES
    for name in arguments.measures or MEASURES:
        yield from builders[name]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"fewer than {ROUNDS_KEPT_MIN}: not kept"
    )
    parser.add_argument("--full", action="store_true", help="inputs as large as the targets say")
    parser.add_argument(
        "--no-peers",
        dest="with_peers",
        action="store_false",
        help="leave out those that have to be installed",
    )
    for field in Sizes._fields:
        small, large = getattr(QUICK, field), getattr(FULL, field)
        text = f"default: {small:,}; with --full {large:,}"
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, metavar="N", help=text)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}, expected at least 1")
    if unknown := set(arguments.measures) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(unknown)}")
    return arguments


def _sizes(arguments: argparse.Namespace) -> Sizes:
    given = {field: getattr(arguments, field) for field in Sizes._fields}
    chosen = {field: size for field, size in given.items() if size is not None}
    return (FULL if arguments.full else QUICK)._replace(**chosen)


if __name__ == "__main__":
    sys.exit(main())
