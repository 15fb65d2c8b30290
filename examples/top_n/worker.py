"""The N best scores of each game; `--set n=5` for more than three.

pymr start --input examples/top_n/input examples/top_n/worker.py
"""

from collections.abc import Iterable
from heapq import nlargest

import pymr

Score = tuple[int, str]


def mapper(ctx: pymr.Context, line: str) -> None:
    game, player, points = line.split("\t")
    ctx.emit(game, (int(points), player))


def combiner(ctx: pymr.Context, key: str, values: pymr.Values[Score]) -> None:
    for score in best(ctx, values):
        ctx.emit(key, score)


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[Score]) -> None:
    for rank, (points, player) in enumerate(best(ctx, values), start=1):
        ctx.emit((key, rank), (player, points))


def best(ctx: pymr.Context, scores: Iterable[Score]) -> list[Score]:
    return nlargest(int(ctx.params.get("n", "3")), scores)


job = pymr.Job(mapper=mapper, combiner=combiner, reducer=reducer, input=pymr.LINES)
