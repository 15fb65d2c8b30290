"""The division of the memory: everything that is held together adds up to no more than was given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymr.core import budget
from pymr.core.budget import Budget, ProcessSize, RunSize, TaskMemory, divide, task_memory
from pymr.core.plan import MIB
from pymr.core.sample import SAMPLE_KEYS_MAX


def size(**changes: int) -> RunSize:
    return RunSize(**{"files": 1, "map_tasks": 8, "reduce_tasks": 8, "splits_max": 1} | changes)


def divided(megabytes: int, workers: int = 2, private: int = 9, **changes: int) -> Budget:
    process = ProcessSize(private * MIB, 11 * MIB)
    return divide(megabytes * MIB, workers, size(**changes), process)


def test_a_share_that_is_large_enough_is_one_buffer_or_one_merge() -> None:
    """512 MiB for two: what the interpreters leave, less a part for records that are large."""
    found = divided(512)

    assert found.workers == 2
    assert 150 * MIB < found.spill_bytes_max < 200 * MIB
    assert found.merge_bytes_max == found.spill_bytes_max


def test_more_memory_makes_no_larger_buffer() -> None:
    """A machine of a terabyte sorts no longer at a time."""
    assert divided(1 << 20).spill_bytes_max == budget.SPILL_BYTES_MAX


def test_a_writer_into_a_store_holds_parts_that_fewer_workers_hold() -> None:
    """Four of them would need more than 256 MiB, two do with it."""
    here, there = divided(256, workers=4), divided(256, workers=4, in_store=True)

    assert (here.workers, there.workers) == (4, 2)
    assert there.process_bytes == here.process_bytes + budget.STORE_BYTES


def test_workers_that_do_not_fit_are_cut() -> None:
    """Each needs its interpreter and a little to work with; one there always is."""
    assert divided(256, workers=100).workers == 8
    assert divided(256, workers=3).workers == 3
    assert divided(16 << 10, workers=100).workers == 100
    assert divided(1, workers=100).workers == 1


def test_modules_of_the_user_count_in_each_process() -> None:
    """Fewer fit; where not even one does, it runs all the same, since user code is excepted."""
    assert divided(512, workers=8, private=150).workers == 2
    alone = divided(256, workers=8, private=2000)
    assert (alone.workers, alone.spill_bytes_max) == (1, budget.WORK_BYTES_MIN * 3 // 4)
    assert alone.needed_bytes < 256 * MIB


@pytest.mark.parametrize(
    "changes",
    [{"files": 50_000}, {"map_tasks": 40_000}, {"splits_max": 50_000}, {"reduce_tasks": 10_000}],
    ids=str,
)
def test_what_must_be_known_of_a_run_leaves_less_for_its_work(changes: dict[str, int]) -> None:
    """Inputs, tasks, splits and map outputs are objects of the runner and its processes."""
    assert divided(512, **changes).spill_bytes_max < divided(512).spill_bytes_max - 15 * MIB


def test_map_outputs_are_read_by_reduce_tasks_alone() -> None:
    """A map-only job has no process that must know them."""
    many = {"map_tasks": 20_000}

    with_reducers, without = divided(512, **many), divided(512, **many, reduce_tasks=0)

    assert without.spill_bytes_max > with_reducers.spill_bytes_max


def test_a_run_says_what_it_needs_at_the_least() -> None:
    """So that the one that cannot fit is refused with a number."""
    assert divided(256).needed_bytes < 80 * MIB
    assert divided(256, files=1_000_000).needed_bytes > 2048 * MIB


def test_a_decoder_is_held_beside_the_buffer() -> None:
    """What decompresses an input has a window of its own."""
    plain, packed = divided(512), divided(512, decoder_bytes=66 * MIB)

    assert 45 * MIB < plain.spill_bytes_max - packed.spill_bytes_max < 70 * MIB


def test_a_sample_leaves_room_for_fewer_workers_and_the_same_buffers() -> None:
    """It is gone before they have work; the least memory holds the largest that there is."""
    largest = {"sample_keys": SAMPLE_KEYS_MAX, "reduce_tasks": 10_000}

    plain, sorting = divided(256, workers=8), divided(256, workers=8, sample_keys=200_000)
    two, two_sorting = divided(512), divided(512, sample_keys=200_000)

    assert (plain.workers, plain.sample_bytes) == (8, 0)
    assert (sorting.workers, sorting.sample_bytes) == (7, 200_000 * budget.SAMPLE_KEY_BYTES)
    assert (two_sorting.workers, two_sorting.sample_bytes) == (2, 0)
    assert two_sorting.spill_bytes_max == two.spill_bytes_max
    assert divided(256, **largest).needed_bytes <= 256 * MIB


SIZES = st.builds(
    RunSize,
    files=st.integers(0, 10_000),
    map_tasks=st.integers(1, 10_000),
    reduce_tasks=st.integers(0, 1000),
    splits_max=st.integers(0, 10_000),
    decoder_bytes=st.sampled_from([0, MIB, 66 * MIB]),
    sample_keys=st.sampled_from([0, 40_000, SAMPLE_KEYS_MAX]),
)


@given(st.integers(256, 1 << 20), st.integers(1, 1024), SIZES, st.integers(1, 300))
def test_the_parts_are_never_more_than_the_whole(
    megabytes: int, workers: int, run: RunSize, private: int
) -> None:
    """Runner, and for each process its own, what it is told, reading and writing, and its work."""
    memory = megabytes * MIB
    process = ProcessSize(private * MIB, 20 * MIB)
    found = divide(memory, workers, run, process)

    told = max(
        budget.SPLIT_BYTES * run.splits_max + run.decoder_bytes,
        budget.SOURCE_BYTES * run.map_tasks if run.reduce_tasks else 0,
    )
    idle = max(process.private_bytes + budget.ATTEMPT_MODULES_BYTES, budget.PROCESS_BYTES)
    large = min((found.spill_bytes_max - 1) // 3, budget.RECORDS_BYTES_MAX)
    each = idle + told + budget.READ_WRITE_BYTES + found.spill_bytes_max + large
    runner = (
        budget.RUNNER_BYTES
        + process.mapped_bytes
        + budget.FILE_BYTES * run.files
        + budget.TASK_BYTES * (run.map_tasks + run.reduce_tasks)
    )
    sampling = (each - found.spill_bytes_max - large) * found.workers
    sampling += budget.SAMPLE_KEY_BYTES * run.sample_keys
    fits = runner + max(each * found.workers, sampling) <= memory

    assert 1 <= found.workers <= workers
    assert found.spill_bytes_max >= budget.WORK_BYTES_MIN * 3 // 4
    assert fits or found.workers == 1


def test_a_budget_does_not_depend_on_anything_else() -> None:
    """Twice the same, field by field."""
    same: Any = [divided(300, workers=5, files=7) for _ in range(2)]

    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("asked", "memory", "expected"),
    [
        (None, 400, (450, 900)),  # nine tenths of the machine, by workers
        (100, 150, (100, 900)),
        (100, 400, (200, 900)),  # a worker's part of --memory
        (2000, 400, (2000, 2000)),  # it may swap
        (None, 3000, (1500, 1500)),
    ],
)
def test_what_one_task_may_use(asked: int | None, memory: int, expected: tuple[int, int]) -> None:
    """Of a machine of 1000 with two workers, beside others and alone."""
    assert task_memory(asked, 1000, memory, workers=2) == TaskMemory(*expected)
