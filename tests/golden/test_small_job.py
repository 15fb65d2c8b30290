"""What a small job says and leaves, as text: a change of it is seen in the review of a commit.

`pytest tests/golden --rewrite-golden` writes the files anew. What differs from run to run is
left out: times, memory, the id of the run, nonces, progress, and the sizes of files that hold
times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import CommandLine

WORKER = """\
import pymr

def mapper(ctx, chunk):
    ctx.count("chunks")
    for word in chunk.split():
        ctx.emit(word, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""
SETTINGS = ("--name=words", "--mappers=2", "--reducers=2", "--spill=1M", "--memory=1G")
ACCIDENTAL = {"seq", "time", "started", "wall_s", "cpu_s", "rss_bytes_max", "peak_bytes"}
NAMED_BY_CHANCE = [
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "RUN"),
    (r"-[0-9a-f]{32}\b", "-NONCE"),
]
HOLDING_TIMES = {"CLAIM", "MANIFEST.json", "_SUCCESS", "events.jsonl", "journal"}


@pytest.fixture
def small_job(tmp_path: Path) -> CommandLine:
    """Run two files of 31 bytes through two map and two reduce tasks."""
    cli = CommandLine(tmp_path)
    cli.write("one.txt", "one two one\nthree two one\n")
    cli.write("two.txt", "four\n")
    outcome = cli.start("--input=one.txt", "--input=two.txt", *SETTINGS, worker=WORKER)
    assert outcome.code == 0, outcome.stderr
    return cli


def test_the_events_of_a_small_job(small_job: CommandLine, golden: Any) -> None:
    """Kind and order, and each field that says something."""
    lines = small_job.run("show", "out", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]

    golden("small_job.events", "".join(map(shown, events)))


def test_the_objects_of_a_small_job(small_job: CommandLine, golden: Any) -> None:
    """Every name that is left: part data has two, and nothing of the map phase stays."""
    out = small_job.folder / "out"
    files = sorted((path for path in out.rglob("*") if path.is_file()), key=str)

    golden(
        "small_job.objects",
        "".join(f"{described(p)} {steady(str(p.relative_to(out)))}\n" for p in files),
    )


def shown(event: dict[str, Any]) -> str:
    """Return one event, a field a line; none for progress, which comes by the clock."""
    if event["kind"] == "AttemptProgressed":
        return ""
    fields = "".join(f"    {steady(line)}\n" for line in telling(event))
    return f"{event['kind']}\n{fields}"


def telling(value: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield `path value` of each field that is not empty, zero, false or an accident."""
    for name, inner in value.items():
        if name in ACCIDENTAL or name == "kind" or not (inner or name == "task"):
            continue
        if isinstance(inner, dict):
            yield from telling(inner, f"{path}{name}.")
        else:
            yield f"{path}{name} {json.dumps(inner)}"


def described(path: Path) -> str:
    """Return what the owner may do, the number of names, and the size."""
    status = path.stat()
    size = "-" if path.name in HOLDING_TIMES else str(status.st_size)
    return f"{'rw' if status.st_mode & 0o200 else 'r-'} {status.st_nlink} {size:>3}"


def steady(text: str) -> str:
    for pattern, word in NAMED_BY_CHANCE:
        text = re.sub(pattern, word, text)
    return text
