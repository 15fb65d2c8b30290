"""All of the input goes through the shuffle: 10 bytes of a line are the key, the rest the value."""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        ctx.emit(line[:10], line[10:])


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[str]) -> None:
    for value in values:
        ctx.emit(key, value)


job = pymr.Job(mapper=mapper, reducer=reducer)
