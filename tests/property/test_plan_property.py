"""Whatever the inputs and the wish, the tasks tile the inputs in order."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from pymr.core.plan import cell_count, grid_step, plan_map_tasks
from pymr.core.spec import InputFile

sizes = st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 40 << 20))
inputs_of_any_kind = st.lists(
    st.builds(
        lambda size, stream: InputFile(b"x", size, grid_step(size), stream=stream),
        sizes,
        st.booleans(),
    ),
    max_size=12,
)


@given(inputs_of_any_kind, st.integers(1, 40))
def test_tasks_tile_the_inputs_in_order_by_whole_cells(
    inputs: list[InputFile], mappers: int
) -> None:
    """Each byte is in one split, in input order, and each cut is a cut of the grid."""
    tasks = plan_map_tasks(inputs, mappers)

    assert [task.index for task in tasks] == list(range(len(tasks)))
    splits = [split for task in tasks for split in task.splits]
    reached = [0] * len(inputs)
    for split in splits:
        file = inputs[split.input]
        assert split.start == reached[split.input] < split.end
        assert split.start % (file.size if file.stream else file.step) == 0
        reached[split.input] = split.end
    assert reached == [file.size for file in inputs]
    assert [split.input for split in splits] == sorted(split.input for split in splits)


@given(inputs_of_any_kind, st.integers(1, 40))
def test_there_are_as_many_tasks_as_wished_or_as_there_are_cells(
    inputs: list[InputFile], mappers: int
) -> None:
    """None is empty, and no two neighbouring splits of a task are of one file."""
    tasks = plan_map_tasks(inputs, mappers)
    cells = sum(map(cell_count, inputs))

    event("limited by cells" if cells < mappers else "as wished")
    assert len(tasks) == min(mappers, cells)
    assert all(task.splits for task in tasks)
    assert all(len({s.input for s in task.splits}) == len(task.splits) for task in tasks)


@given(inputs_of_any_kind, st.integers(1, 40))
def test_no_task_is_much_larger_than_its_share(inputs: list[InputFile], mappers: int) -> None:
    """A task is at most twice an even share and one cell: the largest there is."""
    tasks = plan_map_tasks(inputs, mappers)
    if not tasks:
        event("nothing to read")
        return

    share = -(-sum(file.size for file in inputs) // mappers)
    largest_cell = max(file.size if file.stream else file.step for file in inputs)
    ratio = max(task.size for task in tasks) / (share + largest_cell)
    event(f"largest task / (share + cell): {ratio:.1f}")
    assert max(task.size for task in tasks) <= 2 * share + largest_cell
