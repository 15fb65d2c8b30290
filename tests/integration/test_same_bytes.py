"""One job under many settings: the parts are the same bytes, and they are the oracle's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pymr
from pymr.core.events import AttemptLost, Event, TaskCommitted
from pymr.names import events_key
from pymr.observe.feed import read_entries
from pymr.shuffle.engine import REFERENCE
from same_bytes import REDUCERS, expected_parts, write_inputs
from same_bytes_jobs import WORK, job_of


class Way(NamedTuple):
    """How a job runs, and what must happen on the way."""

    settings: dict[str, Any]
    spilling: str = ""  # the phases that spill
    killed: str = ""  # the phase that loses one attempt
    is_plain: bool = False  # the shuffle is the one in plain Python


WAYS = {
    "plain": Way({}),
    "one worker": Way({"workers": 1, "mappers": 1}),
    "three workers": Way({"workers": 3, "mappers": 7}),
    "many map tasks": Way({"workers": 2, "mappers": 40}),
    "tiny spills": Way({"spill": "32K", "mappers": 2}, spilling="map"),
    "smallest fan-in": Way({"merge_fan_in": 2, "mappers": 25}, spilling="reduce"),
    "both": Way({"spill": "32K", "merge_fan_in": 2, "mappers": 3}, spilling="map reduce"),
    "killed in map": Way({"spill": "32K", "mappers": 3}, spilling="map", killed="map"),
    "killed in reduce": Way({"merge_fan_in": 2, "mappers": 5}, spilling="reduce", killed="reduce"),
    "plain Python": Way({"spill": "32K", "mappers": 3}, spilling="map", is_plain=True),
    "jsonl": Way({"format": "jsonl", "mappers": 3}),
}
MATRIX = [
    *(("join", way) for way in WAYS),
    *((work, "both") for work in ("join and combine", "sum", "count")),
    *((work, "plain Python") for work in ("join and combine", "sum", "count")),
    *((work, "killed in map") for work in ("join and combine", "sum")),
]


@pytest.mark.parametrize(("work", "way"), MATRIX)
def test_parts_are_the_same_bytes_under_every_setting(work, way, tmp_path, monkeypatch):
    """Workers, map tasks, spills, fan-in, a lawful combiner and a dead process change no byte."""
    value_of, _, expected, _ = WORK[work]
    settings, spilling, killed, is_plain = WAYS[way]
    monkeypatch.setenv(REFERENCE, str(int(is_plain)))
    paths = write_inputs(tmp_path)

    result = pymr.run(
        job_of(work),
        input=paths,
        output=tmp_path / "out",
        params={"kill": killed, "token": str(tmp_path / "token")},
        reducers=REDUCERS,
        **settings,
    )

    parts = [(tmp_path / "out" / part.name).read_text() for part in result.manifest.parts]
    assert parts == expected_parts(paths, value_of, expected, settings.get("format", "tsv"))
    happened = history(result)
    assert phases_that_spilled(happened) == set(spilling.split())
    lost = [event.attempt.phase for event in happened if isinstance(event, AttemptLost)]
    assert lost == killed.split()


def history(result: pymr.Result) -> list[Event]:
    path = Path(result.output) / events_key(result.manifest.run)
    return [entry.event for entry in read_entries(path.read_bytes().splitlines())]


def phases_that_spilled(happened: list[Event]) -> set[str]:
    """Return the phases of which a committed attempt wrote a spill."""
    receipts = [event.receipt for event in happened if isinstance(event, TaskCommitted)]
    return {receipt.attempt.phase for receipt in receipts if receipt.spills}


@pytest.mark.parametrize("mappers", [1, 2, 5, 13])
def test_mapper_calls_do_not_depend_on_the_number_of_map_tasks(mappers, tmp_path):
    """A mapper sees the same chunks for any number of map tasks, so its own counts agree."""
    paths = write_inputs(tmp_path)
    job = pymr.Job(mapper=lambda ctx, chunk: ctx.emit(len(chunk), 1), reducer=pymr.COUNT)

    result = pymr.run(job, input=paths, output=tmp_path / "out", mappers=mappers)

    chunks = [length for length, count in result for _ in range(count)]
    assert sum(chunks) == sum(len(Path(path).read_bytes()) for path in paths)
    assert result.manifest.ledger["map_calls"] == len(chunks)
    assert dict(result) == dict(
        pymr.run(job, input=paths, output=tmp_path / "again", mappers=1, overwrite=True)
    )


@pytest.mark.parametrize("mappers", [1, 4])
def test_map_only_parts_concatenate_to_the_same_bytes(mappers, tmp_path):
    """Without a reduce phase the concatenation of the parts is promised."""
    paths = write_inputs(tmp_path)
    job = pymr.Job(
        mapper=lambda ctx, line: ctx.emit(line[:9], len(line)) if line else None,
        input=pymr.LINES,
    )

    result = pymr.run(job, input=paths, output=tmp_path / "out", mappers=mappers)

    whole = b"".join((tmp_path / "out" / p.name).read_bytes() for p in result.manifest.parts)
    lines = [
        line
        for path in paths
        for line in Path(path).read_text().removesuffix("\n").split("\n")
        if line
    ]
    assert whole.decode() == "".join(f"{line[:9]}\t{len(line)}\n" for line in lines)
