"""Valid events, receipts, phases and jobs for tests of the core, each with one detail to change."""

from __future__ import annotations

from collections.abc import Sequence

from pymr.core.events import (
    Failed,
    Finished,
    LeaseAsked,
    MemoryExceeded,
    TaskCommitted,
    Verified,
)
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.phase import Phase
from pymr.core.plan import grid_step, plan_map_tasks
from pymr.core.spec import (
    Attempt,
    EdgeSum,
    InputFile,
    JobSpec,
    MapTask,
    PhaseName,
    Receipt,
    Shape,
    SplitReceipt,
)
from pymr.errors import PymrError, TaskLostError, TaskMemoryError, UserCodeError, to_dict

LOST = to_dict(TaskLostError("task process ended by SIGKILL", reason="SIGKILL", returncode=-9))
USER = to_dict(UserCodeError("mapper raised KeyError: 'ts'", function="mapper"))


def phase(tasks: int = 1, name: PhaseName = "map", **limits: float) -> Phase:
    """A phase with leases of 10 s."""
    return Phase(name, tasks, PhaseLimits(**{"lease_s": 10.0, **limits}))  # type: ignore[arg-type]


def attempt(task: int = 0, number: int = 1, name: PhaseName = "map") -> Attempt:
    return Attempt(name, task, number)


def receipt(of: Attempt, **fields: object) -> Receipt:
    """A receipt of an attempt that read and wrote nothing."""
    base = {"key": f"{of}-{of.number}", "size": 1, "code_digest": "c", "footer_digest": "f"}
    return Receipt(attempt=of, **{**base, **fields})  # type: ignore[arg-type]


def asked(worker: str = "w", now: float = 0.0) -> LeaseAsked:
    return LeaseAsked(worker, now)


def finished(of: Attempt, now: float = 1.0) -> Finished:
    return Finished(of, receipt(of), now)


def verified(of: Attempt, now: float = 1.0) -> Verified:
    return Verified(receipt(of), (), (), now)


def committed(of: Attempt) -> TaskCommitted:
    return TaskCommitted(receipt(of))


def failed(
    of: Attempt, error: PymrError | None = None, signature: str = "", now: float = 1.0
) -> Failed:
    """A failure of user code, each with its own signature unless one is given."""
    told = USER if error is None else to_dict(error)
    retryable = error is not None and error.retryable
    return Failed(of, told, retryable, signature or f"{of}-{of.number}", now)


def exceeded(of: Attempt, now: float = 1.0) -> MemoryExceeded:
    """An attempt that took too much memory."""
    error = TaskMemoryError(
        f"{of} used 3G, had 2G", hint="--task-memory 4G", used_bytes=3 << 30, had_bytes=2 << 30
    )
    return MemoryExceeded(of, to_dict(error), now)


def complete(machine: Phase | Job, of: Attempt, now: float = 1.0) -> list[object]:
    """Finish, verify and commit a leased attempt; return what the commit asked for."""
    for event in (finished(of, now), verified(of, now)):
        machine.handle(event)
    return list(machine.handle(committed(of)))


# -- a job whose books balance ---------------------------------------------------------------


def files(*sizes: int) -> list[InputFile]:
    return [InputFile(f"{n}.txt".encode(), size, grid_step(size)) for n, size in enumerate(sizes)]


def spec(reducers: int = 2) -> JobSpec:
    reducer = "function" if reducers else None
    shape = Shape(input_format="lines", reducer=reducer, combiner=None, digest="d")
    return JobSpec(run="r", name="wordcount", worker="worker.py", shape=shape, reducers=reducers)


def job(
    sizes: Sequence[int] = (26,),
    mappers: int = 2,
    reducers: int = 2,
    deadline: float | None = None,
    **limits: float,
) -> Job:
    """A job over files of `sizes`, with leases of 10 s."""
    inputs = files(*sizes)
    tasks = plan_map_tasks(inputs, mappers)
    told = PhaseLimits(**{"lease_s": 10.0, **limits})  # type: ignore[arg-type]
    return Job(spec(reducers), inputs, tasks, told, deadline)


def edge_sum(task: int, partition: int) -> EdgeSum:
    """What map task `task` writes for `partition`."""
    records = 3 + task + partition
    return EdgeSum(records, records * 7, (task + 1) << 127 | partition)


def map_verified(of: Attempt, task: MapTask, reducers: int, now: float = 1.0) -> Verified:
    """A map attempt that read a record for each byte and wrote `edge_sum` to each partition."""
    splits = tuple(
        SplitReceipt(
            input=split.input,
            start=split.start,
            end=split.end,
            bytes=split.end - split.start,
            records=split.end - split.start,
            first_offset=split.start,
            last_offset=split.end - 1,
            digest=split.end << 123,
        )
        for split in task.splits
    )
    partitions = tuple(edge_sum(task.index, partition) for partition in range(reducers))
    written = sum(partitions, EdgeSum())
    emitted = written.records if reducers else 5
    told = receipt(
        of,
        bytes_in=task.size,
        records_in=task.size,
        calls=task.size,
        emitted=emitted,
        written=written,
        records_out=0 if reducers else emitted,
        counters={"mapped": 1},
    )
    return Verified(told, partitions, splits, now)


def reduce_verified(of: Attempt, map_tasks: int, now: float = 1.0) -> Verified:
    """A reduce attempt that read all that the map tasks wrote for its partition."""
    read = sum((edge_sum(task, of.task) for task in range(map_tasks)), EdgeSum())
    groups = min(read.records, 2)
    told = receipt(
        of,
        footer_digest=None,
        read=read,
        reduced=read.records,
        groups=groups,
        calls=groups,
        records_out=groups,
        counters={"reduced": 1},
    )
    return Verified(told, (), (), now)
