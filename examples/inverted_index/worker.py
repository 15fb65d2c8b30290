"""Index words: which files is each word in?

pymr start --input examples/inverted_index/input examples/inverted_index/worker.py
"""

import re
from pathlib import PurePath

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    file = PurePath(ctx.input.file).name
    for word in re.findall(r"[a-z]+", chunk.lower()):
        ctx.emit(word, file)


def combiner(ctx: pymr.Context, key: str, values: pymr.Values[str]) -> None:
    for file in sorted(set(values)):
        ctx.emit(key, file)


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[str]) -> None:
    ctx.emit(key, sorted(set(values)))


job = pymr.Job(mapper=mapper, combiner=combiner, reducer=reducer)
