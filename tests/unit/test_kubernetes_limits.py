"""What pods are given of CPU in a namespace that has limits of its own."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.models.core_v1 import LimitRangeItem

from pymr.kubernetes.limits import fit_cpu
from pymr.kubernetes.objects.run import WORKER_NEEDS


def cpu(**limits: str) -> LimitRangeItem:
    """Return what a limit range says of the CPU of containers."""
    words: dict[str, Any] = {name: {"cpu": value} for name, value in limits.items()}
    return LimitRangeItem.from_dict({"type": "Container", **words})


def test_without_a_limit_range_who_has_idle_cores_lends_them() -> None:
    """No limit is set."""
    needs = fit_cpu(WORKER_NEEDS, [])

    assert needs == WORKER_NEEDS
    assert "cpu" not in (needs.resources().limits or {})


@pytest.mark.parametrize("default", ["100m", "0.1"])
def test_a_default_limit_below_what_is_asked_for_is_replaced_by_one_of_our_own(
    default: str,
) -> None:
    """The API server makes no pod that asks for more than its limit."""
    resources = fit_cpu(WORKER_NEEDS, [cpu(default=default)]).resources()

    assert (resources.requests or {})["cpu"] == "500m"
    assert (resources.limits or {})["cpu"] == "500m"


def test_a_default_limit_above_it_is_left_to_the_namespace() -> None:
    """Its owner has chosen it."""
    assert fit_cpu(WORKER_NEEDS, [cpu(default="2")]) == WORKER_NEEDS


@pytest.mark.parametrize(
    ("limits", "own"), [(cpu(max="200m"), None), (cpu(max="200m", default="100m"), 200)]
)
def test_no_more_is_asked_for_than_a_container_may_have(
    limits: LimitRangeItem, own: int | None
) -> None:
    """A slow worker is better than none. What has no default has the maximum as one."""
    needs = fit_cpu(WORKER_NEEDS, [cpu(default="4"), limits])

    assert (needs.cpu_milli, needs.cpu_milli_max) == (200, own)


def test_the_memory_is_that_of_the_run() -> None:
    """It is asked for by `--memory`, and what refuses it is told."""
    memory = LimitRangeItem.from_dict({"type": "Container", "max": {"memory": "1Mi"}})

    assert fit_cpu(WORKER_NEEDS, [memory]) == WORKER_NEEDS
