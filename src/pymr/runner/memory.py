"""The memory of a run, shared out by its settings and its size."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from pymr.config import Settings, this_machine
from pymr.config.machine import OTHER_FILES
from pymr.config.setting import FAN_IN_MAX
from pymr.config.value import spell_size
from pymr.core.budget import Budget, ProcessSize, RunSize, TaskMemory, divide, task_memory
from pymr.core.plan import MIB, workers_max
from pymr.core.sample import Sample
from pymr.core.spec import Attempt, InputFile, Limits, MapTask
from pymr.errors import ConfigError, TaskMemoryError
from pymr.records.compression import DECODER_BYTES
from pymr.store.access import is_address

# The client of a store, in each process that reads from one, and what it holds of an object: two
# pieces of 4 MiB, of which one is there twice while it comes. Measured with 140 MB of text.
CLIENT_BYTES = 4 * MIB
OBJECT_BYTES_MAX = 16 * MIB


class Share(NamedTuple):
    """What a run may use."""

    workers: int
    limits: Limits
    notices: tuple[str, ...]  # what was wished for and does not fit


def run_size(
    files: Sequence[InputFile],
    tasks: Sequence[MapTask],
    reducers: int,
    sample: Sample | None = None,
    *,
    output: str,
) -> RunSize:
    """Return how much there is to do; `sample` is mapped ahead of it."""
    largest = max((file.size for file in files if file.etag is not None), default=0)
    return RunSize(
        files=len(files),
        map_tasks=len(tasks),
        reduce_tasks=reducers,
        splits_max=max((len(task.splits) for task in tasks), default=0),
        decoder_bytes=max(
            (DECODER_BYTES[file.compression] for file in files if file.compression), default=0
        ),
        in_store=is_address(output),
        fetch_bytes=CLIENT_BYTES + min(2 * largest, OBJECT_BYTES_MAX) if largest else 0,
        sample_keys=sample.keys_max if sample is not None else 0,
    )


def share_out(settings: Settings, size: RunSize, process: ProcessSize) -> Share:
    """Divide the memory: `process` is a task process that has loaded the code.

    Raises:
        ConfigError: what must be known of so many inputs and tasks does not fit.
    """
    settings = _of_workers_at_work(settings, size)
    wished = settings.workers
    budget = divide(settings.memory_bytes, wished, size, process)
    if budget.needed_bytes > settings.memory_bytes:
        needed = _spelled(budget.needed_bytes)
        raise ConfigError(
            f"--memory is {spell_size(settings.memory_bytes)}, expected at least {needed} for"
            f" {size.files:,} inputs, {size.map_tasks:,} map tasks and"
            f" {size.reduce_tasks:,} reduce tasks",
            hint=f"--memory {needed}",
            setting="memory",
        )
    spill_bytes_max = budget.spill_bytes_max & -MIB  # whole, to read well
    limits = Limits(
        spill_bytes_max=min(settings.spill_bytes or spill_bytes_max, spill_bytes_max),
        merge_fan_in_max=min(settings.merge_fan_in, fan_in_max()),
        merge_bytes_max=budget.merge_bytes_max & -MIB,
        record_bytes_max=settings.max_record_bytes,
        expansion_max=settings.max_expansion,
    )
    return Share(budget.workers, limits, tuple(_notices(settings, wished, budget, limits)))


def _of_workers_at_work(settings: Settings, size: RunSize) -> Settings:
    """Return settings without the workers that have nothing to do.

    On one machine the others may use what memory those would have; elsewhere each has its own.
    """
    workers = min(settings.workers, workers_max(size.map_tasks, size.reduce_tasks))
    memory_bytes = settings.memory_bytes
    if settings.on != "local":
        memory_bytes = memory_bytes // settings.workers * workers
    return msgspec.structs.replace(settings, workers=workers, memory_bytes=memory_bytes)


def share_again(
    settings: Settings, limits: Limits, size: RunSize, process: ProcessSize
) -> tuple[int, tuple[str, ...]]:
    """Return how many workers fit in the memory of a run that is resumed, and what does not.

    Its `limits` are frozen: what a buffer may hold decides where a map task combines.
    """
    wished = min(settings.workers, workers_max(size.map_tasks, size.reduce_tasks))
    workers = wished
    while workers > 1:
        budget = divide(settings.memory_bytes, workers, size, process)
        if budget.workers == workers and budget.spill_bytes_max >= limits.spill_bytes_max:
            break
        workers -= 1
    lifted = tuple(_lifted(settings, workers))
    if workers == wished:
        return workers, lifted
    memory = f"of --memory {spell_size(settings.memory_bytes)}"
    buffers = f"buffers are of {spell_size(limits.spill_bytes_max)}, as the run was planned"
    fewer = f"workers is {wished}, going on with {workers} {memory}: {buffers}"
    return workers, (fewer, *lifted)


def task_memory_of(settings: Settings, workers: int) -> TaskMemory:
    """Return what one task may use on this machine."""
    machine_bytes = this_machine().memory_bytes
    return task_memory(settings.task_memory_bytes, machine_bytes, settings.memory_bytes, workers)


def too_much(attempt: Attempt, used_bytes: int, had_bytes: int, how: str = "") -> TaskMemoryError:
    """Return the error of an attempt that took more memory than it has; `how` that showed."""
    wished = 1 << max(used_bytes, had_bytes).bit_length()  # the next power of two
    hint = f"--task-memory {spell_size(wished)}"
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if how and resource.RLIM_INFINITY != allowed < had_bytes:  # Python was refused it before.
        had_bytes, hint = allowed, "ulimit -v unlimited"
    return TaskMemoryError(
        f"{attempt}{how} used {_spelled(used_bytes)}, had {_spelled(had_bytes)}",
        hint=hint,
        used_bytes=used_bytes,
        had_bytes=had_bytes,
    )


def fan_in_max() -> int:
    """Return how many sorted runs may be open at once; two always are."""
    files_max = this_machine().files_max
    return FAN_IN_MAX if files_max is None else max(files_max - OTHER_FILES, 2)


def _notices(settings: Settings, wished: int, budget: Budget, limits: Limits) -> Iterator[str]:
    memory = f"of --memory {spell_size(settings.memory_bytes)}"
    if limits.merge_fan_in_max < settings.merge_fan_in:
        most = f"{limits.merge_fan_in_max}, by the open files allowed here (ulimit -n)"
        yield f"merge_fan_in is {settings.merge_fan_in}, going on with {most}"
    if budget.workers < wished:
        each = f"each takes {_spelled(budget.process_bytes)}"
        if budget.sample_bytes:
            each += f", the sample for --sort {_spelled(budget.sample_bytes)},"
        each += f" {memory}"
        yield f"workers is {wished}, going on with {budget.workers}: {each}"
    if settings.spill_bytes and settings.spill_bytes > limits.spill_bytes_max:
        most = spell_size(limits.spill_bytes_max)
        yield f"spill is {spell_size(settings.spill_bytes)}, going on with {most} {memory}"
    yield from _lifted(settings, budget.workers)


def _lifted(settings: Settings, workers: int) -> Iterator[str]:
    """Tell of a limit of a task that is less than what the run may use of itself, here."""
    if settings.on != "local":
        return  # Each worker's machine has its own.
    asked, had = settings.task_memory_bytes, task_memory_of(settings, workers).beside_bytes
    if asked is not None and asked < had:
        yield (
            f"task_memory is {spell_size(asked)}, going on with {_spelled(had)}, a worker's part"
            f" of --memory {spell_size(settings.memory_bytes)}: a smaller --memory makes it less"
        )


def _spelled(size: int) -> str:
    """Return a size in whole MiB, rounded up."""
    return spell_size(-(-size // MIB) * MIB)
