"""The memory of a run, shared out by its settings and its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pymr.config import Settings
from pymr.config.value import spell_size
from pymr.core.budget import Budget, ProcessSize, RunSize, divide
from pymr.core.plan import MIB
from pymr.core.spec import InputFile, Limits, MapTask
from pymr.errors import ConfigError
from pymr.records.compression import DECODER_BYTES


class Share(NamedTuple):
    """What a run may use."""

    workers: int
    limits: Limits
    notices: tuple[str, ...]  # what was wished for and does not fit


def run_size(files: Sequence[InputFile], tasks: Sequence[MapTask], reducers: int) -> RunSize:
    """Return how much there is to do."""
    return RunSize(
        files=len(files),
        map_tasks=len(tasks),
        reduce_tasks=reducers,
        splits_max=max((len(task.splits) for task in tasks), default=0),
        decoder_bytes=max(
            (DECODER_BYTES[file.compression] for file in files if file.compression), default=0
        ),
    )


def share_out(settings: Settings, size: RunSize, process: ProcessSize) -> Share:
    """Divide the memory: `process` is a task process that has loaded the code.

    Raises:
        ConfigError: what must be known of so many inputs and tasks does not fit.
    """
    wished = min(settings.workers, max(size.map_tasks, size.reduce_tasks, 1))
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
        merge_fan_in_max=settings.merge_fan_in,
        merge_bytes_max=budget.merge_bytes_max & -MIB,
        record_bytes_max=settings.max_record_bytes,
        expansion_max=settings.max_expansion,
    )
    return Share(budget.workers, limits, tuple(_notices(settings, wished, budget, limits)))


def share_again(
    settings: Settings, limits: Limits, size: RunSize, process: ProcessSize
) -> tuple[int, tuple[str, ...]]:
    """Return how many workers fit in the memory of a run that is resumed, and what does not.

    Its `limits` are frozen: what a buffer may hold decides where a map task combines.
    """
    wished = min(settings.workers, max(size.map_tasks, size.reduce_tasks, 1))
    workers = wished
    while workers > 1:
        budget = divide(settings.memory_bytes, workers, size, process)
        if budget.workers == workers and budget.spill_bytes_max >= limits.spill_bytes_max:
            break
        workers -= 1
    if workers == wished:
        return workers, ()
    memory = f"of --memory {spell_size(settings.memory_bytes)}"
    buffers = f"buffers are of {spell_size(limits.spill_bytes_max)}, as the run was planned"
    return workers, (f"workers is {wished}, going on with {workers} {memory}: {buffers}",)


def _notices(settings: Settings, wished: int, budget: Budget, limits: Limits) -> Iterator[str]:
    memory = f"of --memory {spell_size(settings.memory_bytes)}"
    if budget.workers < wished:
        each = f"each takes {_spelled(budget.process_bytes)} {memory}"
        yield f"workers is {wished}, going on with {budget.workers}: {each}"
    if settings.spill_bytes and settings.spill_bytes > limits.spill_bytes_max:
        most = spell_size(limits.spill_bytes_max)
        yield f"spill is {spell_size(settings.spill_bytes)}, going on with {most} {memory}"


def _spelled(size: int) -> str:
    """Return a size in whole MiB, rounded up."""
    return spell_size(-(-size // MIB) * MIB)
