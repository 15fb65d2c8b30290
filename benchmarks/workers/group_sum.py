"""No combiner: each word is a key, its length the value; the reducer sums."""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, len(word))


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    ctx.emit(key, sum(values))


job = pymr.Job(mapper=mapper, reducer=reducer)
