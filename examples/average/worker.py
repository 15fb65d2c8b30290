"""Average by key: an average of averages is wrong, sums and counts add up.

pymr start --input examples/average/input examples/average/worker.py
"""

import pymr

SumAndCount = tuple[int, int]


def mapper(ctx: pymr.Context, line: str) -> None:
    page, milliseconds = line.split()
    ctx.emit(page, (int(milliseconds), 1))


def combiner(ctx: pymr.Context, key: str, values: pymr.Values[SumAndCount]) -> None:
    ctx.emit(key, add(values))


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[SumAndCount]) -> None:
    total, count = add(values)
    ctx.emit(key, total / count)


def add(values: pymr.Values[SumAndCount]) -> SumAndCount:
    total = count = 0
    for one_total, one_count in values:
        total += one_total
        count += one_count
    return total, count


job = pymr.Job(mapper=mapper, combiner=combiner, reducer=reducer, input=pymr.LINES)
