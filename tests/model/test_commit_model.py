"""Every history of the commit protocol within bounds; docs/design/commit-model.md has the table."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path
from types import ModuleType

import pytest

from model import commit_model, slot_model
from model.commit_model import FAULTS, SAFEGUARDS, Bounds, Model, without
from model.exploring import Explored, explore
from model.slot_model import SlotModel

pytestmark = pytest.mark.timeout(300)  # It only computes; a busy machine takes longer.
PAGE = Path(__file__).parents[2] / "docs" / "design" / "commit-model.md"


MODELS = {commit_model: Model, slot_model: SlotModel}
PROVEN = [(name, model) for model in MODELS for name in model.PROVEN]
BROKEN = [(names, model) for model in MODELS for names in model.BROKEN]


@pytest.mark.parametrize(("name", "model"), PROVEN, ids=str)
def test_f57_f58_f59_f60_f61_f63_f64_f65_no_history_breaks_a_promise(
    name: str, model: ModuleType
) -> None:
    """Nor is there a world that can go nowhere. The page has the number of worlds."""
    bounds = model.PROVEN[name]

    explored = explore(MODELS[model](bounds))

    assert explored.violation is None, explored.path
    assert explored.stuck == 0
    assert row(name, bounds, explored) in PAGE.read_text("utf-8").splitlines()
    if bounds.contents > 1:
        assert explored.taken >= set(model.STEPS), "every step is taken somewhere"
        assert "refuse" in explored.taken, "a mapper that is not deterministic is refused"
        if model is commit_model:
            assert explored.taken == {*commit_model.STEPS, *FAULTS}


@pytest.mark.parametrize(("safeguards", "model"), BROKEN, ids=str)
def test_without_a_safeguard_the_model_sees_what_breaks(
    safeguards: tuple[str, ...], model: ModuleType
) -> None:
    """A model that cannot fail proves nothing."""
    bounds, expected = model.BROKEN[safeguards]

    explored = explore(MODELS[model](without(safeguards, bounds)))

    assert explored.violation == expected
    assert fault(safeguards, explored) in PAGE.read_text("utf-8").splitlines()


def test_each_safeguard_is_left_out_somewhere() -> None:
    """And the page says what it is."""
    assert {name for names, _ in BROKEN for name in names} == set(SAFEGUARDS)
    for name, what in SAFEGUARDS.items():
        assert f"| {name} | {what} |" in PAGE.read_text("utf-8").splitlines()


@pytest.mark.parametrize("model", MODELS)
def test_each_step_names_code_that_exists(model: ModuleType) -> None:
    """And the page names it, too."""
    for step, names in model.STEPS.items():
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
