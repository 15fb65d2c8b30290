"""A map attempt in two passes: what is found, what is left out, and what stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pymr
from inline_run import InlineRun
from pymr.core.spec import Attempt, Receipt, SkipRules
from pymr.errors import BadRecordsError, UserCodeError
from pymr.store.local import LocalStore
from pymr.task.bad_record import BAD_BYTES_MAX, BadRecord, read_bad_records

ALLOWED = SkipRules(records_max=50, ratio_max=1.0)
LINES = [f"k{n % 3} {n}\n" for n in range(60)]
BAD = (0, 17, 18, 59)


def number(ctx: Any, line: str) -> None:
    """Emit before failing, count before failing: nothing of it may survive."""
    key, value = line.split()
    ctx.emit("seen", 1)
    ctx.count("lines")
    ctx.emit(key, int(value))


def numbers(ctx: Any, chunk: str) -> None:
    for line in chunk.split("\n")[:-1]:
        number(ctx, line)


def bad_text(bad: tuple[int, ...] = BAD) -> str:
    return "".join(f"{line.split()[0]} x\n" if n in bad else line for n, line in enumerate(LINES))


def good_text(bad: tuple[int, ...] = BAD) -> str:
    return "".join(line for n, line in enumerate(LINES) if n not in bad)


def run_of(folder: Path, text: str | bytes, skip: SkipRules = ALLOWED, **options: Any) -> InlineRun:
    folder.mkdir(exist_ok=True)
    path = folder / "in.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    names = ("mapper", "reducer", "combiner", "setup", "teardown", "input")
    job = {"mapper": number, "reducer": pymr.SUM, "input": pymr.LINES}
    job |= {name: options.pop(name) for name in names if name in options}
    store = LocalStore(str(folder / "out"))
    return InlineRun(pymr.Job(**job), [path], store, folder / "tmp", skip=skip, **options)


def bad_of(run: InlineRun) -> list[BadRecord]:
    """Return all bad records of a run, by the receipts that name them."""
    objects = [r.bad_object for r in run.receipts if r.bad_object is not None]
    bodies = [run.store.get(each.key) for each in objects]
    assert [len(body) for body in bodies] == [each.size for each in objects]
    return [record for body in bodies for record in read_bad_records([body])]


def of_map(run: InlineRun) -> list[Receipt]:
    return [receipt for receipt in run.receipts if receipt.attempt.phase == "map"]


@pytest.mark.parametrize("reducer", [pymr.SUM, None], ids=["reduced", "map_only"])
@pytest.mark.parametrize(
    ("mapper", "form"), [(number, pymr.LINES), (numbers, pymr.TEXT)], ids=["lines", "text"]
)
def test_the_rest_is_as_if_the_bad_records_were_not_there(
    tmp_path: Path, mapper: Any, form: Any, reducer: Any
) -> None:
    """No pair and no count of a failing call survives; every good line of a bad chunk does."""
    options = {"mapper": mapper, "input": form, "reducer": reducer}
    bad = run_of(tmp_path / "bad", bad_text(), **options)
    good = run_of(tmp_path / "good", good_text(), **options)

    rows, expected = bad.run(), good.run()

    assert b"".join(rows) == b"".join(expected)
    assert bad.core.ledger.summary().counters == {"lines": 56}
    assert bad.core.ledger.bad_records == len(BAD)
    assert sum(receipt.records_in for receipt in of_map(bad)) == len(LINES)


@pytest.mark.parametrize(
    ("mapper", "form"), [(number, pymr.LINES), (numbers, pymr.TEXT)], ids=["lines", "text"]
)
def test_each_bad_record_is_told_with_its_place(tmp_path: Path, mapper: Any, form: Any) -> None:
    """File, line, offset, the record itself, the error, and the user's own frames."""
    run = run_of(tmp_path, bad_text(), mapper=mapper, input=form)
    run.run()

    found = bad_of(run)

    text = bad_text()
    offsets = [len("".join(text.splitlines(keepends=True)[:n])) for n in BAD]
    assert [record.line for record in found] == [n + 1 for n in BAD]
    assert [record.offset for record in found] == offsets
    assert {record.file for record in found} == {str(tmp_path / "in.txt")}
    assert [record.data for record in found] == [f"k{n % 3} x" for n in BAD]
    first = found[0]
    assert (first.error, first.size, first.is_cut) == ("ValueError", 4, False)
    assert first.told == "ValueError invalid literal for int() with base 10: 'x'"
    assert [frame["function"] for frame in first.traceback][-1] == "number"
    assert {frame["file"] for frame in first.traceback} == {__file__}


def test_they_stand_as_lines_of_json(tmp_path: Path) -> None:
    """Any tool can read them."""
    run = run_of(tmp_path, bad_text((17,)), mappers=1)
    run.run()
    [receipt] = of_map(run)
    assert receipt.bad_object is not None

    [row] = map(json.loads, run.store.get(receipt.bad_object.key).splitlines())

    assert (row["task"], row["line"], row["text"]) == ("map-0000", 18, "k2 x")
    assert receipt.bad_object.error == "ValueError invalid literal for int() with base 10: 'x'"


def test_a_whole_file_may_be_a_bad_record(tmp_path: Path) -> None:
    """Its bytes are kept up to a limit; the file has them all."""
    content = b"\xff" * (BAD_BYTES_MAX + 1)

    def refuse(_ctx: Any, _data: bytes) -> None:
        raise ValueError

    run = run_of(tmp_path, content, input=pymr.WHOLE, mapper=refuse, reducer=None)
    with pytest.raises(BadRecordsError, match="100 % of 1 records failed: ValueError"):
        run.run()
    [record] = bad_of(run)

    assert (record.line, record.size, record.is_cut) == (None, BAD_BYTES_MAX + 1, True)
    assert record.data == content[:-1]
    assert record.told == "ValueError"


def test_setup_and_teardown_are_called_once_in_each_pass(tmp_path: Path) -> None:
    """As in a fresh attempt: what setup has opened is there, and closed again."""
    calls: list[str] = []
    state: set[str] = set()

    def setup(_ctx: Any) -> None:
        calls.append("setup")
        state.add("open")

    def teardown(_ctx: Any) -> None:
        calls.append("teardown")
        state.clear()

    def mapper(ctx: Any, line: str) -> None:
        assert state
        number(ctx, line)

    run = run_of(
        tmp_path,
        bad_text((17,)),
        mapper=mapper,
        setup=setup,
        teardown=teardown,
        mappers=1,
        reducer=None,
    )
    run.run()

    assert calls == ["setup", "setup", "teardown", "setup", "teardown"]


def test_what_emit_refuses_makes_a_bad_record(tmp_path: Path) -> None:
    """It is raised in the mapper, at its record."""

    def mapper(ctx: Any, line: str) -> None:
        ctx.emit([line] if line.startswith("k1 1") else line, 1)

    run = run_of(tmp_path, "".join(LINES), mapper=mapper)
    run.run()

    assert {record.error for record in bad_of(run)} == {"TypeError"}
    assert len(bad_of(run)) == sum(line.startswith("k1 1") for line in LINES)


def test_a_generator_that_raises_half_way_leaves_nothing(tmp_path: Path) -> None:
    """Pairs that it had yielded before are those of a failing call."""

    def mapper(_ctx: Any, line: str) -> Any:
        key, value = line.split()
        yield "seen", 1
        yield key, int(value)

    run = run_of(tmp_path, bad_text(), mapper=mapper, reducers=1)

    [rows] = run.run()

    assert b"seen\t56\n" in rows


def test_a_combiner_that_raises_is_not_the_records_fault(tmp_path: Path) -> None:
    """It fails the run, and is not even called while bad records are looked for."""

    def combiner(_ctx: Any, _key: Any, _values: Any) -> None:
        raise KeyError("combined")

    run = run_of(tmp_path, bad_text(), combiner=combiner, reducer=lambda *_: None)

    with pytest.raises(UserCodeError, match="combiner raised KeyError"):
        run.run()


def test_a_chunk_of_which_no_line_alone_fails_fails_the_run(tmp_path: Path) -> None:
    """There is no record to leave out."""

    def mapper(_ctx: Any, chunk: str) -> None:
        if chunk.count("\n") > 1:
            raise ValueError("two lines")

    run = run_of(tmp_path, "".join(LINES), mapper=mapper, input=pymr.TEXT, mappers=1)

    with pytest.raises(UserCodeError, match="mapper raised ValueError: two lines"):
        run.run()


@pytest.mark.parametrize("form", [pymr.LINES, pymr.TEXT], ids=["lines", "text"])
def test_a_record_that_finds_no_memory_is_not_bad(tmp_path: Path, form: Any) -> None:
    """What is left out must not depend on the machine."""

    def mapper(_ctx: Any, data: str) -> None:
        if "k1 1\n" in f"{data}\n":
            raise MemoryError

    run = run_of(tmp_path, "".join(LINES), mapper=mapper, input=form, mappers=1)

    with pytest.raises(UserCodeError, match="mapper raised MemoryError"):
        run.run()


def test_a_failure_that_does_not_come_again_leaves_nothing_out(tmp_path: Path) -> None:
    """The record was good; there is no object of bad ones."""
    calls: list[str] = []

    def mapper(ctx: Any, line: str) -> None:
        calls.append(line)
        if len(calls) == 3:
            raise ConnectionError("once")
        number(ctx, line)

    run = run_of(tmp_path, "".join(LINES), mapper=mapper)
    run.run()

    assert bad_of(run) == []
    assert [e.key for e in run.store.list("") if "bad" in e.key] == []
    assert run.core.ledger.summary().counters == {"lines": 60}


def test_a_record_that_fails_in_the_clean_pass_only_fails_the_attempt(tmp_path: Path) -> None:
    """It was good when it was looked at; the attempt leaves no object."""
    seen: list[str] = []

    def mapper(ctx: Any, line: str) -> None:
        seen.append(line)
        if seen.count(line) == 2:
            raise ValueError("the second time")
        number(ctx, line)

    run = run_of(tmp_path, "".join(LINES), mapper=mapper, mappers=1)

    with pytest.raises(UserCodeError, match="the second time"):
        run.attempt(Attempt("map", 0, 1), is_scan=True)

    assert list(run.store.list("")) == []


def test_too_many_in_one_task_end_the_run_with_examples(tmp_path: Path) -> None:
    """The share that fails is that of the records which were seen."""
    run = run_of(tmp_path, "x\n" * 512, SkipRules(records_max=5), mappers=1)

    with pytest.raises(BadRecordsError) as caught:
        run.run()

    error = caught.value
    assert error.message.startswith("100 % of 512 records failed: ValueError not enough values")
    assert error.fields["bad_records"] == 512
    examples = msgspec.convert(error.fields["examples"], list[BadRecord])
    assert [each.line for each in examples] == list(range(1, 21))


@pytest.mark.parametrize(
    ("mapper", "form"), [(number, pymr.LINES), (numbers, pymr.TEXT)], ids=["lines", "text"]
)
def test_a_task_in_which_everything_fails_is_not_read_to_its_end(
    tmp_path: Path, mapper: Any, form: Any
) -> None:
    """A thousand failures more than were allowed tell enough, and the share is still right."""
    run = run_of(
        tmp_path, "x\n" * 5000, SkipRules(records_max=5), mappers=1, mapper=mapper, input=form
    )

    with pytest.raises(BadRecordsError) as caught:
        run.run()

    assert caught.value.fields["bad_records"] == 1006
    assert caught.value.fields["records"] <= 1400  # text is counted by chunks
    if form is pymr.LINES:
        assert caught.value.message.startswith("100 % of 1,006 records failed")


def test_what_most_records_raise_is_told(tmp_path: Path) -> None:
    """The first error is not always the one to fix."""
    run = run_of(tmp_path, "one two three\n" + "x y\n" * 9, SkipRules(records_max=1), mappers=1)

    with pytest.raises(BadRecordsError, match="ValueError invalid literal for int"):
        run.run()


def test_bytes_that_are_no_text_come_back_as_they_are(tmp_path: Path) -> None:
    """With `--errors surrogateescape` a record is what JSON cannot hold."""
    run = run_of(tmp_path, b"k1 1\nk1 \xff\n")
    run.spec = msgspec.structs.replace(
        run.spec, text=msgspec.structs.replace(run.spec.text, errors="surrogateescape")
    )
    run.run()

    [record] = bad_of(run)

    assert (record.text, record.base64, record.data) == (None, b"k1 \xff", b"k1 \xff")
