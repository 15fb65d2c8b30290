"""Each line is a key: with --sort, the parts in their order are the sorted lines."""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        ctx.emit(line, "")


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[str]) -> None:
    for value in values:
        ctx.emit(key, value)


job = pymr.Job(mapper=mapper, reducer=reducer)
