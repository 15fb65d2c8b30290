"""Which task is next: those to be tried again, then those that nobody has tried. Pure.

Tasks that are to run alone stand in a line of their own: they wait until the others are done
with, so that nobody is idle for them more often than must be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

SHUNNED_MAX = 8  # tasks that are looked past for a worker they do not want


class TaskQueue:
    """The tasks of a phase that wait for a worker; in each line the lowest goes first.

    A task that is committed while it waits lingers, and is skipped when it is taken.
    """

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._fresh = 0  # tasks from here on were never taken
        self._again: list[int] = []  # heap
        self._alone: list[int] = []  # heap

    def put_back(self, task: int, *, alone: bool = False) -> None:
        """Let a task that was taken wait again."""
        heappush(self._alone if alone else self._again, task)

    def reopen(self, task: int) -> None:
        """Let a task wait that was committed; it may linger from before. O(tasks that wait)."""
        if task not in self._again and task not in self._alone:
            heappush(self._again, task)

    def remove(self, task: int) -> None:
        """Let a task wait no more, if it was taken before. O(tasks that wait again)."""
        for line in (self._again, self._alone):
            if task in line:
                line.remove(task)
                heapify(line)

    def take(
        self, committed: Collection[int], started: Collection[int], may: Callable[[int], bool]
    ) -> int | None:
        """Take the next task that may run beside others, and that `may` be taken here."""
        task: int | None = None
        shunned: list[int] = []
        while len(shunned) < SHUNNED_MAX and (task := _pop(self._again, committed)) is not None:
            if may(task):
                break
            shunned.append(task)
            task = None
        for other in shunned:
            heappush(self._again, other)
        while task is None and self._fresh < self._tasks:
            fresh, self._fresh = self._fresh, self._fresh + 1
            if fresh not in committed and fresh not in started:
                task = fresh
        return task

    def take_alone(self, committed: Collection[int]) -> int | None:
        """Take the next task that is to run alone."""
        return _pop(self._alone, committed)

    @property
    def has_alone(self) -> bool:
        """Whether a task waits to run alone; it may be one that was committed meanwhile."""
        return bool(self._alone)

    def waiting(self, committed: Collection[int], started: Collection[int]) -> list[int]:
        """Return the tasks that wait. O(tasks)."""
        known = {*committed, *started}
        back = [task for task in (*self._again, *self._alone) if task not in committed]
        return [*back, *(task for task in range(self._fresh, self._tasks) if task not in known)]


def _pop(heap: list[int], committed: Collection[int]) -> int | None:
    while heap:
        task = heappop(heap)
        if task not in committed:
            return task
    return None
