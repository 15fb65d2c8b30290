"""Count words.

pymr start --input examples/wordcount/input examples/wordcount/worker.py
"""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, 1)


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    ctx.emit(key, sum(values))


job = pymr.Job(mapper=mapper, reducer=reducer, combiner=pymr.SUM)
