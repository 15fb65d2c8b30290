"""What becomes of the bytes of a file: lines, chunks, text and the errors of rows B5 to B19."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymr.config.value import ENCODING
from pymr.core.plan import grid_step
from pymr.core.spec import InputFile, Limits, Split, SplitReceipt, TextRules
from pymr.errors import RecordError
from pymr.records.split_reader import line_number, lines_in, open_split
from pymr.records.text import LineCutter


def make_file(folder: Path, data: bytes, *, step: int | None = None, **fields: bool) -> InputFile:
    path = folder / "input.txt"
    path.write_bytes(data)
    return InputFile(os.fsencode(path), len(data), step or grid_step(len(data)), **fields)


def read(
    file: InputFile, input_format: str = "text", limits: Limits | None = None, **rules: str
) -> tuple[list[tuple[int, str | bytes]], SplitReceipt]:
    with open_split(
        file,
        Split(0, 0, file.size),
        input_format=input_format,
        rules=TextRules(**rules),
        limits=limits or Limits(),
    ) as reader:
        return list(reader), reader.receipt()


def lines(folder: Path, data: bytes, **rules: str) -> list[str | bytes]:
    return [line for _, line in read(make_file(folder, data), "lines", **rules)[0]]


@pytest.mark.parametrize("input_format", ["text", "lines", "whole"])
def test_b5_an_empty_file_has_no_records(tmp_path, input_format):
    """Zero bytes are zero calls and zero records, in every format."""
    calls, receipt = read(make_file(tmp_path, b""), input_format)

    assert calls == []
    assert (receipt.records, receipt.bytes, receipt.first_offset) == (0, 0, None)


def test_b7_a_newline_alone_is_one_empty_record(tmp_path):
    """The newline ends a record; it does not start another."""
    assert lines(tmp_path, b"\n") == [""]
    assert read(make_file(tmp_path, b"\n"))[1].records == 1


def test_b8_the_last_line_needs_no_newline(tmp_path):
    """What stands after the last newline is a record."""
    assert lines(tmp_path, b"a\nb") == ["a", "b"]


def test_b9_lines_lose_one_carriage_return_which_is_counted_and_text_keeps_it(tmp_path):
    """CRLF is a line end for LINES only, and not with `newline=lf`."""
    file = make_file(tmp_path, b"a\r\nb\r\r\nc\n", step=1024)

    calls, receipt = read(file, "lines")

    assert calls == [(0, "a"), (3, "b\r"), (7, "c")]
    assert receipt.carriage_returns == 2
    assert read(file)[0] == [(0, "a\r\nb\r\r\nc\n")]
    assert lines(tmp_path, b"a\r\n", newline="lf") == ["a\r"]


def test_b10_a_lone_carriage_return_is_data(tmp_path):
    """Only a newline ends a line, and only a carriage return right before it goes with it."""
    assert lines(tmp_path, b"a\rb\nc\r") == ["a\rb", "c\r"]


def test_b11_other_separators_of_unicode_never_split(tmp_path):
    """NEL, LS, PS, FS, VT and FF are data."""
    line = "a\x85b\u2028c\u2029d\x1ce\x0bf\x0cg"

    assert lines(tmp_path, (line + "\n" + line).encode()) == [line, line]


def test_b12_a_byte_order_mark_is_removed_at_the_start_only(tmp_path):
    """The first record begins after the mark; a mark elsewhere is a character."""
    file = make_file(tmp_path, b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", step=2)

    assert read(file, "lines")[0] == [(3, "a"), (5, "\ufeffb")]
    assert read(file, "text")[0] == [(3, "a\n"), (5, "\ufeffb\n")]
    assert lines(tmp_path, b"\xef\xbb\xbf") == []
    assert lines(tmp_path, b"\xef\xbb\xbf\n") == [""]


@pytest.mark.parametrize("input_format", ["text", "lines"])
def test_b14_a_byte_that_is_not_utf8_is_an_error_with_its_place(tmp_path, input_format):
    """Strict decoding names input, byte, line and the bytes seen."""
    file = make_file(tmp_path, b"one\ntwo\nth\xffree" + b"x" * 20 + b"\nfour\n")

    with pytest.raises(RecordError) as caught:
        read(file, input_format)

    error = caught.value
    assert error.exit_code == 3
    assert error.message == (
        f"input `{tmp_path}/input.txt` is not utf-8 at line 3, byte 10:"
        " `ff 72 65 65 78 78 78 78 78 78 78 78 78 78 78 78`, invalid start byte"
    )
    assert error.hint == "--encoding NAME, or --errors replace"
    assert (error.fields["offset"], error.fields["line"]) == (10, 3)


def test_b14_the_line_number_counts_from_the_start_of_the_file_not_of_the_split(tmp_path):
    """A later split still names the line of the file."""
    file = make_file(tmp_path, b"a\nb\nc\xff\n", step=4)
    reader = open_split(
        file, Split(0, 4, 7), input_format="text", rules=TextRules(), limits=Limits()
    )

    with reader, pytest.raises(RecordError) as caught:
        list(reader)

    assert (caught.value.fields["offset"], caught.value.fields["line"]) == (5, 3)


def test_b14_replaced_records_are_counted_and_a_real_replacement_character_is_not(tmp_path):
    """Two records hold bytes that are no text; the third holds U+FFFD itself."""
    file = make_file(tmp_path, b"a\xff\xff\nb\xfe\n\xef\xbf\xbd\nok\n", step=1024)

    calls, receipt = read(file, errors="replace")

    assert calls == [(0, "a\ufffd\ufffd\nb\ufffd\n\ufffd\nok\n")]
    assert (receipt.replaced, receipt.skipped, receipt.records) == (2, 0, 4)


def test_b14_skip_leaves_out_the_line_and_the_chunk_goes_on_after_it(tmp_path):
    """A call is always a run of bytes of the file, so there are two around the bad line."""
    file = make_file(tmp_path, b"a\nb\n\xff\nc\n", step=1024)

    calls, receipt = read(file, errors="skip")

    assert calls == [(0, "a\nb\n"), (6, "c\n")]
    assert (receipt.replaced, receipt.skipped, receipt.records) == (0, 1, 3)


def test_b14_surrogateescape_keeps_the_bytes(tmp_path):
    """What is no text comes back as it was when the text is encoded again."""
    [(_, text)], receipt = read(make_file(tmp_path, b"a\xff\n", step=64), errors="surrogateescape")

    assert str(text).encode("utf-8", "surrogateescape") == b"a\xff\n"
    assert receipt.replaced == 1


def test_b17_nul_bytes_are_data(tmp_path):
    """Nothing but a newline ends a line."""
    assert lines(tmp_path, b"\0a\0\n\0") == ["\0a\0", "\0"]


@pytest.mark.parametrize("input_format", ["text", "lines"])
def test_b18_a_record_over_the_limit_is_an_error_with_its_place(tmp_path, input_format):
    """The limit counts the bytes before the newline: 5 pass, 6 do not."""
    limits = Limits(record_bytes_max=5, read_bytes=4)
    read(make_file(tmp_path, b"12345\nab\n12345"), input_format, limits)

    with pytest.raises(RecordError) as caught:
        read(make_file(tmp_path, b"12345\nab\n123456\n"), input_format, limits)

    error = caught.value
    assert error.message == (
        f"input `{tmp_path}/input.txt` has a record of more than 5 bytes at line 3, byte 9"
    )
    assert error.hint == "--max-record SIZE, or --long-records skip"
    assert (error.exit_code, error.fields["offset"], error.fields["limit"]) == (3, 9, 5)


def test_b18_a_whole_file_over_the_limit_is_an_error_or_left_out(tmp_path):
    """A whole file is one record."""
    file = make_file(tmp_path, b"123\n456\n")
    limits = Limits(record_bytes_max=7, read_bytes=4)

    with pytest.raises(RecordError, match="more than 7 bytes at line 1, byte 0"):
        read(file, "whole", limits)
    calls, receipt = read(file, "whole", limits, long_records="skip")

    assert calls == []
    assert (receipt.skipped, receipt.bytes) == (1, 8)


@pytest.fixture
def sparse_file(tmp_path: Path) -> InputFile:
    """Return a file with a line of 32 MiB between two short ones."""
    path = tmp_path / "sparse"
    with path.open("wb") as sparse:
        sparse.write(b"first\n")
        sparse.seek(32 << 20)
        sparse.write(b"\nlast\n")
    return InputFile(os.fsencode(path), path.stat().st_size, 1 << 16)


@pytest.fixture
def traced_memory() -> Iterator[Callable[[], int]]:
    """Return what tells the peak of memory since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_b18_a_huge_line_is_skipped_without_holding_it(sparse_file, traced_memory):
    """A line of 32 MiB under a limit of 1 MiB costs about the limit and two reads."""
    limits = Limits(record_bytes_max=1 << 20)

    calls, receipt = read(sparse_file, "text", limits, long_records="skip")

    assert calls == [(0, "first\n"), ((32 << 20) + 1, "last\n")]
    assert (receipt.records, receipt.skipped) == (2, 1)
    assert traced_memory() < 6 << 20


def test_b18_a_huge_line_is_refused_without_holding_it(sparse_file, traced_memory):
    """The line is known to be too long before it was read."""
    with pytest.raises(RecordError, match="more than 1048576 bytes at line 2, byte 6"):
        read(sparse_file, "text", Limits(record_bytes_max=1 << 20))

    assert traced_memory() < 6 << 20


def test_b18_a_good_long_line_is_searched_once():
    """Reading a line in many pieces looks at each piece a constant number of times."""
    piece, looked_at = b"x" * 1000, 0

    class Counted(bytes):
        def find(self, *arguments):
            nonlocal looked_at
            looked_at += len(self)
            return super().find(*arguments)

    pieces = iter([*[Counted(piece)] * 1000, Counted(b"\n")])
    cutter = LineCutter(
        lambda: next(pieces, b""),
        start=0,
        end=1_000_001,
        step=64,
        line_bytes_max=1 << 30,
        on_long_line=lambda _: None,
    )

    [(offset, raw)] = cutter

    assert (offset, len(raw)) == (0, 1_000_001)
    assert looked_at <= 2 * 1_000_001


def test_b19_many_empty_lines_are_as_many_records(tmp_path):
    """A million newlines are a million empty records, a cell at a time."""
    calls, receipt = read(make_file(tmp_path, b"\n" * 1_000_000), "lines")

    assert len(calls) == receipt.records == 1_000_000
    assert calls[-1] == (999_999, "")
    assert {line for _, line in calls} == {""}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift_jis", "euc-jp", "gb18030"])
def test_other_encodings_are_cut_at_bytes_and_decoded(tmp_path, encoding):
    """Offsets are bytes of the file; a failing chunk is fed again with exact offsets."""
    text = "aé\nb\r\né" if encoding in {"latin-1", "cp1252", "gb18030"} else "語a\nb\r\n語"
    data = text.encode(encoding)
    file = make_file(tmp_path, data, step=1024)
    second = data.index(b"b")

    calls, receipt = read(file, "lines", encoding=encoding)

    assert calls == [(0, text[:2]), (second, "b"), (second + 3, text[-1])]
    assert receipt.carriage_returns == 1
    assert list(lines_in(text, 0, file, TextRules(encoding=encoding))) == [
        (0, text[:3]),
        (second, "b\r\n"),
        (second + 3, text[-1]),
    ]


@pytest.mark.parametrize("read_bytes", [1, 2, 3, 5, 11, 13, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "good", "bad", "seen"),
    [
        ("utf-16", "aé\nb\n", b"\x00\xdcx\x00\n\x00", "00"),
        ("utf-16", "aé\nb\n", b"x", "78"),
        ("utf-32", "aé\nb\n", b"\x00\x00\x00\xff", "00"),
        ("iso2022_jp", "日\n本\n", b"\x1b$Bo\xff", "6f ff"),
    ],
)
def test_b13_an_error_in_transcoded_text_names_the_byte_of_the_file(
    tmp_path, encoding, good, bad, seen, read_bytes
):
    """The offset counts bytes of the encoding, the line is the line of the text."""
    start = good.encode(encoding)
    file = make_file(tmp_path, start, stream=True)
    limits = Limits(read_bytes=read_bytes)
    calls, _ = read(file, "lines", limits, encoding=encoding)
    assert [line for _, line in calls] == good.split("\n")[:-1]
    broken = make_file(tmp_path, start + bad, stream=True)
    offset = len(start) + (3 if bad.startswith(b"\x1b") else 0)

    with pytest.raises(RecordError) as caught:
        read(broken, "text", limits, encoding=encoding)

    assert (caught.value.fields["offset"], caught.value.fields["line"]) == (offset, 3)
    assert caught.value.message.startswith(
        f"input `{tmp_path}/input.txt` is not {encoding} at line 3, byte {offset}: `{seen}"
    )


def test_b13_transcoded_text_counts_damaged_records_like_any_other(tmp_path):
    """A lone surrogate is replaced or its line skipped, and counted once."""
    data = "a\n".encode("utf-16") + b"\x00\xdc\x00\xdcb\x00\n\x00c\x00"
    file = make_file(tmp_path, data, stream=True)

    replaced, receipt = read(file, "lines", encoding="utf-16", errors="replace")
    skipped, skip_receipt = read(file, "lines", encoding="utf-16", errors="skip")

    assert [line for _, line in replaced] == ["a", "\ufffd\ufffdb", "c"]
    assert receipt.replaced == 1
    assert [line for _, line in skipped] == ["a", "c"]
    assert skip_receipt.skipped == 1


def test_ebcdic_has_another_newline(tmp_path):
    """In EBCDIC a newline is not the byte 10, so the text is transcoded."""
    file = make_file(tmp_path, "a\nb\n".encode("cp037"), stream=True)

    assert [line for _, line in read(file, "lines", encoding="cp037")[0]] == ["a", "b"]


def test_no_encoding_that_is_cut_at_bytes_has_another_newline():
    """In every encoding of one byte that is not transcoded, only byte 10 is a newline."""
    import encodings.aliases

    from pymr.records.encoding import is_transcoded

    checked = 0
    for name in sorted(set(encodings.aliases.aliases.values())):
        try:
            encoding = ENCODING.parse(name)
        except ValueError:
            continue
        if is_transcoded(encoding):
            continue
        checked += 1
        newlines = [
            byte for byte in range(256) if "\n" in bytes([byte]).decode(encoding, "replace")
        ]
        assert newlines == [10], encoding
    assert checked > 50


@pytest.mark.parametrize(("offset", "number"), [(0, 1), (1, 1), (2, 2), (3, 3), (5, 4), (6, 4)])
def test_line_numbers_count_newlines_before_the_byte(tmp_path, offset, number):
    """The newline belongs to the line it ends."""
    file = make_file(tmp_path, b"a\n\nb\nc\n")

    assert line_number(file, offset) == number


def test_line_numbers_are_counted_over_many_reads(tmp_path):
    """Only what stands before the byte is counted, in whichever read that is."""
    file = make_file(tmp_path, b"line\n" * 600_000)

    assert line_number(file, 1_500_000) == 300_001
    assert line_number(file, 2_999_999) == 600_000


def test_a_line_number_far_into_a_file_is_not_looked_for(tmp_path):
    """Beyond 1 GiB the answer is None, at once."""
    assert line_number(make_file(tmp_path, b"a\n"), (1 << 30) + 1) is None


def test_a_reader_tells_how_far_it_is(tmp_path):
    """Bytes and records grow with the calls, for a progress bar."""
    file = make_file(tmp_path, b"a\nb\nc\nd\n", step=4)
    limits = Limits(read_bytes=4)
    with open_split(
        file, Split(0, 0, 8), input_format="text", rules=TextRules(), limits=limits
    ) as reader:
        calls = iter(reader)
        next(calls)
        first = (reader.bytes_done, reader.records_done)
        list(calls)

        assert first == (4, 2)
        assert (reader.bytes_done, reader.records_done) == (8, 4)


def test_a_chunk_that_is_bytes_is_one_line(tmp_path):
    """There are no lines in a WHOLE record."""
    file = make_file(tmp_path, b"a\nb")

    assert list(lines_in(b"a\nb", 0, file, TextRules())) == [(0, b"a\nb")]
