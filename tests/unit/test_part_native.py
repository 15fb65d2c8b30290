"""The native part writer where it calls back, is called at the same time, or runs out."""

import gc
import hashlib
import threading
import weakref

import pytest

from pymr._native import RowWriter
from pymr.records.part import PartWriter, ReferencePartWriter, read_rows


class StoreRefusalError(Exception):
    """What a store may raise."""


def test_a_part_is_written_in_blocks_that_may_be_kept():
    """About 256 KiB each; they are never changed afterwards."""
    blocks = []
    writer = PartWriter(blocks.append, "tsv")

    for number in range(100_000):
        writer.emit(f"key {number}", number)
    totals = writer.finish()

    data = b"".join(blocks)
    assert len(blocks) == -(-len(data) // (256 << 10))
    assert all(len(block) < 257 << 10 for block in blocks)
    assert data == b"".join(b"key %d\t%d\n" % (number, number) for number in range(100_000))
    assert (totals.records, totals.bytes) == (100_000, len(data))
    assert totals.sha256 == hashlib.sha256(data).hexdigest()


def test_arguments_may_be_named():
    """As of any method of Python."""
    blocks = []
    writer = PartWriter(blocks.append, "tsv")

    writer.emit("a", value=1)
    writer.emit(value=2, key="b")
    writer.finish()

    assert b"".join(blocks) == b"a\t1\nb\t2\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((1,), {}), ((1, 2, 3), {}), ((1,), {"key": 2}), ((1,), {"valu": 2}),
     ((1, 2), {"value": 3}), ((), {"key": 1})],
)  # fmt: skip
def test_other_arguments_are_refused(arguments, named):
    """And nothing is written."""
    writer = PartWriter(print, "tsv")

    with pytest.raises(TypeError, match=r"emit\(\)"):
        writer.emit(*arguments, **named)

    assert writer.finish().records == 0


def test_an_error_of_the_store_reaches_the_emit_that_filled_the_block():
    """It passes through as it is, and the rows after it are taken."""

    def write(_block):
        raise StoreRefusalError

    writer = PartWriter(write, "tsv")

    with pytest.raises(StoreRefusalError):
        writer.emit("k", "v" * (300 << 10))
    writer.emit("k", 1)
    with pytest.raises(StoreRefusalError):
        writer.finish()


def test_a_store_that_emits_while_it_writes_is_served_later():
    """Re-entry: its row goes into a later block, and no block is written within another."""
    blocks = []

    def write(block):
        blocks.append(block)
        if len(blocks) < 3:
            writer.emit("inner", "x" * (300 << 10))

    writer = PartWriter(write, "tsv")
    writer.emit("outer", "x" * (300 << 10))
    totals = writer.finish()

    assert [block[:5] for block in blocks] == [b"outer", b"inner", b"inner"]
    assert totals.records == 3


def test_code_that_runs_while_a_cell_is_refused_may_emit():
    """A metaclass is asked for the name of a type: that is code of the user."""
    blocks = []

    class Meta(type):
        def __getattribute__(cls, name):
            writer.emit("inner", 1)
            return super().__getattribute__(name)

    class Odd(metaclass=Meta):
        pass

    writer = PartWriter(blocks.append, "tsv")
    with pytest.raises(TypeError):
        writer.emit("k", Odd())
    writer.finish()

    assert set(b"".join(blocks).splitlines()) == {b"inner\t1"}


def test_threads_may_emit_side_by_side():
    """Each row is whole and there once, and the digest is that of the bytes in their order."""
    blocks = []
    writer = PartWriter(blocks.append, "tsv")

    def emit(thread):
        for number in range(20_000):
            writer.emit((thread, number), ["not plain"] if number % 100 == 0 else "x" * 20)

    threads = [threading.Thread(target=emit, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = writer.finish()

    data = b"".join(blocks)
    keys = [key for key, _ in read_rows(blocks, "tsv", "tuple[int,int]", None)]
    assert sorted(keys) == [(thread, number) for thread in range(4) for number in range(20_000)]
    assert totals.sha256 == hashlib.sha256(data).hexdigest()
    assert totals.records == 80_000


def test_finishing_while_a_block_is_written_is_an_error():
    """Its rows would be missing from the totals."""
    errors = []

    def write(_block):
        try:
            writer.finish()
        except RuntimeError as error:
            errors.append(str(error))

    writer = PartWriter(write, "tsv")
    writer.emit("k", "v" * (300 << 10))

    assert errors == [
        "rows were emitted while the part was finished: a thread still emits, expected that it"
        " was joined"
    ]


def test_a_finished_part_takes_no_row_of_a_thread_that_lives_on():
    """It would be missing in the part, or in its number of rows."""
    blocks = []
    writer = PartWriter(blocks.append, "tsv")
    writer.emit("k", 1)
    totals = writer.finish()

    for value in ("v", ["not plain"], (1, 2), "v" * (300 << 10)):
        with pytest.raises(RuntimeError, match="when the part was finished"):
            writer.emit("late", value)
    with pytest.raises(RuntimeError, match="when the part was finished"):
        writer.finish()

    assert b"".join(blocks) == b"k\t1\n"
    assert totals.records == 1


def test_a_column_of_more_types_of_tuples_than_are_kept_is_left_to_python():
    """The name of the column stays right."""
    cells = [(1,) * size + ("a",) * (8 - size) for size in range(9)]
    cells += [(None, *cell[1:]) for cell in cells] + [(None,) * size for size in range(9)]

    for native, plain in zip(run(PartWriter, cells), run(ReferencePartWriter, cells), strict=True):
        assert native == plain


def run(writer_type, cells):
    """Write each cell as a key and as a value."""
    blocks = []
    writer = writer_type(blocks.append, "tsv")
    for cell in cells:
        writer.emit(cell, cell)
    totals = writer.finish()
    return b"".join(blocks), totals


def test_a_writer_goes_away_with_its_last_reference():
    """No circle keeps its block of rows until the garbage collector comes."""
    writer = PartWriter(print, "tsv")
    gone = weakref.ref(writer)

    gc.disable()
    try:
        del writer
        assert gone() is None
    finally:
        gc.enable()


def test_an_unknown_format_is_refused():
    """By the native class too."""
    with pytest.raises(ValueError, match="output format `csv`, expected `tsv` or `jsonl`"):
        RowWriter("csv", print, print)


def test_what_make_row_returns_must_be_bytes():
    """Else it would be our bug: a TypeError, not a crash."""
    writer = RowWriter("tsv", lambda _key, _value: "text", print)

    with pytest.raises(TypeError):
        writer.emit([], [])
