"""Every history of the commit protocol within bounds; docs/design/commit-model.md has the table."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from model.commit_model import (
    BROKEN,
    FAULTS,
    PROVEN,
    SAFEGUARDS,
    STEPS,
    Bounds,
    Explored,
    explore,
    without,
)

pytestmark = pytest.mark.timeout(300)  # It only computes; a busy machine takes longer.
PAGE = Path(__file__).parents[2] / "docs" / "design" / "commit-model.md"


@pytest.mark.parametrize("name", PROVEN, ids=lambda name: name.replace(" ", "-"))
def test_f57_f58_f59_f60_f61_f63_no_history_breaks_a_promise(name: str) -> None:
    """Nor is there a world that can go nowhere. The page has the number of worlds."""
    explored = explore(PROVEN[name])

    assert explored.violation is None, explored.path
    assert explored.stuck == 0
    assert row(name, PROVEN[name], explored) in PAGE.read_text("utf-8").splitlines()
    if PROVEN[name].contents > 1:
        assert explored.taken == {*STEPS, *FAULTS}, "every step is taken somewhere"
        assert "refuse" in explored.taken, "a mapper that is not deterministic is refused"


@pytest.mark.parametrize("safeguards", BROKEN, ids=lambda names: "+".join(names).replace(" ", "-"))
def test_without_a_safeguard_the_model_sees_what_breaks(safeguards: tuple[str, ...]) -> None:
    """A model that cannot fail proves nothing."""
    bounds, expected = BROKEN[safeguards]

    explored = explore(without(safeguards, bounds))

    assert explored.violation == expected
    assert fault(safeguards, explored) in PAGE.read_text("utf-8").splitlines()


def test_each_safeguard_is_left_out_somewhere() -> None:
    """And the page says what it is."""
    assert {name for names in BROKEN for name in names} == set(SAFEGUARDS)
    for name, what in SAFEGUARDS.items():
        assert f"| {name} | {what} |" in PAGE.read_text("utf-8").splitlines()


def test_each_step_names_code_that_exists() -> None:
    """And the page names it, too."""
    for step, names in STEPS.items():
        for name in names:
            module, attributes = re.fullmatch(r"((?:[a-z_]+\.)+?)([A-Z].*|[a-z_]+)", name).groups()
            assert callable(reduce(getattr, attributes.split("."), load(module))), name
        shown = ", ".join(f"`{name.removeprefix('pymr.')}`" for name in names)
        assert f"| {step} | {shown} |" in PAGE.read_text("utf-8").splitlines()


def load(module: str) -> object:
    return importlib.import_module(module.rstrip("."))


def row(name: str, bounds: Bounds, explored: Explored) -> str:
    """Return a row of the page: what was explored."""
    return (
        f"| {name} | {bounds.maps} + {bounds.reduces} | {bounds.attempts} | {bounds.lives}"
        f" | {bounds.losses} | {explored.worlds:,} |"
    )


def fault(safeguards: tuple[str, ...], explored: Explored) -> str:
    """Return a row of the page: what breaks."""
    return f"| {', '.join(safeguards)} | {explored.violation} | {len(explored.path)} |"
