"""Find lines by a regular expression, in the order in which they stand.

pymr start --input examples/grep/input --set pattern=ERROR examples/grep/worker.py
"""

import re
from pathlib import PurePath

import pymr


def mapper(ctx: pymr.Context, line: str) -> None:
    if re.search(ctx.params["pattern"], line):
        ctx.emit((PurePath(ctx.input.file).name, ctx.input.offset), line)


job = pymr.Job(mapper=mapper, input=pymr.LINES)
