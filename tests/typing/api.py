"""Worker code as users write it: what must pass `mypy --strict`, and what must not.

Never run. Each `type: ignore` is a mistake that the types find; mypy reports one that they do
not find any more as unused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import pymr

# -- mappers and reducers ----------------------------------------------------------------------


def count_words(ctx: pymr.Context, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, 1)
    ctx.count("chunks")
    ctx.count("bytes", len(chunk))


def pairs(ctx: pymr.Context, line: str) -> Iterator[tuple[str, int]]:
    yield line, ctx.input.offset


def listed(ctx: pymr.Context, data: bytes) -> list[tuple[tuple[str, int], bytes]]:
    return [((ctx.input.file, len(data)), data)]


def add(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    ctx.emit(key, sum(values))


def longest(_ctx: pymr.Context, key: str, values: pymr.Values[str]) -> Iterator[tuple[str, str]]:
    yield key, max(values, key=len)


def first(ctx: pymr.Context, _key: str, values: pymr.Values[float]) -> None:
    assert_type(next(values), float)
    for value in values:
        assert_type(value, float)
    assert_type(ctx.params, dict[str, str])
    assert_type(ctx.input.file, str)
    assert_type(ctx.input.offset, int)


def by_length(key: str, partitions: int) -> int:
    return len(key) % partitions


def opened(ctx: pymr.Context) -> None:
    ctx.count("setups")


class Counter:
    """An object that is called is a function as well."""

    def __call__(self, ctx: pymr.Context, chunk: str) -> None:  # noqa: D102 - no part of the API
        ctx.emit(len(chunk), 1)


# -- jobs --------------------------------------------------------------------------------------

pymr.Job(mapper=count_words)
pymr.Job(mapper=count_words, reducer=add, combiner=pymr.SUM)
pymr.Job(mapper=pairs, reducer=longest, combiner=longest, input=pymr.LINES)
pymr.Job(mapper=listed, reducer=pymr.COUNT, input=pymr.WHOLE)
pymr.Job(mapper=Counter(), reducer=pymr.MIN, partitioner=by_length, input=pymr.TEXT)
pymr.Job(mapper=lambda ctx, chunk: ctx.emit(chunk, 1), reducer=pymr.MAX)
job = pymr.Job(mapper=count_words, reducer=add, setup=opened, teardown=opened)

pymr.Job()  # type: ignore[call-arg]
pymr.Job(count_words)  # type: ignore[call-arg]
pymr.Job(mapper=None)  # type: ignore[arg-type]
pymr.Job(mapper="count_words")  # type: ignore[arg-type]
pymr.Job(mapper=add)  # type: ignore[arg-type]
pymr.Job(mapper=count_words, reducer=count_words)  # type: ignore[arg-type]
pymr.Job(mapper=count_words, reducer="sum")  # type: ignore[arg-type]
pymr.Job(mapper=count_words, input="lines")  # type: ignore[arg-type]
pymr.Job(mapper=count_words, input=pymr.SUM)  # type: ignore[arg-type]
pymr.Job(mapper=count_words, reduce=add)  # type: ignore[call-arg]
pymr.Job(mapper=count_words, partitioner=add)  # type: ignore[arg-type]
pymr.Job(mapper=count_words, setup=count_words)  # type: ignore[arg-type]


def returns_a_number(_ctx: pymr.Context, chunk: str) -> int:
    return len(chunk)


async def waits(ctx: pymr.Context, chunk: str) -> None:
    ctx.emit(chunk, 1)


pymr.Job(mapper=returns_a_number)  # type: ignore[arg-type]
pymr.Job(mapper=waits)  # type: ignore[arg-type]


def mistaken(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    ctx.emit(key)  # type: ignore[call-arg]
    ctx.count(1)  # type: ignore[arg-type]
    ctx.count("n", 1.5)  # type: ignore[arg-type]
    ctx.params = {}  # type: ignore[misc]
    ctx.yield_(key, 1)  # type: ignore[attr-defined]
    len(values)  # type: ignore[arg-type]
    values[0]  # type: ignore[index]
    "".join(values)  # type: ignore[arg-type]


# -- running -----------------------------------------------------------------------------------


def use() -> None:
    result = pymr.run(job, input="in.txt")
    assert_type(result, pymr.Result)
    pymr.run(job, input=b"in.txt")
    pymr.run(job, input=Path("in.txt"), params={"pattern": "a"})
    pymr.run(job, input=["a", b"b", Path("c")], reducers=8, memory="2G", output=Path("out"))
    for key, value in result:
        assert key != value
    assert_type(result.counters, dict[str, int])
    assert_type(result.output, str)
    assert_type(result.manifest.records, int)
    assert_type(len(result.head(3)), int)
    assert_type([bad.line for bad in result.bad_records], list[int | None])
    assert_type(pymr.replay("run", job=job, skip_bad_records=3), pymr.Result)
    try:
        pymr.run(job, input="in.txt")
    except pymr.errors.UserCodeError as error:
        assert_type(error.hint, str | None)
        assert_type(error.exit_code, int)

    pymr.run(job)  # type: ignore[call-arg]
    pymr.run(job, "in.txt")  # type: ignore[call-arg]
    pymr.run(count_words, input="in.txt")  # type: ignore[arg-type]
    pymr.run(job, input=3)  # type: ignore[arg-type]
    pymr.run(job, input="in.txt", params={"n": 3})  # type: ignore[dict-item]
    pymr.run(job, input="in.txt").colour  # type: ignore[attr-defined]  # noqa: B018
    pymr.colour  # type: ignore[attr-defined]  # noqa: B018


if __name__ == "__main__":
    pymr.main(job)
    pymr.main(count_words)  # type: ignore[arg-type]
