"""A job whose map tasks do nothing, or wait as long as their line says: `12.5 …` seconds.

Each line is a key, so that its reduce task has something to count.
"""

import time

import pymr


def mapper(ctx: pymr.Context, line: str) -> None:
    time.sleep(float(line))
    ctx.emit(line, 1)


job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
