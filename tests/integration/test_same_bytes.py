"""One job under many settings: the parts are the same bytes, and they are the oracle's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import pymr
from oracle import reference

REDUCERS = 3
WORDS = [f"w{number}" for number in range(300)]


def mapper(ctx, line):
    first, *rest = line.split(" ")
    for place, word in enumerate(rest):
        ctx.emit((word, len(first) % 2 == 0), f"{ctx.params['tag']}-{first}-{place}")


def reducer(ctx, key, values):
    ctx.emit(key, "|".join(values))


def join_values(ctx, key, values):
    """Concatenation is associative: lawful, and sensitive to order."""
    ctx.emit(key, "|".join(values))


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


def expected_parts(paths: list[str]) -> list[str]:
    """Return the text of each part, by the reference."""
    lines = [
        line
        for path in paths
        for line in Path(path).read_bytes().decode().removesuffix("\n").split("\n")
        if line
    ]

    def pairs(line):
        first, *rest = line.split(" ")
        return [
            ((word, len(first) % 2 == 0), f"t-{first}-{place}") for place, word in enumerate(rest)
        ]

    parts = reference(lines, pairs, lambda _key, values: "|".join(values), REDUCERS)
    return [
        "".join(f'["{word}",{str(flag).lower()}]\t{value}\n' for (word, flag), value in rows)
        for rows in parts
    ]


SETTINGS = {
    "plain": {},
    "one worker": {"workers": 1, "mappers": 1},
    "three workers": {"workers": 3, "mappers": 7},
    "many map tasks": {"workers": 2, "mappers": 40},
    "tiny spills": {"spill": "32K", "mappers": 2},
    "tiny spills, smallest fan-in": {"spill": "32K", "merge_fan_in": 2, "mappers": 3},
    "many runs, smallest fan-in": {"merge_fan_in": 2, "mappers": 25},
    "combiner": {"combiner": join_values},
    "combiner, tiny spills": {"combiner": join_values, "spill": "32K", "merge_fan_in": 2},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_parts_are_the_same_bytes_under_every_setting(name, tmp_path):
    """Workers, map tasks, spill size, merge fan-in and a lawful combiner change no byte."""
    settings = dict(SETTINGS[name])
    paths = write_inputs(tmp_path)
    job = pymr.Job(
        mapper=mapper,
        reducer=reducer,
        combiner=settings.pop("combiner", None),
        input=pymr.LINES,
    )

    result = pymr.run(
        job,
        input=paths,
        output=tmp_path / "out",
        params={"tag": "t"},
        reducers=REDUCERS,
        **settings,
    )

    parts = [(tmp_path / "out" / part.name).read_text() for part in result.manifest.parts]
    assert parts == expected_parts(paths)


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
