"""Every example runs through the command line and gives what a 20-line reference gives.

`expected.tsv` of an example is its output as `pymr start --reducers 1` leaves it: one part in
key order, or, for a map-only job, the parts one after the other.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace

import pytest

import pymr

EXAMPLES = Path(__file__).parents[2] / "examples"
PYMR = Path(sys.executable).parent / "pymr"
PARAMS = {"grep": {"pattern": "ERROR"}}
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/worker.py"))


def load(name: str) -> pymr.Job:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "worker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.job


def records(name: str, job: pymr.Job):
    """Yield `(file, offset, record)`: lines for LINES, whole files for TEXT."""
    for path in sorted((EXAMPLES / name / "input").iterdir()):
        text, offset = path.read_text(), 0
        for record in text.splitlines(keepends=True) if job.input is pymr.LINES else [text]:
            yield str(path), offset, record.rstrip("\n") if job.input is pymr.LINES else record
            offset += len(record.encode())


def reference(name: str) -> list[tuple[object, object]]:
    """MapReduce as it is defined: map everything, sort by key, group, reduce."""
    job, pairs, rows = load(name), [], []
    context = SimpleNamespace(params=PARAMS.get(name, {}), count=lambda _name, _number=1: None)
    context.emit = lambda key, value: pairs.append((key, value))
    for file, offset, record in records(name, job):
        context.input = SimpleNamespace(file=file, offset=offset)
        job.mapper(context, record)
    if job.reducer is None:
        return pairs
    context.emit = lambda key, value: rows.append((key, value))
    for key, group in groupby(sorted(pairs, key=itemgetter(0)), key=itemgetter(0)):
        values = (value for _, value in group)
        if job.reducer is pymr.COUNT:
            rows.append((key, sum(1 for _ in values)))
        else:
            job.reducer(context, key, values)
    return rows


def as_tsv(rows: list[tuple[object, object]]) -> str:
    """Return rows as text; no cell of the examples has a tab or a backslash in it."""
    return "".join(f"{cell(key)}\t{cell(value)}\n" for key, value in rows)


def cell(value: object) -> str:
    return value if type(value) is str else json.dumps(value, separators=(",", ":"))


def start(name: str, output: Path, *flags: str) -> str:
    """Run an example and return its parts, one after the other."""
    sets = [f"--set={key}={value}" for key, value in PARAMS.get(name, {}).items()]
    folder = EXAMPLES / name
    command = [PYMR, "start", "--output", output, "--input", folder / "input", *sets, *flags]
    done = subprocess.run(
        [*command, folder / "worker.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=output.parent,
        env={**os.environ, "XDG_STATE_HOME": str(output.parent / "state")},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "stdout is for results that were asked for"
    assert (output / "_SUCCESS").exists()
    return "".join(part.read_text() for part in sorted(output.glob("part-*.tsv")))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_its_expected_output(name: str, tmp_path: Path) -> None:
    """With one reducer the output is `expected.tsv`, to the byte."""
    expected = (EXAMPLES / name / "expected.tsv").read_text()

    assert start(name, tmp_path / "out", "--reducers=1") == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_output_is_what_the_reference_gives(name: str) -> None:
    """`expected.tsv` agrees with `sorted` and `groupby`, and is not empty."""
    expected = (EXAMPLES / name / "expected.tsv").read_text()

    assert expected
    assert as_tsv(reference(name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_the_same_rows_however_it_is_cut(name: str, tmp_path: Path) -> None:
    """Workers and mappers change no byte; reducers change only which part a row is in."""
    expected = (EXAMPLES / name / "expected.tsv").read_text()

    one = start(name, tmp_path / "one", "--workers=1", "--mappers=1", "--reducers=3")
    three = start(name, tmp_path / "three", "--workers=3", "--mappers=5", "--reducers=3")
    tight = start(name, tmp_path / "tight", "--workers=2", "--mappers=9", "--spill=1")

    assert one == three
    assert Counter(one.splitlines()) == Counter(expected.splitlines())
    assert tight == expected


def test_the_rows_of_a_map_only_job_stand_in_input_order(tmp_path: Path) -> None:
    """The parts of grep, one after the other, are the matching lines as they were read."""
    rows = start("grep", tmp_path / "out", "--workers=3", "--mappers=7").splitlines()

    assert [json.loads(row.split("\t")[0]) for row in rows] == [
        [name, offset] for (name, offset), _line in reference("grep")
    ]
    assert len(list((tmp_path / "out").glob("part-*.tsv"))) > 1


def test_the_join_counts_the_orders_it_could_not_join(tmp_path: Path) -> None:
    """A counter of committed attempts stands in the manifest."""
    start("join", tmp_path / "out", "--workers=2", "--mappers=4", "--reducers=2")

    assert pymr.Result(str(tmp_path / "out")).counters == {"orders without a customer": 1}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_how_to_run_it(name: str) -> None:
    """The docstring of each worker ends in the command that runs it."""
    text = (EXAMPLES / name / "worker.py").read_text()

    command = text.split('"""')[1].splitlines()[-1]

    assert command.startswith(f"pymr start --input examples/{name}/input ")
    assert command.endswith(f" examples/{name}/worker.py")
