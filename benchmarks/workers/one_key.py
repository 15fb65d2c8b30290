"""One key holds all lines; the reducer counts them and their characters as they stream by."""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        ctx.emit("all", line)


def reducer(ctx: pymr.Context, _key: str, values: pymr.Values[str]) -> None:
    lines = characters = 0
    for value in values:
        lines += 1
        characters += len(value)
    ctx.emit("lines", lines)
    ctx.emit("characters", characters)


job = pymr.Job(mapper=mapper, reducer=reducer)
