"""Each line is a key: with --sort, the parts in their order are the sorted lines."""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    for line in chunk.splitlines():
        ctx.emit(line, "")


job = pymr.Job(mapper=mapper, reducer=pymr.IDENTITY)
