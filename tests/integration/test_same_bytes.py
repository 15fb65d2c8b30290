"""One job under many settings: the parts are the same bytes, and they are the oracle's."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pymr
from oracle import reference
from pymr.core.events import AttemptLost, Event, TaskCommitted
from pymr.names import events_key
from pymr.observe.feed import read_entries
from pymr.shuffle.engine import REFERENCE

REDUCERS = 3
WORDS = [f"w{number}" for number in range(300)]
ROW = {"tsv": "{key}\t{value}\n", "jsonl": '{{"key":{key},"value":{value}}}\n'}


def text(first: str, place: int) -> str:
    return f"{first}-{place}"


def large_number(first: str, place: int) -> int:
    return place << 60 | len(first)


def pairs_of(line: str, value_of: Callable[[str, int], Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what a line becomes; each word is a key that many lines share."""
    first, *rest = line.split(" ")
    for place, word in enumerate(rest):
        yield (word, len(first) % 2 == 0), value_of(first, place)


def mapper_of(value_of: Callable[[str, int], Any]) -> Callable[[Any, str], None]:
    def mapper(ctx: Any, line: str) -> None:
        for key, value in pairs_of(line, value_of):
            ctx.emit(key, value)
        die_once(ctx, "map")

    return mapper


def join(ctx, key, values):
    """Concatenation is associative: a lawful combiner, and sensitive to order."""
    ctx.emit(key, "|".join(values))


def join_or_die(ctx, key, values):
    join(ctx, key, values)
    die_once(ctx, "reduce")


def die_once(ctx, phase):
    """Kill this process where the run asks for it, once: a token file is the memory."""
    if ctx.params["kill"] != phase:
        return
    try:
        os.close(os.open(ctx.params["token"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Work(NamedTuple):
    """What a job computes, and the same for the oracle."""

    value_of: Callable[[str, int], Any]
    reducer: Any
    expected: Callable[[Iterable[Any]], Any]
    combiner: Any = None


class Way(NamedTuple):
    """How a job runs, and what must happen on the way."""

    settings: dict[str, Any]
    spilling: str = ""  # the phases that spill
    killed: str = ""  # the phase that loses one attempt
    is_plain: bool = False  # the shuffle is the one in plain Python


WORK = {
    "join": Work(text, join_or_die, "|".join),
    "join and combine": Work(text, join_or_die, "|".join, join),
    "sum": Work(large_number, pymr.SUM, sum),
    "count": Work(text, pymr.COUNT, lambda values: len(list(values))),
}
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
    (value_of, reducer, expected, combiner), (settings, spilling, killed, is_plain) = (
        WORK[work],
        WAYS[way],
    )
    monkeypatch.setenv(REFERENCE, str(int(is_plain)))
    paths = write_inputs(tmp_path)

    result = pymr.run(
        pymr.Job(mapper=mapper_of(value_of), reducer=reducer, combiner=combiner, input=pymr.LINES),
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


def expected_parts(
    paths: list[str],
    value_of: Callable[[str, int], Any],
    reduce: Callable[[Iterable[Any]], Any],
    output_format: str,
) -> list[str]:
    """Return the text of each part, by the reference."""
    parts = reference(
        [line for path in paths for line in Path(path).read_text().split("\n")],
        lambda line: pairs_of(line, value_of),
        lambda _key, values: reduce(values),
        REDUCERS,
    )
    return ["".join(row_of(key, value, output_format) for key, value in rows) for rows in parts]


def row_of(key: Any, value: Any, output_format: str) -> str:
    is_plain = output_format == "tsv" and isinstance(value, str)
    shown = value if is_plain else json.dumps(value, ensure_ascii=False)
    return ROW[output_format].format(key=json.dumps(key, separators=(",", ":")), value=shown)


def history(result: pymr.Result) -> list[Event]:
    path = Path(result.output) / events_key(result.manifest.run)
    return [entry.event for entry in read_entries(path.read_bytes().splitlines())]


def phases_that_spilled(happened: list[Event]) -> set[str]:
    """Return the phases of which a committed attempt wrote a spill."""
    receipts = [event.receipt for event in happened if isinstance(event, TaskCommitted)]
    return {receipt.attempt.phase for receipt in receipts if receipt.spills}


def write_inputs(folder: Path) -> list[str]:
    """Write files of very different sizes, with long lines, empty lines and no last newline."""
    chance = random.Random(7)
    paths = []
    for number, lines in enumerate((60, 0, 1, 200)):
        rows = [
            " ".join([f"{number}:{row}", *chance.choices(WORDS, k=chance.choice((0, 3, 12, 200)))])
            for row in range(lines)
        ]
        path = folder / f"in-{number}.txt"
        path.write_bytes("\n".join(rows).encode() + (b"\n" if number % 2 else b""))
        paths.append(str(path))
    return paths


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
