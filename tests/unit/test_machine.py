"""What the machine gives: quotas and limits of cgroups, as the kernel writes them."""

from __future__ import annotations

import pytest

from pymr.config import resolve
from pymr.config.machine import Machine, cpu_quota, group_folders, this_machine


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", None), ("150000 100000", 1.5), ("-1 100000", None), ("", None), ("5 0", None)],
)
def test_a_cpu_quota_is_time_by_period(text: str, cores: float | None) -> None:
    """Version 2 writes `max` for no limit, version 1 writes -1."""
    assert cpu_quota(text) == cores


def test_limits_are_looked_for_from_the_own_group_up_to_the_root() -> None:
    """Version 1 names its controllers; version 2 is one tree with an empty name."""
    groups = "4:memory:/a/b\n2:cpu,cpuacct:/a\n0::/c\n"

    assert list(group_folders(groups, "memory", "/g")) == [
        "/g/memory/a/b",
        "/g/memory/a",
        "/g/memory",
        "/g/c",
        "/g",
    ]
    assert list(group_folders("0::/\n", "cpu", "/g")) == ["/g"]


def test_this_machine_has_cores_and_memory() -> None:
    """The real one is readable wherever the tests run."""
    machine = this_machine()

    assert machine.cores >= 1
    assert machine.memory_bytes > 64 << 20


@pytest.mark.parametrize(
    ("size", "warnings"),
    [
        ("2G", ()),
        (
            "3G",
            (
                "memory is 3G, this machine has 2G:"
                " the system ends processes of a run that needs more",
            ),
        ),
    ],
    ids=["all", "more"],
)
def test_more_memory_than_there_is_is_warned_of(size: str, warnings: tuple[str, ...]) -> None:
    """It is taken as it is, since a run may need less."""
    found = resolve({"memory": size}, {}, "/nowhere", "/nowhere", Machine(2, 2 << 30))

    assert found.warnings == warnings
    assert found.settings.memory_bytes == int(size[0]) << 30
