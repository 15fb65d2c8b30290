"""How the memory of a run is divided: `--memory` holds for the sum of all its processes.

    memory ─┬─ the runner: its interpreter, what it knows of tasks and inputs; the files that all
            │  processes map, once
            └─ each task process: its interpreter and the user's modules, what it is told of the
               run, what reading and writing take, and its work: the buffer of a map task, or the
               sorted runs of a merge, never both at a time

Pure functions of sizes. What user code holds while it runs is not in it, but has a limit of its
own: what one task may use, all included.
"""

from __future__ import annotations

import msgspec

from pymr.core.plan import KIB, MIB

# Proportional set sizes, Linux x86_64, CPython 3.11, jobs of 300 MB with 2 to 8 workers: a runner
# had 12 to 15 MiB of its own, a task process between attempts 11 to 12, libraries were 11 more.
RUNNER_BYTES = 18 * MIB
PROCESS_BYTES = 12 * MIB
MAPPED_BYTES = 12 * MIB
ATTEMPT_MODULES_BYTES = 3 * MIB  # imported by the first attempt, behind the user's code

# What is known of the run, measured with 20,000 of each; the manifest and its text included.
FILE_BYTES = 3 * KIB  # of an input, in the runner
TASK_BYTES = 4 * KIB  # of a map or reduce task, in the runner
SPLIT_BYTES = 2 * KIB  # of a split of the map task at hand, in its process
SOURCE_BYTES = 2 * KIB  # of a map output, in the process of a reduce task
SAMPLE_KEY_BYTES = 400  # of a key of the sample for --sort, in all processes; it is gone afterwards

READ_WRITE_BYTES = 8 * MIB  # reads, chunks, rows, a run that is written, what is free and not back
# More of it where objects are in a store: the library, and a writer with its parts, of 8 MiB each:
# one that is filled, joined, waiting, and three that go up. 59 MiB measured, with 200 MB written.
STORE_BYTES = 60 * MIB
WORK_BYTES_MIN = 8 * MIB  # with less, processes spill more than they work
SPILL_BYTES_MAX = 256 * MIB  # beyond, a longer sort costs what a saved merge gains
# A record that is read or written is there in up to three copies: of a process's work a quarter is
# for large ones, but no more than those of 16 MiB take.
RECORDS_SHARE = 4
RECORDS_BYTES_MAX = 48 * MIB


# Of the machine's memory; the rest is for the runner and other programs. A task that grows by
# 1 GB/s, as fast as pages are made, is stopped within the 100 ms in which it is looked at.
TASKS_SHARE = 0.9


class RunSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to do."""

    files: int
    map_tasks: int
    reduce_tasks: int
    splits_max: int  # of one map task
    decoder_bytes: int = 0  # of what decompresses an input
    in_store: bool = False  # objects are written into a store, not into a folder
    fetch_bytes: int = 0  # of an object that is an input, and of the client of its store
    sample_keys: int = 0  # that may be kept of the sample for --sort, before there is other work


class ProcessSize(msgspec.Struct, frozen=True):
    """A task process that has loaded the user's code: its own pages, and those of files."""

    private_bytes: int = PROCESS_BYTES
    mapped_bytes: int = MAPPED_BYTES


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may use so that all of it stays within its memory."""

    workers: int
    process_bytes: int  # of a task process at work, at the least
    sample_bytes: int  # of the sample for --sort, if fewer workers fit beside it; else 0
    needed_bytes: int  # of the whole run, at the least: one worker, no modules of the user's
    spill_bytes_max: int
    merge_bytes_max: int


def divide(memory_bytes: int, workers: int, run: RunSize, process: ProcessSize) -> Budget:
    """Return how many of `workers` fit, at least 1, and what each may use.

    Where not even one fits, it has the least to work with: compare `needed_bytes`, or it is the
    user's modules that are too large.
    """
    told = max(
        SPLIT_BYTES * run.splits_max + run.decoder_bytes + run.fetch_bytes,
        SOURCE_BYTES * run.map_tasks * bool(run.reduce_tasks),
    )
    fixed = told + READ_WRITE_BYTES + STORE_BYTES * run.in_store
    idle = max(process.private_bytes + ATTEMPT_MODULES_BYTES, PROCESS_BYTES)
    known = FILE_BYTES * run.files + TASK_BYTES * (run.map_tasks + run.reduce_tasks)
    rest = memory_bytes - RUNNER_BYTES - max(process.mapped_bytes, MAPPED_BYTES) - known
    sample = SAMPLE_KEY_BYTES * run.sample_keys
    fitting = min(workers, rest // (idle + fixed + WORK_BYTES_MIN))
    beside_sample = (rest - sample) // (idle + fixed)
    workers = max(1, min(fitting, beside_sample))
    work = max(rest // workers - idle - fixed, WORK_BYTES_MIN)
    work -= min(work // RECORDS_SHARE, RECORDS_BYTES_MAX)
    return Budget(
        workers=workers,
        process_bytes=idle + fixed + WORK_BYTES_MIN,
        sample_bytes=sample if beside_sample < fitting else 0,
        needed_bytes=RUNNER_BYTES
        + MAPPED_BYTES
        + known
        + PROCESS_BYTES
        + fixed
        + max(WORK_BYTES_MIN, sample),
        spill_bytes_max=min(work, SPILL_BYTES_MAX),
        merge_bytes_max=min(work, SPILL_BYTES_MAX),
    )


class TaskMemory(msgspec.Struct, frozen=True):
    """What one task may use, user code included: beside others, and alone."""

    beside_bytes: int
    alone_bytes: int


def task_memory(
    asked_bytes: int | None, machine_bytes: int, memory_bytes: int, workers: int
) -> TaskMemory:
    """Return what a task may use; None: as large a part of the machine as each worker can have.

    It is no less than the part of `memory_bytes` that a worker has, and alone no less than
    what the machine has for all tasks.
    """
    usable = int(machine_bytes * TASKS_SHARE)
    beside = max(asked_bytes or usable // workers, memory_bytes // workers)
    return TaskMemory(beside, max(beside, usable))
