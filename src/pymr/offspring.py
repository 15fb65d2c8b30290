"""Which processes a process has started, as Linux knows them; elsewhere nothing is known."""

from __future__ import annotations

import os


def children_of(pid: int | str = "self") -> list[int]:
    """Return the children of a process, also those that it has adopted."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:  # It has ended.
        return []
    return [child for thread in threads for child in _children(f"/proc/{pid}/task/{thread}")]


def offspring_of(pid: int) -> list[int]:
    """Return the children of a process, and theirs, as far as they are there."""
    found = children_of(pid)
    for child in found:  # It grows.
        found += children_of(child)
    return found


def _children(folder: str) -> list[int]:
    try:
        with open(f"{folder}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
