"""How much each sensor's reading changes, in order of time: a secondary sort.

Keys are `(sensor, time)` and arrive sorted; the partitioner keeps all keys of a sensor in one
reduce task, so the reducer meets each sensor's readings one after the other.

pymr start --input examples/secondary_sort/input examples/secondary_sort/worker.py
"""

from zlib import crc32

import pymr

last: dict[str, int] = {}


def mapper(ctx: pymr.Context, line: str) -> None:
    time, sensor, reading = line.split()
    ctx.emit((sensor, time), int(reading))


def partitioner(key: tuple[str, str], partitions: int) -> int:
    sensor, _ = key
    return crc32(sensor.encode()) % partitions


def setup(_ctx: pymr.Context) -> None:
    last.clear()  # A process runs several attempts; each starts from nothing.


def reducer(ctx: pymr.Context, key: tuple[str, str], values: pymr.Values[int]) -> None:
    sensor, _ = key
    for reading in values:
        ctx.emit(key, reading - last.get(sensor, reading))
        last[sensor] = reading


job = pymr.Job(
    mapper=mapper, partitioner=partitioner, setup=setup, reducer=reducer, input=pymr.LINES
)
