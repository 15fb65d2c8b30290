"""The memory of a run that is resumed: its buffers are frozen, so the workers must fit."""

from __future__ import annotations

import msgspec
import pytest

from pymr.config import Settings, resolve
from pymr.core.budget import ProcessSize, RunSize
from pymr.core.plan import MIB
from pymr.core.spec import Limits
from pymr.runner.memory import share_again, share_out

SIZE = RunSize(files=1, map_tasks=8, reduce_tasks=8, splits_max=1)
PROCESS = ProcessSize()


def settings(workers: int, memory: str) -> Settings:
    return resolve({"workers": workers, "memory": memory}, {}, "/no", "/no").settings


def planned(workers: int, memory: str) -> Limits:
    return share_out(settings(workers, memory), SIZE, PROCESS).limits


def test_a_worker_elsewhere_has_its_own_memory_and_no_other() -> None:
    """Of eight with 256M each, of which two have something to do, none is given a gibibyte."""
    few = msgspec.structs.replace(SIZE, map_tasks=2, reduce_tasks=2)
    of_all = settings(8, "2G")
    in_pods = msgspec.structs.replace(of_all, on="kubernetes")

    assert (
        share_out(in_pods, few, PROCESS).limits
        == share_out(settings(2, "512M"), few, PROCESS).limits
    )
    assert share_out(of_all, few, PROCESS).limits != share_out(in_pods, few, PROCESS).limits


@pytest.mark.parametrize("memory", ["512M", "2G"])
def test_the_settings_of_the_start_fit_as_they_did(memory: str) -> None:
    """Neither fewer workers nor a word about it; with more memory neither."""
    limits = planned(4, memory)

    assert share_again(settings(4, memory), limits, SIZE, PROCESS) == (4, ())
    assert share_again(settings(4, "4G"), limits, SIZE, PROCESS) == (4, ())
    assert share_again(settings(2, memory), limits, SIZE, PROCESS) == (2, ())


def test_with_less_memory_fewer_workers_go_on() -> None:
    """Each has a buffer as large as planned; that is said."""
    limits = planned(4, "2G")

    workers, [notice] = share_again(settings(4, "1G"), limits, SIZE, PROCESS)

    assert workers == 3
    buffers = f"buffers are of {limits.spill_bytes_max // MIB}M, as the run was planned"
    assert notice == f"workers is 4, going on with 3 of --memory 1G: {buffers}"


def test_with_more_workers_those_that_fit_go_on() -> None:
    """As many as there are tasks, at most; one, whatever the memory."""
    limits = planned(2, "2G")

    assert share_again(settings(64, "64G"), limits, SIZE, PROCESS) == (8, ())
    assert share_again(settings(64, "2G"), limits, SIZE, PROCESS)[0] < 8
    assert share_again(settings(8, "256M"), limits, SIZE, PROCESS)[0] == 1


def test_a_limit_of_a_task_that_does_not_hold_is_told() -> None:
    """A worker may use its part of `memory`; what would help is said, and does."""

    def asking(task_memory: str, memory: str = "2G") -> Settings:
        given = {"workers": 4, "memory": memory, "task_memory": task_memory}
        return resolve(given, {}, "/no", "/no").settings

    share = share_out(asking("128M"), SIZE, PROCESS)
    told = (
        "task_memory is 128M, going on with 512M, a worker's part of --memory 2G:"
        " a smaller --memory makes it less"
    )

    assert share.notices == (told,)
    assert share_again(asking("128M"), share.limits, SIZE, PROCESS) == (4, (told,))
    assert share_out(asking("128M", "512M"), SIZE, PROCESS).notices == ()
    assert share_out(asking("512M"), SIZE, PROCESS).notices == ()
