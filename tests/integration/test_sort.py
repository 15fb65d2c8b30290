"""`--sort`: the parts in their order are one sorted sequence, evenly cut, always the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

import pymr
from cli import CommandLine
from pymr.core.events import Event, TaskCommitted
from pymr.names import events_key
from pymr.observe.feed import read_entries
from pymr.shuffle.codec import encode_key
from pymr.shuffle.engine import REFERENCE

EVEN = 1.2  # of an even share: what a part may have that no key fills alone
RANKS = 20_000


def words(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)


def ranks(ctx, line):
    ctx.emit(int(line), 1)


def mixed(ctx, line):
    """Emit keys of several types; many lines share one."""
    number = int(line)
    key = [number, str(number), (number % 7, str(number)), None, number / 2][number % 5]
    ctx.emit(key, ctx.input.offset)


def listed(ctx, key, values):
    ctx.emit(key, list(values))


def added(ctx, key, values):
    ctx.emit(key, sum(values))


def each(ctx, key, values):
    for value in values:
        ctx.emit(key, value)


def zipf(number: int, seed: int = 5) -> list[int]:
    """Return ranks as unequal as words of a language."""
    weights = list(accumulate(1 / (rank + 1) for rank in range(RANKS)))
    return random.Random(seed).choices(range(RANKS), cum_weights=weights, k=number)


def write(path: Path, lines: Any) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def spelled(rank: int) -> str:
    """Return the word of a rank; their order has nothing to do with how often they come."""
    return f"{rank * 7919 % 99_991:05d}"


def parts_of(result: pymr.Result) -> list[bytes]:
    folder = Path(result.output)
    return [(folder / part.name).read_bytes() for part in result.manifest.parts]


def shares(result: pymr.Result) -> list[float]:
    """Return the records of each part, in even shares."""
    records = result.manifest.ledger["partition_records"]
    return [count * len(records) / sum(records) for count in records]


def history(result: pymr.Result) -> list[Event]:
    path = Path(result.output) / events_key(result.manifest.run)
    return [entry.event for entry in read_entries(path.read_bytes().splitlines())]


WAYS = {
    "one worker": {"workers": 1, "mappers": 1},
    "three workers": {"workers": 3, "mappers": 7},
    "tiny spills": {"workers": 2, "mappers": 2, "spill": "16K", "merge_fan_in": 2},
    "little memory": {"workers": 2, "mappers": 13, "memory": "256M"},
    "plain Python": {"workers": 2, "mappers": 3, "spill": "32K"},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_parts_in_order_are_what_sorted_and_groupby_give(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skewed keys of several types, to the byte, cut at the same places under every setting."""
    monkeypatch.setenv(REFERENCE, str(int(way == "plain Python")))
    numbers = zipf(8000)
    path = write(tmp_path / "in.txt", numbers)

    result = pymr.run(
        pymr.Job(mapper=mixed, reducer=listed, input=pymr.LINES),
        input=path,
        output=tmp_path / "out",
        format="jsonl",
        sort=True,
        reducers=5,
        **WAYS[way],
    )

    assert b"".join(parts_of(result)).decode() == expected_rows(numbers)
    ends = [part.count(b"\n") for part in parts_of(result)]
    assert ends == [row_count(numbers, index) for index in range(5)]
    assert all(ends)


def keyed(numbers: list[int]) -> dict[bytes, tuple[Any, list[int]]]:
    """Return the groups of `mixed`, by encoded key in order."""
    emitted: dict[bytes, tuple[Any, list[int]]] = {}
    offset = 0

    class Context:
        input = None

        @staticmethod
        def emit(key: Any, value: int) -> None:
            emitted.setdefault(encode_key(key), (key, []))[1].append(value)

    context: Any = Context()
    for number in numbers:
        context.input = type("Input", (), {"offset": offset})
        mixed(context, str(number))
        offset += len(str(number)) + 1
    return dict(sorted(emitted.items()))


def expected_rows(numbers: list[int]) -> str:
    return "".join(
        json.dumps({"key": key, "value": values}, separators=(",", ":")) + "\n"
        for key, values in keyed(numbers).values()
    )


def row_count(numbers: list[int], index: int) -> int:
    """Return the rows of a part: the whole of a small input is the sample."""
    from bisect import bisect_right

    from pymr.core.boundary import choose_boundaries

    groups = keyed(numbers)
    boundaries = choose_boundaries({key: len(rows[1]) for key, rows in groups.items()}, 5)
    return sum(bisect_right(boundaries, key) == index for key in groups)


UNIFORM = [f"{random.Random(number).getrandbits(60):019d}" for number in range(50_000)]
KINDS: dict[str, tuple[Callable[[], Any], pymr.Job]] = {
    "text": (
        lambda: map(spelled, zipf(100_000)),
        pymr.Job(mapper=words, reducer=added),
    ),
    "text and SUM": (
        lambda: map(spelled, zipf(100_000)),
        pymr.Job(mapper=words, reducer=added, combiner=pymr.SUM),
    ),
    "ranks": (lambda: zipf(100_000), pymr.Job(mapper=ranks, reducer=added, input=pymr.LINES)),
    "uniform": (lambda: UNIFORM, pymr.Job(mapper=words, reducer=each)),
    "sorted already": (lambda: sorted(UNIFORM), pymr.Job(mapper=words, reducer=each)),
    "backwards": (lambda: sorted(UNIFORM)[::-1], pymr.Job(mapper=words, reducer=each)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_even_but_for_those_that_a_key_fills(kind: str, tmp_path: Path) -> None:
    """Within a fifth of an even share, of what is shuffled."""
    lines, job = KINDS[kind]
    path = write(tmp_path / "in.txt", lines())

    result = pymr.run(job, input=path, output=tmp_path / "out", sort=True, reducers=10)

    alone = filled_by_a_key(result)
    assert len(alone) <= 1
    assert [share for index, share in enumerate(shares(result)) if index not in alone] == [
        pytest.approx(1, abs=EVEN - 1)
    ] * (10 - len(alone))
    keys = [key for key, _ in result]
    assert keys == sorted(keys)


def filled_by_a_key(result: pymr.Result) -> set[int]:
    """Return the parts of which one key is nearly all."""
    receipts = [event.receipt for event in history(result) if isinstance(event, TaskCommitted)]
    return {
        receipt.attempt.task
        for receipt in receipts
        if receipt.attempt.phase == "reduce" and receipt.largest_group > 0.9 * receipt.read.records
    }


@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_a_large_input_is_cut_by_a_sample_of_it(order: str, tmp_path: Path) -> None:
    """More than 8 MiB are not mapped twice; many cells over all of it are."""
    chance = random.Random(3)
    lines = [f"{chance.getrandbits(40):013d} {'x' * 150}" for _ in range(150_000)]
    path = write(tmp_path / "in.txt", sorted(lines) if order == "sorted" else lines)

    def mapper(ctx: Any, line: str) -> None:
        ctx.count("calls")
        ctx.emit(line[:13], line[14:])

    result = pymr.run(
        pymr.Job(mapper=mapper, reducer=each, input=pymr.LINES),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=8,
    )

    assert max(shares(result)) <= EVEN
    assert min(shares(result)) >= 2 - EVEN
    assert result.counters == {"calls": 150_000}
    assert [key for key, _ in result] == [line[:13] for line in sorted(lines)]


def test_the_key_that_fills_a_part_is_named(tmp_path: Path) -> None:
    """In the summary, in the manifest, and among the events."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", " ".join(["the"] * 500 + [f"w{n}" for n in range(500)]) + "\n")
    worker = (
        "import pymr\n"
        "def mapper(ctx, chunk):\n"
        "    for word in chunk.split():\n"
        "        ctx.emit(word, 1)\n"
        "def reducer(ctx, key, values):\n"
        "    ctx.emit(key, sum(values))\n"
        "job = pymr.Job(mapper=mapper, reducer=reducer)\n"
    )

    outcome = cli.start("--input=in.txt", "--sort", "--reducers=5", "--json", worker=worker)

    line = "key 'the' has 50 % of the records, so part-00000.tsv is larger than the other parts"
    outcome.succeeded(
        f"  warning: {line}\n",
        "  the parts follow each other in key order; the largest has 2.50 times an even share of"
        " the records\n",
    )
    events = [json.loads(text) for text in outcome.stdout.splitlines()]
    assert [event["message"] for event in events if event["kind"] == "Warned"] == [line]
    manifest = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_text())
    assert manifest["warnings"] == [line]
    assert manifest["ledger"]["partition_records"] == [500, 125, 125, 125, 125]
    assert len(manifest["settings"]["boundaries"]) == 4


def test_of_many_keys_that_fill_a_part_three_are_named(tmp_path: Path) -> None:
    """The largest first."""
    heavy = ["a"] * 500 + ["b"] * 700 + ["c"] * 400 + ["d"] * 300
    path = write(tmp_path / "in.txt", heavy + UNIFORM[:100])

    result = pymr.run(
        pymr.Job(mapper=words, reducer=added),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=20,
    )

    assert [text.split(" has ")[0] for text in result.manifest.warnings] == [
        "key 'b'",
        "key 'a'",
        "key 'c'",
        "1 more key of that kind",
    ]


def test_with_fewer_keys_than_parts_some_are_empty(tmp_path: Path) -> None:
    """Which is said; a built-in reducer combines, so each key has a record."""
    path = write(tmp_path / "in.txt", ["a b", "b c"])

    result = pymr.run(
        pymr.Job(mapper=words, reducer=pymr.COUNT),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=5,
        mappers=1,
    )

    assert parts_of(result) == [b"a\t1\n", b"b\t2\n", b"c\t1\n", b"", b""]
    assert result.manifest.warnings == (
        "2 of 5 parts are empty: the sample for --sort has 3 different keys",
    )


def test_keys_that_begin_with_the_same_256_bytes_share_a_part(tmp_path: Path) -> None:
    """Which is said, since there are as many of them as parts."""
    path = write(tmp_path / "in.txt", ["a", "b"])

    result = pymr.run(
        pymr.Job(mapper=lambda ctx, line: ctx.emit("x" * 300 + line, 1), reducer=pymr.COUNT),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=2,
    )

    assert [len(part.splitlines()) for part in parts_of(result)] == [2, 0]
    assert result.manifest.warnings == (
        "1 of 2 parts is empty: the sample for --sort has 1 different key,"
        " told apart by their first 256 encoded bytes",
    )


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_nothing_to_sort_is_no_error(content: str, tmp_path: Path) -> None:
    """No key, no boundary."""
    path = tmp_path / "in.txt"
    path.write_text(content)

    result = pymr.run(
        pymr.Job(mapper=words, reducer=added),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=3,
    )

    assert parts_of(result) == [b"", b"", b""]
    assert result.manifest.settings.boundaries == ()


def test_one_part_needs_no_sample(tmp_path: Path) -> None:
    """It is sorted as it is; the mapper is not called twice on anything."""
    path = write(tmp_path / "in.txt", ["b", "a"])
    calls = tmp_path / "calls"

    def mapper(ctx: Any, chunk: str) -> None:
        with calls.open("a") as log:
            log.write("x")
        words(ctx, chunk)

    result = pymr.run(
        pymr.Job(mapper=mapper, reducer=added),
        input=path,
        output=tmp_path / "out",
        sort=True,
        mappers=1,
    )

    assert parts_of(result) == [b"a\t1\nb\t1\n"]
    assert result.manifest.settings.boundaries == ()
    assert calls.read_text() == "x" * result.manifest.ledger["map_calls"]


def test_a_reducer_may_emit_other_keys_which_keep_the_order_of_its_own(tmp_path: Path) -> None:
    """The order is that of the keys it is called with."""
    path = write(tmp_path / "in.txt", range(100, 200))

    result = pymr.run(
        pymr.Job(mapper=words, reducer=lambda ctx, key, _values: ctx.emit(-int(key), key)),
        input=path,
        output=tmp_path / "out",
        sort=True,
        reducers=3,
    )

    assert [key for key, _ in result] == [-number for number in range(100, 200)]


def test_a_seed_of_the_hash_has_no_say(tmp_path: Path) -> None:
    """There is no hash."""
    path = write(tmp_path / "in.txt", ["b", "a"])

    result = pymr.run(
        pymr.Job(mapper=words, reducer=added),
        input=path,
        output=tmp_path / "out",
        sort=True,
        partition_seed=3,
    )

    assert result.manifest.warnings == (
        "--partition-seed has no effect: --sort gives each reducer a range of keys",
    )


def test_plan_says_what_sort_will_do(tmp_path: Path) -> None:
    """And does not do it: no call of the mapper."""
    cli = CommandLine(tmp_path)
    cli.write("small.txt", "a b\n" * 100)
    cli.write("large.txt", b"x\n" * (20 << 19))
    cli.write(
        "worker.py",
        "import pymr\ndef mapper(ctx, chunk):\n    raise SystemExit\n"
        "job = pymr.Job(mapper=mapper, reducer=pymr.SUM)\n",
    )

    def plan(*flags: str) -> str:
        outcome = cli.run("plan", *flags, "worker.py")
        assert outcome.code == 0, outcome.stderr
        return outcome.stdout

    assert "sort " not in plan("--input=small.txt")
    assert "sort    one part, in key order\n" in plan("--input=small.txt", "--sort")
    assert (
        "sort    4 parts of consecutive keys; all 400 B of input are mapped first to balance them\n"
    ) in plan("--input=small.txt", "--sort", "--reducers=4")
    assert (
        "sort    8 parts of consecutive keys; 8.4 MB at 128 places of the input are mapped first"
        " to balance them\n"
    ) in plan("--input=large.txt", "--sort")
    facts = json.loads(plan("--input=large.txt", "--sort", "--json"))
    assert facts["sort"] == {"sample_bytes": 8 << 20, "sample_places": 128}
    assert json.loads(plan("--input=large.txt", "--json"))["sort"] is None
