"""docs/design/states.md holds what the machines really do: its tables are made by driving them.

`python tests/unit/test_states.py` writes the tables anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from core_samples import (
    LOST,
    asked,
    attempt,
    committed,
    exceeded,
    failed,
    files,
    finished,
    job,
    map_verified,
    phase,
    reduce_verified,
    verified,
)
from pymr.core.events import (
    Command,
    Crashed,
    Finished,
    Held,
    Published,
    Renewed,
    Returned,
    TaskCommitted,
    TaskInvalidated,
    Ticked,
    Verified,
    WorkerLost,
)
from pymr.core.job import Job, JobEvent
from pymr.core.phase import Phase, PhaseEvent
from pymr.core.plan import plan_map_tasks
from pymr.core.replay import attempt_first
from pymr.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "design" / "states.md"
BEGIN, END = "<!-- made by tests/unit/test_states.py: {} -->", "<!-- end -->"

FIRST = attempt(0, attempt_first(2))  # of this epoch; an earlier one had others
# How a task gets into each state, and what may happen then to its attempt.
TASK_PATHS: dict[str, list[PhaseEvent]] = {
    "pending": [],
    "running": [asked()],
    "verifying": [asked(), finished(FIRST)],
    "verified": [asked(), finished(FIRST), verified(FIRST)],
    "committed": [asked(), finished(FIRST), verified(FIRST), committed(FIRST)],
}
TASK_EVENTS: dict[str, PhaseEvent] = {
    "LeaseAsked": asked(),
    "Renewed": Renewed(FIRST, now=1.0),
    "Finished": finished(FIRST),
    "Verified": verified(FIRST),
    "TaskCommitted": committed(FIRST),
    "TaskInvalidated": TaskInvalidated(committed(FIRST).receipt, "it is gone"),
    "Failed": failed(FIRST),
    "Failed, no cure": failed(FIRST, InputError("no such file")),
    "MemoryExceeded": exceeded(FIRST),
    "WorkerLost": WorkerLost("w", LOST, now=1.0),
    "Crashed": Crashed(FIRST, LOST, now=1.0),
    "Returned": Returned(FIRST, LOST, now=1.0),
    "Held": Held(FIRST, "again", now=1.0),
    "Held, of an earlier epoch": Held(attempt(), "again", now=1.0),
    "Ticked, lease over": Ticked(10.0),
}
IMPOSSIBLE = "a bug of ours"
JOB_STATES = ("map", "reduce", "publishing", "done", "failed")


def shown(before: str, after: str, commands: list[Command]) -> str:
    """Return one cell of a table: the new state, if it is one, and the commands."""
    names = [getattr(c, "event", c).__class__.__name__ for c in commands]
    state = f"**{after}**" if after != before else "" if names else "·"
    return " ".join([state, *(f"`{name}`" for name in names)]).strip()


def task_cell(state: str, event: PhaseEvent) -> str:
    """Return what a phase of one task does about `event` in `state`."""
    p: Phase = phase(attempt_first=FIRST.number)
    for told in TASK_PATHS[state]:
        p.handle(told)
    assert p.state_of(0) == state
    p.handle(Ticked(5.0))  # A core that is awake: the next tick is no pause.
    try:
        commands = p.handle(event)
    except AssertionError:
        return IMPOSSIBLE
    p.check()
    return shown(state, "failed" if p.failed else p.state_of(0), commands)


def map_done() -> Verified:
    """Return what is verified of the only map task."""
    return map_verified(attempt(), plan_map_tasks(files(26), 1)[0], 1)


def reduce_done() -> Verified:
    """Return what is verified of the only reduce task."""
    return reduce_verified(attempt(name="reduce"), 1)


def job_in(state: str) -> Job:
    """Return a run of one map and one reduce task in `state`: the last commit is to come."""
    j = job(mappers=1, reducers=1, deadline=5.0)
    for told in (map_done(), reduce_done()):
        j.handle(asked())
        j.handle(Finished(told.receipt.attempt, told.receipt, 1.0))
        j.handle(told)
        if j.state != state:
            j.handle(TaskCommitted(told.receipt))
    if state == "done":
        j.handle(Published())
    if state == "failed":
        j = job(deadline=5.0)
        j.handle(Ticked(5.0))
    assert j.state == state
    return j


def last_commit(state: str, records: int = 0) -> TaskCommitted:
    """Return the decision that ends the phase, with so many records too many."""
    receipt = (map_done() if state == "map" else reduce_done()).receipt
    wrong = {"emitted": receipt.emitted + records, "reduced": receipt.reduced + records}
    return TaskCommitted(msgspec.structs.replace(receipt, **wrong))


JOB_EVENTS: dict[str, Callable[[str], JobEvent]] = {
    "last TaskCommitted": last_commit,
    "… books wrong": lambda state: last_commit(state, records=1),
    "Published": lambda _: Published(),
    "Ticked, deadline": lambda _: Ticked(5.0),
    "LeaseAsked": lambda _: asked("other"),
}


def job_cell(state: str, name: str) -> str:
    """Return what a run in `state` does about an event."""
    j = job_in(state)
    try:
        commands = j.handle(JOB_EVENTS[name](state))
    except AssertionError:
        return IMPOSSIBLE
    j.check()
    return shown(state, j.state, commands)


def table(states: Iterable[str], names: Iterable[str], cell: Callable[[str, str], str]) -> str:
    """Return a table of states and events, and the picture of the ways between states."""
    states, names = list(states), list(names)
    cells = {state: [cell(state, name) for name in names] for state in states}
    rows = [["", *states], ["---"] * (1 + len(states))]
    rows += [[f"`{name}`", *(cells[s][n] for s in states)] for n, name in enumerate(names)]
    ways = [
        f"    {state} --> {found[1]}: {name}"
        for state in states
        for name, text in zip(names, cells[state], strict=True)
        if (found := re.match(r"\*\*(\w+)\*\*", text))
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    picture = ["```mermaid", "stateDiagram-v2", f"    [*] --> {states[0]}", *ways, "```"]
    return "\n".join(["", *lines, "", *picture, ""])


def made() -> dict[str, str]:
    """Return the two blocks of the page, by name."""
    return {
        "task": table(TASK_PATHS, TASK_EVENTS, lambda s, e: task_cell(s, TASK_EVENTS[e])),
        "run": table(JOB_STATES, JOB_EVENTS, job_cell),
    }


def replaced(page: str, name: str, block: str) -> str:
    """Return the page with one block put in its place."""
    begin = BEGIN.format(name)
    head, rest = page.split(begin + "\n", 1)
    return f"{head}{begin}\n{block}\n{END}{rest.split(END, 1)[1]}"


@pytest.mark.parametrize("name", ["task", "run"])
def test_the_page_of_states_shows_what_the_machines_do(name: str) -> None:
    """If not: run this file and read the difference."""
    page = PAGE.read_text("utf-8")

    assert replaced(page, name, made()[name]) == page


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    for block_name, made_block in made().items():
        text = replaced(text, block_name, made_block)
    PAGE.write_text(text, "utf-8")
