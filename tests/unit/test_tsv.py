"""Rows as tab-separated text, and parts made of rows."""

import hashlib

import pytest

from pymr.errors import IntegrityError
from pymr.records.column import Column
from pymr.records.part import WRITE_CHARS, PartTotals, PartWriter, read_rows, split_rows
from pymr.records.tsv import escape, row_text, unescape


def part(*rows, output_format="tsv"):
    """Write one part; return its bytes and totals."""
    chunks = []
    writer = PartWriter(chunks.append, output_format)
    for key, value in rows:
        writer.emit(key, value)
    totals = writer.finish()
    return b"".join(chunks), totals


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("plain é", "plain é"),
        ("a\tb\nc\\d", r"a\tb\nc\\d"),
        (r"\t", r"\\t"),
        ("\r\x00\x1b", "\r\x00\x1b"),
        ("", ""),
        (None, "null"),
        (False, "false"),
        (12, "12"),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (b"\xff\x00", "/wA="),
        ((), "[]"),
        (("a", 1), '["a",1]'),
        (["a\tb"], r'["a\\tb"]'),
        ({"k": None}, '{"k":null}'),
    ],
    ids=repr,
)
def test_b59_a_cell_is_its_text_escaped(value, cell):
    """The one rule for every type, so that a line has one tab and one newline."""
    assert row_text("k", value, Column("key"), Column("value")) == f"k\t{cell}\n"


@pytest.mark.parametrize("text", ["", "\\", "\t", "\n", r"\n", "\\\t\n\\\\", r"a\tb"])
def test_unescape_undoes_escape(text):
    """No two texts have the same cell."""
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("cell", ["\\", r"\x", r"a\ ", "\\\\\\"])
def test_what_is_no_escape_is_refused(cell):
    """A damaged cell is not guessed at."""
    with pytest.raises(ValueError, match="is no escape"):
        unescape(cell)


def test_bytes_that_are_not_utf8_are_written_as_they_were():
    """Text read with surrogateescape goes out as the bytes that came in."""
    data, totals = part((b"caf\xe9".decode(errors="surrogateescape"), 1))

    assert data == b"caf\xe9\t1\n"
    assert totals.key_type == "str"


@pytest.mark.parametrize("output_format", ["tsv", "jsonl"])
@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC7F, 0xDD00])
def test_a_lone_surrogate_that_is_no_byte_stops_the_row(code, output_format):
    """It is named, also behind one that is a byte."""
    with pytest.raises(ValueError, match=rf"U\+{code:04X}"):
        part(("\udcff" + chr(code), 1), output_format=output_format)


def test_halves_of_a_character_joined_by_user_code_make_the_column_mixed():
    """Their bytes read back as one character: not exactly what was emitted."""
    data, totals = part(("\udcc3\udca9", 1))

    assert data == "é\t1\n".encode()
    assert (totals.key_type, totals.key_mixed) == (None, True)


def test_the_totals_describe_the_bytes():
    """Rows, size, digest and column types of what was written."""
    data, totals = part(("a", (1, 2.5)), ("b", (2, 0.5)))

    assert data == b"a\t[1,2.5]\nb\t[2,0.5]\n"
    assert totals == PartTotals(
        records=2,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        key_type="str",
        value_type="tuple[int,float]",
        key_mixed=False,
        value_mixed=False,
    )


def test_b66_a_part_without_rows_is_empty_and_writes_nothing():
    """Its columns have no type and are not mixed."""
    chunks = []

    totals = PartWriter(chunks.append, "jsonl").finish()

    assert chunks == []
    assert totals.sha256 == hashlib.sha256(b"").hexdigest()
    assert (totals.records, totals.bytes, totals.key_type, totals.key_mixed) == (0, 0, None, False)


def test_rows_are_written_in_large_pieces():
    """A write every 256 KiB, and the digest covers them all."""
    chunks = []
    writer = PartWriter(chunks.append, "tsv")
    for index in range(60_000):
        writer.emit(f"key-{index:06d}", index)

    totals = writer.finish()

    assert len(chunks) == totals.bytes // WRITE_CHARS + 1
    assert totals.sha256 == hashlib.sha256(b"".join(chunks)).hexdigest()
    assert totals.records == 60_000


@pytest.mark.parametrize("output_format", ["tsv", "jsonl"])
def test_a_key_that_is_no_key_is_refused(output_format):
    """Map-only and reducer output follow the key contract too."""
    with pytest.raises(TypeError, match=r"a key of an output row .*`list`.*tuple"):
        part((["a"], 1), output_format=output_format)


def test_a_mixed_column_reads_back_as_text_from_tsv():
    """The text is exact, the type is not."""
    data, totals = part(("a\tb", 1), ("c", "1"), ("d", ["x\n"]))

    assert (totals.value_type, totals.value_mixed) == (None, True)
    assert list(read_rows([data], "tsv", totals.key_type, totals.value_type)) == [
        ("a\tb", "1"),
        ("c", "1"),
        ("d", r'["x\n"]'),
    ]


def test_a_mixed_column_reads_back_as_json_values_from_jsonl():
    """JSON tells a number from a str by itself."""
    data, totals = part(("a", 1), ("b", "1"), ("c", (None, True)), output_format="jsonl")

    assert totals.value_mixed
    assert list(read_rows([data], "jsonl", totals.key_type, totals.value_type)) == [
        ("a", 1),
        ("b", "1"),
        ("c", [None, True]),
    ]


@pytest.mark.parametrize(
    ("data", "output_format", "value_type"),
    [
        (b"a\n", "tsv", "int"),
        (b"a\t1\t2\n", "tsv", "str"),
        (b"a\tx\n", "tsv", "int"),
        (b"a\t\\x\n", "tsv", "str"),
        (b"a\tx\n", "tsv", "bytes"),
        (b"a\t[1,2]\n", "tsv", "tuple[bytes]"),
        (b'{"key":"a"}\n', "jsonl", "int"),
        (b"[1,2]\n", "jsonl", "int"),
        (b'{"key":"a","value":NaN}\n', "jsonl", "float"),
        (b"a\t1\n", "jsonl", "int"),
    ],
)
def test_a_damaged_row_is_an_integrity_error_that_shows_it(data, output_format, value_type):
    """The row's number and text stand in the message."""
    with pytest.raises(IntegrityError, match="row 1 of a part is b'") as caught:
        list(read_rows([data], output_format, "str", value_type))

    assert value_type in caught.value.message


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_rows_do_not_depend_on_how_chunks_are_cut(size):
    """Also where a chunk ends at a newline, and where the last newline is missing."""
    data = b"one\t1\n\ntwo\t2\nthree"
    chunks = [data[at : at + size] for at in range(0, len(data), size)]

    assert list(split_rows(chunks)) == [b"one\t1", b"", b"two\t2", b"three"]
