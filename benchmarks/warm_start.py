"""P14: from the command to the first map task in a pod, where the cluster has all that it needs.

Storage is up, the nodes have the images, and the same job has run before. What is clocked is one
run, cut at what it tells of itself; each part is a side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from cluster_namespace import Told, namespace, rows_in_pods, run_in_pods
from command import FOLDER
from contest import Clocked, Figure, Measure, Side, WrongAnswerError
from start_up import EXPECTED, TEXT, WORKER

NAME = "warm-start"
TARGET_S = 5.0
FIRST = "command → first map task"
PARTS: dict[str, Callable[[Told], float]] = {
    FIRST: lambda told: told.at("AttemptStarted"),
    "  command → planned, in the store": lambda told: told.at("RunPlanned"),
    "  → the master is at work": lambda told: told.at("RunResumed") - told.at("RunPlanned"),
    "  → all workers are there": (lambda told: told.at("WorkersConnected") - told.at("RunResumed")),
    "  → first map task": lambda told: told.at("AttemptStarted") - told.at("WorkersConnected"),
    "first map task → done": lambda told: told.at("RunFinished") - told.at("AttemptStarted"),
    "done → end of the command": lambda told: told.wall - told.at("RunFinished"),
}


def warm_start() -> Measure:
    namespace()
    text = FOLDER / "three-lines.txt"
    text.write_text(TEXT)
    print("a first run, so that the next ones are warm …", file=sys.stderr)
    run_in_pods(WORKER, text, NAME)  # The first one builds and loads images.
    rounds = _Rounds(lambda: run_in_pods(WORKER, text, NAME))
    return Measure(
        name="warm_start",
        about="a job of three lines in pods, 2 workers, the cluster warm",
        sides=[Side(part, partial(rounds.take, part)) for part in PARTS],
        figures=[
            Figure("P14", f"{FIRST}, wall", lambda took: took[FIRST].wall, "s", TARGET_S),
            Figure("", "CPU of the command, up to its end", lambda took: took[FIRST].cpu, "s"),
        ],
        check=_check,
    )


class _Rounds:
    """One run for each round, handed out part by part."""

    def __init__(self, run: Callable[[], Told]) -> None:
        self._run = run
        self._left: dict[str, Clocked] = {}

    def take(self, part: str) -> Clocked:
        """Return what a part took; a part that was taken already begins the next round."""
        if part not in self._left:
            told = self._run()
            self._left = {
                each: Clocked(took(told), told.cpu if each == FIRST else 0.0)
                for each, took in PARTS.items()
            }
        return self._left.pop(part)


def _check() -> None:
    found = b"".join(rows_in_pods(NAME)).decode()
    if sorted(found.splitlines()) != EXPECTED.splitlines():
        raise WrongAnswerError(f"three lines gave {found!r}, expected {EXPECTED!r}")
