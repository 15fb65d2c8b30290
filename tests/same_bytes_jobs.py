"""Jobs whose output tells whether a pair was lost, came twice, or out of order.

It imports nothing of the tests, so that it can travel with a worker file:

    from same_bytes_jobs import job_of
    job = job_of("join")
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pymr


def text(first: str, place: int) -> str:
    return f"{first}-{place}"


def large_number(first: str, place: int) -> int:
    return place << 60 | len(first)


def pairs_of(line: str, value_of: Callable[[str, int], Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what a line becomes; each word is a key that many lines share."""
    first, *rest = line.split(" ")
    for place, word in enumerate(rest):
        yield (word, len(first) % 2 == 0), value_of(first, place)


def mapper_of(value_of: Callable[[str, int], Any]) -> Callable[[Any, str], None]:
    def mapper(ctx: Any, line: str) -> None:
        for key, value in pairs_of(line, value_of):
            ctx.emit(key, value)
        die_once(ctx, "map")

    return mapper


def join(ctx, key, values):
    """Concatenation is associative: a lawful combiner, and sensitive to order."""
    ctx.emit(key, "|".join(values))


def join_or_die(ctx, key, values):
    join(ctx, key, values)
    die_once(ctx, "reduce")


def die_once(ctx, phase):
    """Kill this process where the run asks for it, once: a token file is the memory.

    `kill` is `map`, `reduce`, or `worker-map`: then its parent is killed, a worker.
    """
    whom, _, where = ctx.params["kill"].rpartition("-")
    if where != phase:
        return
    try:
        os.close(os.open(ctx.params["token"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getppid() if whom == "worker" else os.getpid(), signal.SIGKILL)


class Work(NamedTuple):
    """What a job computes, and the same for the oracle."""

    value_of: Callable[[str, int], Any]
    reducer: Any
    expected: Callable[[Iterable[Any]], Any]
    combiner: Any = None


WORK = {
    "join": Work(text, join_or_die, "|".join),
    "join and combine": Work(text, join_or_die, "|".join, join),
    "sum": Work(large_number, pymr.SUM, sum),
    "count": Work(text, pymr.COUNT, lambda values: len(list(values))),
}


def job_of(name: str) -> pymr.Job:
    """Return the job of that name."""
    value_of, reducer, _, combiner = WORK[name]
    return pymr.Job(
        mapper=mapper_of(value_of), reducer=reducer, combiner=combiner, input=pymr.LINES
    )
