"""List every distinct line once, and how often it occurs.

pymr start --input examples/distinct/input examples/distinct/worker.py
"""

import pymr


def mapper(ctx: pymr.Context, line: str) -> None:
    ctx.emit(line, None)


job = pymr.Job(mapper=mapper, reducer=pymr.COUNT, input=pymr.LINES)
