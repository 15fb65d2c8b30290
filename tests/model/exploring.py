"""Tries every history of a model, and says what it has shown."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

from model.commit_model import NEW, NONE, REFUSED, Model, World


class Explored(NamedTuple):
    """What trying everything has shown."""

    worlds: int
    violation: str | None  # the first; with the fewest steps
    path: tuple[str, ...]
    stuck: int  # worlds from which no result can be reached, though nothing is used up
    taken: frozenset[str]  # steps


def explore(model: Model, *, worlds_max: int = 2_000_000) -> Explored:
    """Try every history within the bounds, the shortest first, up to a broken promise."""
    start = model.first()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    before: dict[World, list[World]] = defaultdict(list)
    queue = deque([start])
    taken: set[str] = set()
    while queue:
        world = queue.popleft()
        if (violation := model.broken(world)) is not None:
            return Explored(len(came_from), violation, _path(came_from, world), 0, frozenset(taken))
        for step, after in model.steps(world):
            taken.add(step)
            before[after].append(world)
            if after not in came_from:
                assert len(came_from) < worlds_max, "choose smaller bounds"
                came_from[after] = (world, step)
                queue.append(after)
    stuck = _stuck(list(came_from), before)
    return Explored(len(came_from), None, (), stuck, frozenset(taken))


def _path(came_from: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    steps = []
    while (came := came_from[world]) is not None:
        world, step = came
        steps.append(step)
    return tuple(reversed(steps))


def _stuck(worlds: list[World], before: dict[World, list[World]]) -> int:
    """Count worlds that have a life and attempts left, and no way to a result or a refusal."""
    good = {world for world in worlds if world.manifest is not None or REFUSED in world.lives}
    queue = list(good)
    while queue:
        for world in before[queue.pop()]:
            if world not in good:
                good.add(world)
                queue.append(world)
    return sum(
        NEW in world.lives
        and all(any(made.state == NONE for made in objects) for objects in world.objects)
        for world in worlds
        if world not in good
    )
