"""The jobs of `test_same_bytes` on hosts: whatever store, workers, faults and kills, the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple

import pytest

from fault_proxy import Fault
from hosts import HostProcess, Hosts
from pymr.core.events import AttemptFailed, AttemptLost
from s3_request import Server
from same_bytes import REDUCERS, expected_parts, write_inputs
from same_bytes_jobs import WORK

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

JOBS = Path(__file__).parents[1] / "same_bytes_jobs.py"
SLOWLY_S = 90.0  # for a run on a machine that is busy


class Way(NamedTuple):
    """How a job runs, and what is done to it."""

    settings: str = "--mappers=3"
    slots: tuple[int, ...] = (1, 1)  # of each worker
    faults: tuple[Fault, ...] = ()  # of the store
    killed: str = ""  # the phase that loses a task process; `worker-map`: a worker
    packets_lost: float | None = None  # the share, on their way to the first worker
    namespaces: bool = False


SLOW_DOWN = Fault("status", share=0.1, status=503, code="SlowDown")
ERRORS = Fault("status", share=0.1, status=500)
LOST = Fault("lose_reply", share=0.1, method="PUT")
CUT_SHORT = Fault("truncate", share=0.1, method="GET", target="_pymr/.*/(map|reduce)-|inputs/")
SPILLS = "--spill=32K --merge-fan-in=2 --mappers=3"
WAYS = {
    "two workers": Way(),
    "one worker with two slots": Way("--mappers=7", slots=(2,)),
    "three workers": Way("--mappers=13", slots=(1, 1, 2)),
    "spills and merges": Way(SPILLS),
    "jsonl": Way("--format=jsonl --mappers=3"),
    "killed in map": Way(SPILLS, killed="map"),
    "killed in reduce": Way(SPILLS, killed="reduce"),
    "a worker killed in map": Way("--mappers=4", killed="worker-map"),
    "a worker killed in reduce": Way(SPILLS, killed="worker-reduce"),
    "a store that fails": Way(faults=(SLOW_DOWN, LOST, CUT_SHORT)),
    "a store that fails, spills": Way(SPILLS, slots=(2,), faults=(ERRORS, CUT_SHORT)),
    "a network that loses packets": Way(packets_lost=0.01, namespaces=True),
}
MATRIX = [
    *(("join", way) for way in WAYS),
    *((work, "spills and merges") for work in ("join and combine", "sum", "count")),
    ("join and combine", "a store that fails"),
    ("sum", "killed in map"),
]


@pytest.mark.parametrize(("work", "name"), MATRIX)
def test_parts_on_hosts_are_the_same_bytes(
    tmp_path: Path, minio: Server, work: str, name: str
) -> None:
    """Nothing is lost but what the way kills, and no task fails."""
    way = WAYS[name]
    direct = not way.faults and not way.namespaces
    with Hosts(tmp_path, minio, namespaces=way.namespaces, direct=direct) as hosts:
        faults = [hosts.proxy.break_(replace(fault)) for fault in way.faults]
        master, expected = begun(hosts, work, way)
        workers = [hosts.worker(f"w{n}", slots=slots) for n, slots in enumerate(way.slots)]
        if way.packets_lost is not None:
            hosts.networks.lose("w0", way.packets_lost)

        assert master.ended(SLOWLY_S) == 0, hosts.told()
        codes = sorted(worker.ended() for worker in workers)
        kills_worker = way.killed.startswith("worker-")
        assert codes == (
            [-SIGKILL, *[0] * (len(workers) - 1)] if kills_worker else [0] * len(codes)
        )
        hosts.assert_whole(expected)
        assert hosts.happened(AttemptFailed) == []
        lost = [event.attempt.phase for event in hosts.happened(AttemptLost)]
        if kills_worker:  # What it did may have had a backup.
            assert {*lost} <= {way.killed.removeprefix("worker-")}
        else:
            assert lost == way.killed.split()
        assert not faults or sum(fault.hits for fault in faults)


def begun(hosts: Hosts, work: str, way: Way) -> tuple[HostProcess, list[str]]:
    """Start the job; return its master, and the parts that must come out."""
    (hosts.folder / "inputs").mkdir()
    paths = write_inputs(hosts.folder / "inputs")
    worker = f"from same_bytes_jobs import job_of\n\njob = job_of({work!r})\n"
    master = hosts.start(
        *(f"--input={path}" for path in paths),
        *(f"--set=kill={way.killed}", f"--set=token={hosts.folder / 'token'}"),
        *(f"--reducers={REDUCERS}", *way.settings.split()),
        files={"worker.py": worker, JOBS.name: JOBS.read_text()},
        workers=len(way.slots),
    )
    value_of, _, reduced, _ = WORK[work]
    output_format = "jsonl" if "jsonl" in way.settings else "tsv"
    return master, expected_parts(paths, value_of, reduced, output_format)
