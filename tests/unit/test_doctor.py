"""Findings: which level a fact has, with which remedy, and which of them is the worst."""

from __future__ import annotations

import pytest

from pymr.config import Settings, resolve
from pymr.config.machine import Machine
from pymr.doctor.finding import Area, worst_error
from pymr.doctor.installation import examine_packages
from pymr.doctor.machine import LimitsSeen, cores, limits, memory, processes
from pymr.doctor.place import OUTPUT, TEMPORARY, file_system, space
from pymr.errors import ConfigError, ResourceError, StoreError
from pymr.store.probe import Mount

GiB = 1 << 30
MACHINE = Machine(cores=4, memory_bytes=8 * GiB)


def settings(**given: str) -> Settings:
    return resolve({"workers": "4", "memory": "4G", **given}, {}, "", "", MACHINE).settings


@pytest.mark.parametrize(
    ("given", "total", "available", "level", "part"),
    [
        ({}, 8, 6, "ok", "8.6 GB, 6.4 GB available"),
        ({}, 64, 6, "ok", "8.6 GB of 68.7 GB, by the cgroup's limit"),
        ({}, 8, None, "ok", "8.6 GB"),
        ({}, 8, 2, "warning", "2.1 GB available, less than the 4.3 GB of --memory"),
        ({"memory": "9G"}, 8, 8, "warning", "less than the 9.7 GB of --memory"),
    ],
)
def test_memory_is_compared_with_what_a_run_would_take(
    given: dict[str, str], total: int, available: int | None, level: str, part: str
) -> None:
    """What the container gives, what is free now, and `--memory`."""
    free = None if available is None else available * GiB

    finding = memory(MACHINE, settings(**given), total * GiB, free)

    assert (finding.level, finding.exit_code) == (level, 0)
    assert part in finding.text
    assert (finding.remedy is None) == (level == "ok")


def test_a_machine_that_no_run_fits_in_is_broken() -> None:
    """Less than the least `--memory`; the remedy for little memory is a size that fits."""
    tiny = memory(Machine(cores=1, memory_bytes=200 << 20), settings(), 8 * GiB, None)
    little = memory(MACHINE, settings(), 8 * GiB, 2 * GiB)

    assert (tiny.level, tiny.exit_code) == ("broken", ResourceError.exit_code)
    assert little.remedy == "end other programs, or --memory 1024M"


def test_cores_that_the_hardware_has_and_we_do_not_are_told() -> None:
    """By affinity or by quota."""
    assert cores(MACHINE, 4).text == "4"
    assert cores(MACHINE, 16).text == "4 of 16, by affinity or the cgroup's quota"


@pytest.mark.parametrize(
    ("processes_max", "level"), [(None, "ok"), (500, "ok"), (7, "warning"), (3, "broken")]
)
def test_a_limit_of_processes_is_compared_with_the_cores(
    processes_max: int | None, level: str
) -> None:
    """Half of it is for workers; three are not enough for one."""
    machine = Machine(cores=4, memory_bytes=8 * GiB, processes_max=processes_max)

    assert processes(machine, settings()).level == level


@pytest.mark.parametrize(
    ("files", "level", "remedy"),
    [
        ((None, None), "ok", None),
        ((1024, None), "ok", None),
        ((40, None), "warning", "ulimit -n 65536"),
        ((40, 4096), "warning", "ulimit -n 4096"),
        ((20, 20), "warning", "raise the hard limit"),
        ((11, 4096), "broken", "ulimit -n 4096"),
    ],
)
def test_open_files_are_compared_with_what_a_merge_needs(
    files: tuple[int | None, int | None], level: str, remedy: str | None
) -> None:
    """One file a sorted run, or fewer at once; a soft limit goes up to the hard one."""
    finding = next(limits(LimitsSeen(files, None, None), settings()))

    assert finding.level == level
    assert (finding.remedy or "").startswith(remedy or "")
    assert (finding.remedy is None) == (remedy is None)


def test_other_limits_are_warned_of() -> None:
    """A file or an address space that may not grow ends a large run."""
    seen = LimitsSeen((None, None), GiB, 2 * GiB)

    levels = {finding.name: (finding.level, finding.remedy) for finding in limits(seen, settings())}

    assert levels["file size"] == ("warning", "ulimit -f unlimited")
    assert levels["address space"] == ("warning", "ulimit -v unlimited")


def test_packages_are_compared_with_what_is_required() -> None:
    """Missing and too old are broken, an extra may be missing, another system's is not asked for."""
    found = {
        finding.name: finding
        for finding in examine_packages(
            [
                "click>=8.1",
                "msgspec>=9999",
                "no-such-package>=1",
                "not-for-us>=1; sys_platform == 'win32'",
                "no-such-extra>=1; extra == 'zstd'",
                "other-extra>=1; extra == 'cluster'",
            ]
        )
    }

    assert {name: finding.level for name, finding in found.items()} == {
        "click": "ok",
        "msgspec": "broken",
        "no-such-package": "broken",
        "no-such-extra": "ok",
    }
    assert found["msgspec"].text.endswith("expected >=9999")
    assert found["no-such-package"].remedy is not None
    assert found["no-such-package"].remedy.endswith("-m pip install 'no-such-package>=1'")
    assert found["no-such-package"].exit_code == ConfigError.exit_code


@pytest.mark.parametrize(
    ("mount", "level"),
    [
        (None, "ok"),
        (Mount("ext4", "/dev/sda1"), "ok"),
        (Mount("tmpfs", "tmpfs"), "warning"),
        (Mount("nfs4", "server:/export"), "warning"),
    ],
)
def test_a_disk_that_is_none_or_elsewhere_is_warned_of(mount: Mount | None, level: str) -> None:
    """A result in memory is gone at a reboot; a lock over a network may hold for one machine."""
    assert file_system(mount, OUTPUT).level == level
    assert file_system(mount, TEMPORARY).level == level


@pytest.mark.parametrize(
    ("free_bytes", "free_files", "levels"),
    [
        (9 * GiB, None, ["ok"]),
        (9 * GiB, 5000, ["ok"]),
        (9 * GiB, 10, ["ok", "warning"]),
        (GiB // 2, None, ["warning"]),
        (1 << 20, None, ["broken"]),
    ],
)
def test_room_on_a_disk_is_bytes_and_files(
    free_bytes: int, free_files: int | None, levels: list[str]
) -> None:
    """Without room for one spill a run cannot be right; whatever the place, that is exit 6."""
    findings = list(space(free_bytes, free_files, OUTPUT))

    assert [finding.level for finding in findings] == levels
    assert {finding.exit_code for finding in findings if finding.level == "broken"} <= {6}


def test_the_worst_class_stands_for_all() -> None:
    """Settings before places before resources; warnings are no errors."""
    area = Area("here")
    files = area.broken("files", "too few", "more", ResourceError)
    place = area.broken("folder", "refuses", "another", StoreError)
    wrong = area.broken("values", "wrong", "right")
    odd = area.warning("disk", "odd", "even")

    assert worst_error([odd, area.ok("cores", "2")]) is None
    assert type(worst_error([odd, files])) is ResourceError
    assert type(worst_error([files, place])) is StoreError
    worst = worst_error([files, place, wrong])
    assert type(worst) is ConfigError
    assert (worst.message, worst.hint) == ("here: wrong", "right")
