"""`pymr.IDENTITY`: each pair is a row, as if a reducer had emitted it, without a call of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pymr
from pymr.errors import WorkerFileError
from pymr.shuffle.codec import encode_key
from pymr.shuffle.engine import REFERENCE

LINES = 12_000
KEYS = [7, "a\tb", (1, "x", None), 2.5, b"\x00\xff", -(10**30), None, True, "é", "z" * 300]
VALUES = [1, "text\n", 0.1, None, False, 10**40, b"\x01", [1, "a"], {"b": (2,)}, "é" * 40]


def pairs(ctx, line):
    """Nine lines in ten share one key, so that its rows do not fit in a block of them."""
    number = int(line)
    key = "heavy" if number % 10 else KEYS[number // 10 % len(KEYS)]
    value = VALUES[number // 3 % len(VALUES)] if number % 500 < 20 else f"{number:060d}"
    ctx.emit(key, value)


def each(ctx, key, values):
    for value in values:
        ctx.emit(key, value)


def parts(folder: Path, reducer: Any, **settings: Any) -> list[bytes]:
    """Run the job with `reducer` and return the bytes of its parts."""
    path = folder / "in.txt"
    path.write_text("".join(f"{number}\n" for number in range(LINES)))
    result = pymr.run(
        pymr.Job(mapper=pairs, reducer=reducer, input=pymr.LINES),
        input=path,
        output=folder / f"out-{'identity' if reducer is pymr.IDENTITY else 'each'}",
        reducers=4,
        **settings,
    )
    assert result.manifest.ledger["records_out"] == LINES
    return [(Path(result.output) / part.name).read_bytes() for part in result.manifest.parts]


@pytest.mark.parametrize("output_format", ["tsv", "jsonl"])
@pytest.mark.parametrize(
    "way",
    [
        {"mappers": 3},
        {"mappers": 3, "sort": True},
        {"mappers": 7, "spill": "32K", "merge_fan_in": 2},
        {"mappers": 2, "reference": True},
    ],
    ids=["plain", "sorted", "spills", "plain Python"],
)
def test_it_writes_what_a_reducer_would_that_emits_each_value(
    way: dict[str, Any], output_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and values of every type, and a key with more rows than are held at once."""
    settings = dict(way)
    monkeypatch.setenv(REFERENCE, str(int(settings.pop("reference", False))))

    found = parts(tmp_path, pymr.IDENTITY, format=output_format, **settings)

    monkeypatch.setenv(REFERENCE, "0")
    expected = parts(tmp_path, each, format=output_format, sort=way.get("sort", False))
    assert found == expected


def test_with_sort_it_sorts_lines_of_which_none_is_lost(tmp_path: Path) -> None:
    """Equal keys stay in input order, as in `sort --stable`."""
    lines = [f"{number * 7919 % 997:03d} {number}" for number in range(5000)]
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{line}\n" for line in lines))

    result = pymr.run(
        pymr.Job(
            mapper=lambda ctx, line: ctx.emit(line[:3], line[4:]),
            reducer=pymr.IDENTITY,
            input=pymr.LINES,
        ),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=3,
    )

    expected = sorted(lines, key=lambda line: encode_key(line[:3]))
    assert [f"{key} {value}" for key, value in result] == expected
    assert result.manifest.ledger["groups"] == 997


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"combiner": pymr.IDENTITY, "reducer": each}, "combines nothing"),
        ({"combiner": each, "reducer": pymr.IDENTITY}, "takes pairs as they are"),
    ],
    ids=["as a combiner", "with a combiner"],
)
def test_it_goes_with_no_combiner(arguments: dict[str, Any], text: str) -> None:
    """Whether one had run would be seen in the output."""
    with pytest.raises(WorkerFileError, match=text):
        pymr.Job(mapper=pairs, **arguments)
