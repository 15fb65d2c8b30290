"""What the machine gives: quotas and limits of cgroups, as the kernel writes them."""

from __future__ import annotations

import pytest

from pymr.config import machine, resolve
from pymr.config.machine import Machine, cpu_quota, group_folders, oom_kills, this_machine


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


def test_the_kernel_counts_whom_it_ends_for_want_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the nearest group that counts, else on the machine; what is not told is none."""
    texts = {
        "/proc/self/cgroup": "0::/a\n",
        "/sys/fs/cgroup/a/memory.events": "low 0\noom 4\noom_kill 3\noom_group_kill 0\n",
        "/proc/vmstat": "nr_free_pages 12\noom_kill 7\n",
    }
    monkeypatch.setattr(machine, "_read", lambda path: texts.get(path, ""))

    assert oom_kills() == 3
    del texts["/sys/fs/cgroup/a/memory.events"]
    assert oom_kills() == 7
    del texts["/proc/vmstat"]
    assert oom_kills() == 0


def test_this_machine_has_cores_and_memory() -> None:
    """The real one is readable wherever the tests run."""
    found = this_machine()

    assert found.cores >= 1
    assert found.memory_bytes > 64 << 20


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
