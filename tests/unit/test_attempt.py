"""`run_attempt`, the seam: the same bytes with any store, and no object of a failed attempt."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pymr
from inline_run import InlineRun
from pymr.core.spec import Attempt, EdgeSum, Limits, Receipt
from pymr.errors import InputError, PymrError, UserCodeError
from pymr.store.base import ObjectStore
from pymr.store.local import LocalStore
from pymr.task.attempt import Ticker, run_attempt
from staged_run import keys, memory_store

TEXT = "".join(f"{word} {number}\n" for number in range(40) for word in ("a", "bb", "c", "ä"))
SMALL = Limits(spill_bytes_max=300, merge_fan_in_max=2, block_bytes=64)
MAP = Attempt("map", 0, 1)
REDUCE = Attempt("reduce", 0, 1)


def pairs(ctx: Any, line: str) -> None:
    word, number = line.split()
    ctx.count("lines")
    ctx.emit(word, int(number))


def listed(ctx: Any, key: Any, values: Any) -> None:
    ctx.count("groups")
    ctx.emit(key, list(values))


def stores(folder: Path) -> list[ObjectStore]:
    return [LocalStore(str(folder / "out")), memory_store()]


def inline(tmp_path: Path, store: ObjectStore | None = None, **options: Any) -> InlineRun:
    """Return a run over TEXT; of the options those of a Job make the job."""
    names = ("mapper", "reducer", "combiner", "partitioner", "setup", "teardown", "input")
    job = {"mapper": pairs, "reducer": listed, "input": pymr.LINES}
    job |= {name: options.pop(name) for name in names if name in options}
    path = tmp_path / "in.txt"
    text = options.pop("text", TEXT)
    if not path.exists():  # A file that was written again is another input.
        path.write_text(text, newline="")
    store = store or LocalStore(str(tmp_path / "out"))
    return InlineRun(pymr.Job(**job), [path], store, tmp_path / "tmp", **options)


def untimed(run: InlineRun) -> list[Any]:
    """Return the receipts of a run without what the clock and the machine say."""
    return [
        msgspec.structs.replace(receipt, wall_s=0, cpu_s=0, rss_bytes_max=0)
        for receipt in run.receipts
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd is Linux's")
@pytest.mark.parametrize("reducer", [listed, pymr.SUM])
def test_attempts_leave_nothing_open(tmp_path: Path, reducer: Any) -> None:
    """A process runs thousands: no cycle keeps what one has read from until a collection."""
    run = inline(tmp_path, reducer=reducer, mapper=lambda ctx, line: ctx.emit(line, 1))
    gc.disable()
    try:
        before = sorted(Path("/proc/self/fd").iterdir())
        run.run()
        after = sorted(Path("/proc/self/fd").iterdir())
    finally:
        gc.enable()

    assert after == before


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limits": SMALL, "mappers": 5},
        {"reducer": pymr.SUM},
        {"reducer": None, "output_format": "jsonl"},
        {"input": pymr.TEXT, "mapper": lambda ctx, chunk: ctx.emit(ctx.input.offset, chunk)},
        {"input": pymr.WHOLE, "mapper": lambda ctx, data: ctx.emit(len(data), data)},
        {"text": ""},
    ],
    ids=["function", "spills", "builtin", "map only", "text", "whole", "empty"],
)
def test_any_store_gives_the_same_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    """A disk and memory: objects, keys and receipts are equal, byte for byte."""
    runs = [inline(tmp_path, store, **options) for store in stores(tmp_path)]

    first, second = [run.run() for run in runs]

    assert first == second
    assert untimed(runs[0]) == untimed(runs[1])
    assert keys(runs[0].store) == keys(runs[1].store) != []
    assert all(runs[0].store.get(key) == runs[1].store.get(key) for key in keys(runs[0].store))


def test_spills_change_no_byte_of_the_parts(tmp_path: Path) -> None:
    """Neither do tasks; and the small limits really made it spill."""
    large, small = inline(tmp_path), inline(tmp_path, memory_store(), limits=SMALL, mappers=7)

    assert large.run() == small.run()
    assert sum(receipt.spills for receipt in small.receipts) > 10
    assert sum(receipt.spills for receipt in large.receipts) == 0


def test_a_receipt_says_what_was_done(tmp_path: Path) -> None:
    """The books of one map and one reduce attempt, counters included."""
    run = inline(tmp_path, text="a 1\r\nb 2\na 3\n", mappers=1, reducers=1)

    (part,) = run.run()
    mapped, reduced = run.receipts

    assert part == b"a\t[1,3]\nb\t[2]\n"
    assert (mapped.attempt, mapped.key) == (MAP, "_pymr/run/map-0000-1")
    assert (mapped.bytes_in, mapped.records_in, mapped.calls) == (13, 3, 3)
    assert (mapped.emitted, mapped.written.records, mapped.carriage_returns) == (3, 3, 1)
    assert mapped.size == run.store.size(mapped.key)
    assert mapped.counters == {"lines": 3}
    assert (reduced.attempt, reduced.groups, reduced.calls, reduced.reduced) == (REDUCE, 2, 2, 3)
    assert (reduced.records_out, reduced.bytes_out, reduced.size) == (2, len(part), len(part))
    assert reduced.read == mapped.written != EdgeSum()
    assert (reduced.key_type, reduced.largest_group, reduced.largest_key) == ("str", 2, "'a'")
    assert reduced.counters == {"groups": 2}
    assert mapped.code_digest == reduced.code_digest == "c0de"


def test_a_receipt_measures_the_attempt(tmp_path: Path) -> None:
    """Time and memory are those of this process."""
    receipt = inline(tmp_path).attempt(MAP)

    assert 0 < receipt.wall_s < 60
    assert 0 <= receipt.cpu_s < 60
    assert 1 << 20 < receipt.rss_bytes_max < 1 << 40


# -- hooks -------------------------------------------------------------------------------------


def test_hooks_run_once_an_attempt_and_may_count(tmp_path: Path) -> None:
    """Around the calls, in map and reduce attempts, with a `ctx` that has no record."""
    said: list[str] = []

    def hook(name: str) -> Callable[[Any], None]:
        def call(ctx: Any) -> None:
            said.append(name)
            ctx.count(name)

        return call

    def mapper(ctx: Any, line: str) -> None:
        said.append("call")
        pairs(ctx, line)

    run = inline(
        tmp_path,
        text="a 1\nb 2\n",
        mapper=mapper,
        setup=hook("setup"),
        teardown=hook("teardown"),
        mappers=1,
        reducers=1,
    )

    run.run()

    assert said == ["setup", "call", "call", "teardown", "setup", "teardown"]
    assert run.receipts[0].counters == {"setup": 1, "lines": 2, "teardown": 1}


@pytest.mark.parametrize("hook", ["setup", "teardown"])
def test_a_hook_may_not_emit(tmp_path: Path, hook: str) -> None:
    """What it emitted would depend on the number of tasks."""
    run = inline(tmp_path, **{hook: lambda ctx: ctx.emit("k", 1)})

    with pytest.raises(UserCodeError, match=f"{hook} raised RuntimeError: .*emit in the mapper"):
        run.run()

    assert keys(run.store) == []


def test_emit_works_again_after_a_hook(tmp_path: Path) -> None:
    """Also when the hook swallowed the refusal."""

    def setup(ctx: Any) -> None:
        with pytest.raises(RuntimeError):
            ctx.emit("k", 1)

    assert inline(tmp_path, text="a 1\n", setup=setup, reducers=1).run() == [b"a\t[1]\n"]


def test_a_hook_has_no_record(tmp_path: Path) -> None:
    """`ctx.input` in teardown is not the last record's place."""
    run = inline(tmp_path, teardown=lambda ctx: ctx.input)

    with pytest.raises(UserCodeError, match=r"teardown raised RuntimeError: ctx\.input"):
        run.attempt(MAP)


# -- failures ----------------------------------------------------------------------------------


def fail(_ctx: Any, *_arguments: Any) -> None:
    raise KeyError("ts")


@pytest.mark.parametrize("store", [0, 1], ids=["disk", "memory"])
@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["in memory", "spilled"])
@pytest.mark.parametrize(
    ("role", "reducer"),
    [
        ("mapper", listed),
        ("setup", listed),
        ("teardown", listed),
        ("combiner", listed),
        ("mapper", None),
        ("teardown", None),
    ],
)
def test_a_map_attempt_that_fails_leaves_no_object(
    tmp_path: Path, store: int, limits: Limits, role: str, reducer: Any
) -> None:
    """Nothing under its key, in either store, and no spill; the error is typed."""
    options = {"reducer": reducer, role: fail}
    run = inline(tmp_path, stores(tmp_path)[store], limits=limits, **options)

    with pytest.raises(UserCodeError, match=f"{role} raised KeyError: 'ts'") as caught:
        run.attempt(MAP)

    assert caught.value.fields["function"] == role
    assert keys(run.store) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "in.txt"]


@pytest.mark.parametrize("role", ["reducer", "setup", "teardown"])
def test_a_reduce_attempt_that_fails_leaves_no_object(tmp_path: Path, role: str) -> None:
    """The map outputs stay as they are, for the next attempt."""
    mapped: list[Receipt] = []

    def fail_later(*arguments: Any) -> None:
        if mapped:
            fail(*arguments)

    def between(receipt: Receipt) -> Receipt:
        mapped.append(receipt)
        return receipt

    run = inline(tmp_path, mappers=1, reducers=1, between=between, **{role: fail_later})

    with pytest.raises(UserCodeError, match=f"{role} raised KeyError"):
        run.run()

    assert keys(run.store) == ["_pymr/run/map-0000-1"]
    assert not run.is_published


def test_the_record_is_named(tmp_path: Path) -> None:
    """Input, offset, line and text of the record; of a chunk, the line in it."""

    def mapper(ctx: Any, chunk: str) -> None:
        for line in chunk.splitlines():
            ctx.emit(line, 1 // (line != "x\\ 7"))

    text = "".join(f"{n}\n" for n in range(100)) + "x\\ 7\n" + "y\n" * 100
    run = inline(tmp_path, mapper=mapper, input=pymr.TEXT, text=text, mappers=1)

    with pytest.raises(UserCodeError) as caught:
        run.attempt(MAP)

    fields = caught.value.fields
    assert fields["input"] == str(tmp_path / "in.txt")
    assert (fields["offset"], fields["line"], fields["record"]) == (290, 101, r"x\\ 7")


def test_the_record_is_found_by_feeding_the_chunk_again(tmp_path: Path) -> None:
    """Line by line, as far as the record; `emit` refuses there what it refused before."""
    seen: list[str] = []

    def mapper(ctx: Any, chunk: str) -> None:
        seen.append(chunk)
        ctx.emit(chunk, 1)
        ctx.emit([], 1) if "c" in chunk else ctx.count("n")

    run = inline(
        tmp_path, mapper=mapper, input=pymr.TEXT, text="a\nb\nc\nd\n" + "e\n" * 200, mappers=1
    )

    with pytest.raises(UserCodeError) as caught:
        run.attempt(MAP)

    assert caught.value.fields["record"] == "c"
    assert seen == ["a\nb\nc\nd\n" + "e\n" * 4, "a\n", "b\n", "c\n"]


def blamed_line(run: InlineRun) -> int:
    """Return the line that the first map attempt fails with."""
    with pytest.raises(UserCodeError) as caught:
        run.attempt(MAP)
    line: int = caught.value.fields["line"]
    return line


def test_the_record_of_a_part_is_found_by_the_rules_of_parts(tmp_path: Path) -> None:
    """A map-only job writes text: a set has no text form, though it can be pickled."""

    def mapper(ctx: Any, chunk: str) -> None:
        for line in chunk.splitlines():
            ctx.emit(line, {1} if line == "c" else 1)

    run = inline(
        tmp_path,
        mapper=mapper,
        reducer=None,
        input=pymr.TEXT,
        text="a\nb\nc\nd\n" + "e\n" * 200,
        mappers=1,
    )

    assert blamed_line(run) == 3


def test_the_record_is_found_by_the_rules_of_the_run(tmp_path: Path) -> None:
    """With its normal form, and with values that nobody looks at where they are only counted."""

    def mapper(ctx: Any, chunk: str) -> None:
        for line in chunk.splitlines():
            ctx.emit(line, lambda: None)

    def composed(key: Any, partitions: int) -> int:
        return partitions if key == "c" else len(key) - 1  # "e\u0301" is one character, or two

    run = inline(
        tmp_path,
        mapper=mapper,
        reducer=pymr.COUNT,
        partitioner=composed,
        input=pymr.TEXT,
        text="e\u0301\nb\nc\nd\n" + "e\n" * 200,
        mappers=1,
        reducers=1,
    )
    rules = msgspec.structs.replace(run.spec.text, normalize="NFC")
    run.spec = msgspec.structs.replace(run.spec, text=rules)

    assert blamed_line(run) == 3


def test_a_whole_file_is_named_without_a_line(tmp_path: Path) -> None:
    """The record is the file; its bytes do not belong in a message."""
    run = inline(tmp_path, mapper=fail, input=pymr.WHOLE)

    with pytest.raises(UserCodeError) as caught:
        run.attempt(MAP)

    assert caught.value.fields["offset"] == 0
    assert not {"line", "record"} & set(caught.value.fields)


def test_a_key_is_named_in_the_reducer(tmp_path: Path) -> None:
    """As Python writes it, cut."""
    run = inline(tmp_path, reducer=fail, text="a 1\n", reducers=1)

    with pytest.raises(UserCodeError, match="reducer raised") as caught:
        run.run()

    assert caught.value.fields["key"] == "'a'"


class Broken:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("none",))


def test_a_reducer_hides_no_error_of_a_value(tmp_path: Path) -> None:
    """It has not seen the rest of the group, so what it emitted is no result."""

    def reducer(ctx: Any, key: Any, values: Any) -> None:
        with contextlib.suppress(ValueError):
            list(values)
        ctx.emit(key, 1)

    run = inline(
        tmp_path, mapper=lambda ctx, _: ctx.emit("a", Broken()), reducer=reducer, reducers=1
    )

    with pytest.raises(UserCodeError, match="reducer raised ValueError: invalid literal") as caught:
        run.run()
    assert caught.value.fields["key"] == "'a'"


def test_an_input_that_changed_is_not_the_users_code(tmp_path: Path) -> None:
    """An error of reading keeps its class, though the mapper was at work."""
    run = inline(tmp_path)
    (tmp_path / "in.txt").write_text("a 1\n")

    with pytest.raises(InputError, match=r"in\.txt"):
        run.attempt(MAP)

    assert keys(run.store) == []


def test_an_error_of_ours_from_the_mapper_keeps_its_class(tmp_path: Path) -> None:
    """A worker may raise it on purpose."""

    def mapper(_ctx: Any, _line: str) -> None:
        raise InputError("no such column", offset=3)

    with pytest.raises(PymrError) as caught:
        inline(tmp_path, mapper=mapper).attempt(MAP)

    assert type(caught.value) is InputError
    assert caught.value.fields == {"offset": 3}


# -- progress ----------------------------------------------------------------------------------


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most once an interval, by a clock that the test moves."""
    now = 100
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("pymr.task.attempt.PROGRESS_INTERVAL_S", 2)
    ticker = Ticker(lambda *sums: told.append(sums))

    for step in range(9):
        now = 100 + step
        ticker.tick(step, step * 10)

    assert told == [(2, 20), (4, 40), (6, 60), (8, 80)]


@pytest.mark.parametrize(
    "options", [{}, {"input": pymr.TEXT, "mapper": lambda ctx, chunk: ctx.emit(1, len(chunk))}]
)
def test_a_map_attempt_tells_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Bytes and records grow towards those of the receipt, by line or by chunk."""
    monkeypatch.setattr("pymr.task.attempt.PROGRESS_INTERVAL_S", 0)
    text = "".join(f"{n % 999} 1\n" for n in range(3000))
    run = inline(tmp_path, text=text, mappers=1, **options)
    told: list[tuple[int, int]] = []

    spec = run.attempt_spec(MAP)
    receipt = run_attempt(run.job, run.spec, spec, run.store, lambda *sums: told.append(sums))

    assert told == sorted(told)
    assert len(set(told)) > 5
    assert told[-1][0] <= receipt.bytes_in
    assert 2000 < told[-1][1] <= receipt.records_in == 3000


def test_a_reduce_attempt_tells_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it has merged, every 64 groups."""
    text = "".join(f"{n} 1\n" for n in range(1000))
    run = inline(tmp_path, text=text, mappers=1, reducers=1)
    run.run()
    monkeypatch.setattr("pymr.task.attempt.PROGRESS_INTERVAL_S", 0)
    told: list[tuple[int, int]] = []

    spec = msgspec.structs.replace(run.attempt_spec(REDUCE), key="another")
    run_attempt(run.job, run.spec, spec, run.store, lambda *sums: told.append(sums))

    assert len(told) == 1000 // 64
    assert told == sorted(set(told))
