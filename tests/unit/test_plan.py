"""The grid, the default numbers and the tiling of inputs by map tasks."""

from __future__ import annotations

import time

import pytest

from core_samples import files
from pymr.core.plan import (
    GIB,
    KIB,
    MAPPERS_MAX,
    MIB,
    cell_count,
    default_mappers,
    default_reducers,
    grid_step,
    plan_map_tasks,
)
from pymr.core.spec import InputFile, Split


def stream(size: int) -> InputFile:
    """A compressed file, which cannot be split."""
    return InputFile(b"a.gz", size, grid_step(size), stream=True, compression="gzip")


@pytest.mark.parametrize(
    ("size", "step"),
    [
        (0, 1),
        (1, 1),
        (26, 1),
        (31, 1),
        (32, 2),
        (63, 2),
        (64, 4),
        (MIB - 1, 32 * KIB),
        (MIB, 64 * KIB),
        (MIB + 1, 64 * KIB),
        (1 << 40, 64 * KIB),
    ],
)
def test_the_grid_step_is_a_sixteenth_rounded_down_and_at_most_64_kib(size: int, step: int) -> None:
    """It depends on the size alone."""
    assert grid_step(size) == step


@pytest.mark.parametrize(
    ("total", "reducers"),
    [
        (0, 1),
        (16 * MIB - 1, 1),
        (16 * MIB, 8),
        (16 * GIB, 8),
        (16 * GIB + 1, 9),
        (18 * GIB, 9),
        (18 * GIB + 1, 10),
        (1 << 50, 1 << 19),
    ],
)
def test_the_default_number_of_reducers_depends_on_the_input_alone(
    total: int, reducers: int
) -> None:
    """1 under 16 MiB, 8 up to 16 GiB, then one for each 2 GiB."""
    assert default_reducers(total) == reducers


@pytest.mark.parametrize(
    ("sizes", "workers", "mappers"),
    [
        ((), 8, 1),
        ((0, 0), 8, 1),
        ((26,), 8, 1),
        ((8 * MIB,), 8, 8),  # each at least 1 MiB
        ((GIB,), 1, 17),  # each at most 64 MiB, the open file counted
        ((GIB,), 8, 32),  # four a worker
        ((1,) * 100_000, 8, 32),  # 100,000 openings are work
        ((1,) * 63, 8, 1),
        ((1 << 50,), 8, MAPPERS_MAX),
    ],
)
def test_the_default_number_of_mappers_keeps_workers_busy(
    sizes: tuple[int, ...], workers: int, mappers: int
) -> None:
    """Neither tiny tasks nor huge ones."""
    assert default_mappers(files(*sizes), workers) == mappers


def test_a_tiny_file_is_split_in_two_when_asked() -> None:
    """26 bytes have 26 cells."""
    tasks = plan_map_tasks(files(26), mappers=2)

    assert [task.splits for task in tasks] == [(Split(0, 0, 13),), (Split(0, 13, 26),)]


@pytest.mark.parametrize("mappers", [1, 2, 3, 7, 16, 25, 26])
def test_equal_cells_make_exactly_the_wished_number_of_even_tasks(mappers: int) -> None:
    """Sizes differ by one cell at most."""
    sizes = [task.size for task in plan_map_tasks(files(26), mappers)]

    assert len(sizes) == mappers
    assert sum(sizes) == 26
    assert max(sizes) - min(sizes) <= 1


def test_there_are_no_more_tasks_than_cells() -> None:
    """A wish is no order."""
    assert len(plan_map_tasks(files(26), mappers=1000)) == 26
    assert len(plan_map_tasks([stream(10**9)], mappers=8)) == 1


def test_splits_are_runs_of_whole_cells() -> None:
    """Each cut is a multiple of the step; only the last cell of a file is short."""
    [file] = inputs = files(3 * MIB + 5)

    tasks = plan_map_tasks(inputs, mappers=5)

    cuts = [task.splits[0].start for task in tasks]
    assert all(cut % file.step == 0 for cut in cuts)
    assert tasks[-1].splits[0].end == file.size
    assert len(tasks) == 5


def test_small_neighbours_share_a_task_and_empty_files_have_no_split() -> None:
    """In input order, whole."""
    tasks = plan_map_tasks(files(0, 10, 0, 10, 10, 10, 0), mappers=2)

    assert [task.splits for task in tasks] == [
        (Split(1, 0, 10), Split(3, 0, 10)),
        (Split(4, 0, 10), Split(5, 0, 10)),
    ]


def test_a_large_stream_leaves_the_other_tasks_to_the_rest() -> None:
    """What cannot be split does not use up the wishes of what can."""
    first, second = stream(10 * MIB), files(0, 4 * MIB)[1]

    sizes = [task.size for task in plan_map_tasks([first, second], mappers=5)]

    assert sizes == [10 * MIB, MIB, MIB, MIB, MIB]


def test_a_task_leaves_a_cell_to_each_that_follows() -> None:
    """Four cells are four tasks if wished, though three of them are next to nothing."""
    tasks = plan_map_tasks([*files(1, 1, 1), stream(1000)], mappers=4)

    assert [task.size for task in tasks] == [1, 1, 1, 1000]


@pytest.mark.parametrize("inputs", [[], files(0), files(0, 0), [stream(0)]])
def test_b6_nothing_to_read_is_no_task(inputs: list[InputFile]) -> None:
    """All inputs are empty."""
    assert plan_map_tasks(inputs, mappers=4) == []


def test_cells_of_a_file() -> None:
    """The short last one counts; a stream is one; an empty file has none."""
    assert [cell_count(file) for file in files(0, 26, MIB, MIB + 1)] == [0, 26, 16, 17]
    assert [cell_count(stream(size)) for size in (0, 10**9)] == [0, 1]


def test_b20_a_hundred_thousand_files_are_planned_at_once() -> None:
    """O(files + tasks): 0.1 s of CPU, a few times that under coverage."""
    inputs = files(*[1] * 100_000)
    start = time.process_time()

    tasks = plan_map_tasks(inputs, default_mappers(inputs, workers=8))

    assert time.process_time() - start < 2.0
    assert [task.size for task in tasks] == [3125] * 32


def test_a_hundred_thousand_tasks_are_the_most() -> None:
    """Their state is held in memory."""
    assert len(plan_map_tasks(files(10 * GIB), mappers=10**9)) == MAPPERS_MAX
