"""User code may fork; the child must never go on with its parent's attempt.

A child that returned from the mapper instead of leaving would read, emit and write beside its
parent, through the same open files. So each call of user code is followed by a look here.
"""

from __future__ import annotations

import os

is_child = False


def mark() -> None:
    """Remember that this process is a fork of a task process; called in the child."""
    global is_child  # noqa: PLW0603 - a fact about the process
    is_child = True


def leave() -> None:
    """End a forked child without a trace: no clean-up is its to do."""
    if is_child:
        os._exit(0)
