"""Too much of something: empty lines, tiny files, one huge file, pairs, bytes in one pair."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import PYMR, CommandLine

COUNT_LINES = """\
import pymr

def mapper(ctx, line):
    ctx.emit(line, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.COUNT, input=pymr.LINES)
"""
AMPLIFY = """\
import pymr

def mapper(ctx, line):
    for number in range(1000):
        ctx.emit((number, line), line)

def reducer(ctx, key, values):
    ctx.emit(key[0], list(values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
MIB = 1 << 20


def receipts(cli: CommandLine, phase: str) -> list[dict[str, Any]]:
    """Return what the attempts of the run in `out` reported."""
    entries = map(json.loads, cli.run("show", "--json", "out").stdout.splitlines())
    found = [entry["receipt"] for entry in entries if entry["kind"] == "TaskCommitted"]
    return [receipt for receipt in found if receipt["attempt"]["phase"] == phase]


def test_b19_millions_of_empty_lines(cli: CommandLine) -> None:
    r"""Each is a record, and none is kept. Here one million; all ten (5 s, 72 MB).

    head -c 10000000 /dev/zero | tr '\0' '\n' > in.txt; pymr start --input in.txt worker.py
    """
    memory = []
    for number in (1000, 1_000_000):
        cli.write("in.txt", b"\n" * number)

        outcome = cli.start("--input=in.txt", "--spill=1M", "--overwrite", worker=COUNT_LINES)

        assert outcome.succeeded() == [f"\t{number}"]
        memory.append(max(receipt["rss_bytes_max"] for receipt in receipts(cli, "map")))
    assert memory[1] - memory[0] < 16 * MIB, memory


def test_b20_files_of_one_byte_share_map_tasks(cli: CommandLine) -> None:
    """Nothing is started for each of them. Here 20,000; 100,000 took 5 s with one worker."""
    (cli.folder / "in").mkdir()
    for number in range(20_000):
        (cli.folder / "in" / str(number)).write_bytes(b"a")

    rows = cli.start("--input=in").succeeded("20,000 emitted")

    assert rows == ["a\t20000"]
    assert len(receipts(cli, "map")) < 10


def test_b21_a_file_of_a_terabyte_is_split_by_ranges(cli: CommandLine) -> None:
    """Its plan is there at once, in an address space with no room for a list of its cells."""
    with cli.write("huge", "").open("r+b") as file:
        file.truncate(1 << 40)
    cli.write("worker.py", COUNT_LINES)

    planned = cli.shell(f"ulimit -v 600000; exec '{PYMR}' plan --json --input=huge worker.py")

    assert planned.code == 0, planned.stderr
    facts = json.loads(planned.stdout)
    ends = [0]
    for task in facts["tasks"]:
        (split,) = task["splits"]
        assert (split["input"], split["start"]) == ("huge", ends[-1])
        ends.append(split["end"])
    assert ends[-1] == facts["bytes"] == 1 << 40
    assert 10_000 < len(facts["tasks"]) < 20_000


def test_b73_a_mapper_that_emits_a_thousand_pairs_for_each_line(cli: CommandLine) -> None:
    """They go to disk where they do not fit, and come back complete and in order."""
    lines = [f"line {number:02d}" for number in range(40)]
    cli.write("in.txt", "\n".join(lines))

    rows = cli.start("--input=in.txt", "--spill=512K", worker=AMPLIFY).succeeded("40,000 emitted")

    assert rows == [f'{number}\t["{line}"]' for number in range(1000) for line in lines]
    assert [receipt["spills"] for receipt in receipts(cli, "map")] > [5]


@pytest.mark.parametrize(
    ("pair", "limit"),
    [
        (
            "'k', bytes(1 << 30)",
            f"a value of 1073741830 bytes is larger than the limit of {64 * MIB}",
        ),
        ("'k' * (MIB + 1), 1", f"a key of {MIB + 2} bytes is larger than the limit of {MIB}"),
    ],
    ids=["b74 value of 1 GiB", "b61 key over 1 MiB"],
)
def test_f82_b74_what_is_too_large_for_one_pair(cli: CommandLine, pair: str, limit: str) -> None:
    """Refused where it is emitted, with the limit and the record that did it."""
    cli.write("in.txt", "a\nb\nlarge\n")
    worker = (
        f"import pymr\nMIB = 1 << 20\ndef mapper(ctx, line):\n    if line == 'large':\n"
        f"        ctx.emit({pair})\njob = pymr.Job(mapper=mapper, reducer=pymr.MAX, "
        "input=pymr.LINES)\n"
    )

    outcome = cli.start("--input=in.txt", "--attempts=1", worker=worker)

    outcome.refused(1, limit, "worker.py:5 in mapper", 'in.txt  line 3 (byte 4):  "large"')
