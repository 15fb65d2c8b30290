"""The plan of a run: grid cells, splits, map tasks, and how many reduce tasks.

Laws:
- the grid of a file depends on its size alone, so mapper calls do not depend on the plan;
- tasks are numbered in input order and tile the inputs: (task, position) is input order;
- the same inputs and the same wish give the same plan.

A pure function of sizes; files are not opened here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymr.core.spec import InputFile, MapTask, Split

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

GRID_STEP_MAX = 64 * KIB
GRID_STEP_MAX_FROM = 1 * MIB  # files from this size on have the largest step
GRID_CELLS_MIN = 16  # of a smaller file, if it has as many bytes

TASKS_PER_WORKER = 4  # so that the last task to end is a small piece of the whole
TASK_BYTES_MIN = 1 * MIB  # below, starting an attempt costs more than its work
TASK_BYTES_MAX = 64 * MIB  # above, a lost attempt costs too much
FILE_OPEN_BYTES = 16 * KIB  # opening a file counts as reading this much
MAPPERS_MAX = 100_000  # map tasks of a run: their state is held in memory

ONE_REDUCER_BELOW = 16 * MIB
EIGHT_REDUCERS_UP_TO = 16 * GIB
EIGHT_REDUCERS = 8
BYTES_PER_REDUCER = 2 * GIB


def grid_step(size: int) -> int:
    """Return the grid step in bytes of a file of `size` bytes.

    64 KiB; for a file under 1 MiB the largest power of two that is at most a sixteenth of it.
    """
    if size >= GRID_STEP_MAX_FROM:
        return GRID_STEP_MAX
    sixteenth = size // GRID_CELLS_MIN
    return 1 << sixteenth.bit_length() - 1 if sixteenth else 1


def default_mappers(inputs: Iterable[InputFile], workers: int) -> int:
    """Return how many map tasks to wish for: at least 1.

    Four a worker, each of 1 to 64 MiB, where opening a file counts as 16 KiB: 100,000 files
    of a byte are work for many. The plan may hold fewer (`plan_map_tasks`).
    """
    weight = sum(file.size + FILE_OPEN_BYTES for file in inputs if file.size)
    at_least = -(-weight // TASK_BYTES_MAX)
    at_most = weight // TASK_BYTES_MIN
    wanted = max(TASKS_PER_WORKER * workers, at_least)
    return max(1, min(wanted, at_most, MAPPERS_MAX))


def mappers_to_fit(inputs: Iterable[InputFile], buffer_bytes: int) -> int:
    """Return how many map tasks have input of which a buffer holds all, by a rule of thumb.

    A record takes some bytes more in a buffer than in the input, and some mappers emit more
    than they read: input of half the buffer's size mostly fits, and then nothing is spilled and
    merged only to be merged again.
    """
    task_bytes = max(buffer_bytes // 2, TASK_BYTES_MIN)
    return -(-sum(file.size for file in inputs) // task_bytes)


def workers_max(map_tasks: int, reduce_tasks: int, slots: int = 1) -> int:
    """Return how many workers of so many slots have something to do at once: at least 1."""
    return max(-(-max(map_tasks, reduce_tasks) // slots), 1)


def default_reducers(total_bytes: int) -> int:
    """Return the number of reduce tasks for that much input, whatever the workers."""
    if total_bytes < ONE_REDUCER_BELOW:
        return 1
    if total_bytes <= EIGHT_REDUCERS_UP_TO:
        return EIGHT_REDUCERS
    return -(-total_bytes // BYTES_PER_REDUCER)


def cell_count(file: InputFile) -> int:
    """Return how many pieces a file can be split into: its grid cells, or 1 for a stream."""
    return -(-file.size // _cell_size(file)) if file.size else 0


def plan_map_tasks(inputs: Sequence[InputFile], mappers: int) -> list[MapTask]:
    """Return min(`mappers`, cells) map tasks that tile the inputs in order.

    A split is a run of whole cells of one file; a task packs neighbours. Each task takes
    cells up to the one whose end is nearest to an even share of the bytes that are left, so
    a file that cannot be split takes its task for itself and the others share the rest.
    Empty files have no split. O(files + tasks).
    """
    cells = sum(map(cell_count, inputs))
    packer = _Packer(
        bytes_left=sum(file.size for file in inputs),
        cells_left=cells,
        tasks_left=min(mappers, cells, MAPPERS_MAX),
    )
    for index, file in enumerate(inputs):
        packer.add(index, file)
    packer.close()
    return packer.tasks


def _cell_size(file: InputFile) -> int:
    return file.size if file.stream else file.step


class _Packer:
    """Fills one task after the other; `tasks_left` counts the one that is open."""

    def __init__(self, bytes_left: int, cells_left: int, tasks_left: int) -> None:
        self.tasks: list[MapTask] = []
        self._bytes_left = bytes_left
        self._cells_left = cells_left
        self._tasks_left = tasks_left
        self._splits: list[Split] = []
        self._open()

    def add(self, index: int, file: InputFile) -> None:
        """Pack all cells of `file`, closing tasks that are full."""
        start = 0
        while start < file.size:
            end = self._reach(start, file)
            if end == start:
                self.close()
                continue
            self._splits.append(Split(index, start, end))
            self._room -= end - start
            self._bytes_left -= end - start
            self._cells_left -= -(-(end - start) // _cell_size(file))
            start = end

    def close(self) -> None:
        """End the open task, if it has any split."""
        if self._splits:
            self.tasks.append(MapTask(len(self.tasks), tuple(self._splits)))
            self._splits = []
            self._tasks_left -= 1
            self._open()

    def _open(self) -> None:
        self._room = -(-self._bytes_left // self._tasks_left) if self._tasks_left else 0

    def _reach(self, start: int, file: InputFile) -> int:
        """Return how far into `file` the open task goes; `start` if it is full."""
        step = _cell_size(file)
        rest = file.size - start
        cells = -(-rest // step)
        spare = self._cells_left - self._tasks_left + 1  # the later tasks need a cell each
        if 2 * self._room >= rest + (cells - 1) * step:
            wanted = cells  # the file's end is the nearest; its last cell may be short
        else:
            wanted = max((2 * self._room + step) // (2 * step), 0)
        taken = min(max(wanted, 0 if self._splits else 1), cells, spare)
        return min(start + taken * step, file.size)
