"""However a file is cut into splits and read, the mapper sees the same calls."""

from __future__ import annotations

import gzip
import itertools
import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymr._native import xxh3_128
from pymr.core.spec import InputFile, Limits, Split, SplitReceipt, TextRules
from pymr.records.split_reader import lines_in, open_split

BOM = b"\xef\xbb\xbf"
PIECES = [b"\n", b"\n", b"\n", b"\r\n", b"\r", b"a", b"bc", b"\0", "é€😀".encode(), b"\x85\x0b\x0c"]
VALID_PIECES = [*PIECES[:-1], "\x85\u2028\u2029\x0b\x0c\x1c".encode()]

texts = st.lists(st.sampled_from(VALID_PIECES), max_size=40).map(b"".join)
damaged_texts = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)
steps = st.sampled_from([1, 2, 4, 8, 16])
read_sizes = st.sampled_from([1, 2, 3, 5, 8, 64, 1 << 20])
cut_seeds = st.lists(st.integers(0, 200), max_size=6)


def on_disk(data: bytes, step: int, **fields: object) -> InputFile:
    """Return a file that holds `data`; removed when the process ends."""
    descriptor, path = tempfile.mkstemp(dir=FOLDER.name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return InputFile(os.fsencode(path), len(data), step, **fields)  # type: ignore[arg-type]


FOLDER = tempfile.TemporaryDirectory(prefix="pymr-text-property-", ignore_cleanup_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _folder():
    yield
    FOLDER.cleanup()


def splits_of(file: InputFile, cuts: list[int]) -> list[Split]:
    """Return splits of whole cells: `cuts` are the numbers of cells where one begins."""
    cells = -(-file.size // file.step)
    begins = sorted({0, *(cut % cells for cut in cuts)}) if cells else []
    ends = [*begins[1:], cells]
    return [
        Split(0, begin * file.step, min(end * file.step, file.size))
        for begin, end in zip(begins, ends, strict=False)
    ]


def read(
    file: InputFile,
    splits: list[Split],
    input_format: str = "text",
    *,
    rules: TextRules | None = None,
    **limits: int,
) -> tuple[list[tuple[int, str | bytes]], list[SplitReceipt]]:
    """Return the calls of all splits in order, and their receipts."""
    calls: list[tuple[int, str | bytes]] = []
    receipts = []
    for split in splits:
        with open_split(
            file,
            split,
            input_format=input_format,
            rules=rules or TextRules(),
            limits=Limits(**limits),
        ) as reader:
            calls += reader
            receipts.append(reader.receipt())
    return calls, receipts


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    """The oracle: offset and bytes of each line, with its newline."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    offsets = itertools.accumulate(map(len, lines), initial=0)
    return [(offset, line) for offset, line in zip(offsets, lines, strict=False) if line]


def chunks_of(data: bytes, step: int) -> list[tuple[int, str]]:
    """The oracle of TEXT: lines grouped by the cell of their first byte."""
    grouped = itertools.groupby(lines_of(data), key=lambda line: line[0] // step)
    chunks = [list(lines) for _, lines in grouped]
    return [(lines[0][0], b"".join(line for _, line in lines).decode()) for lines in chunks]


def without_end(line: bytes) -> str:
    if line.endswith(b"\r\n"):
        return line[:-2].decode()
    return line.removesuffix(b"\n").decode()


@given(texts, steps, cut_seeds, read_sizes)
def test_text_calls_depend_on_the_file_alone(data, step, cuts, read_bytes):
    """The calls of all splits, in order, are the lines of the file grouped by grid cell."""
    file = on_disk(data, step)

    calls, receipts = read(file, splits_of(file, cuts), read_bytes=read_bytes)

    assert calls == chunks_of(data, step)
    assert sum(receipt.records for receipt in receipts) == len(lines_of(data))


@given(texts, steps, cut_seeds, read_sizes)
def test_line_calls_are_the_lines_of_the_file_each_once_in_order(data, step, cuts, read_bytes):
    """Lines come with their offset, without their ends, whatever the splits and reads."""
    file = on_disk(data, step)

    calls, receipts = read(file, splits_of(file, cuts), "lines", read_bytes=read_bytes)

    assert calls == [(offset, without_end(line)) for offset, line in lines_of(data)]
    assert sum(receipt.carriage_returns for receipt in receipts) == data.count(b"\r\n")


@given(texts, steps, cut_seeds, read_sizes)
def test_receipts_tile_the_file_and_their_digests_add_up(data, step, cuts, read_bytes):
    """Bytes and digests of the splits sum to those of the file, read by one split or many."""
    file = on_disk(data, step)
    expected = sum(
        xxh3_128(offset.to_bytes(8, "little") + data[offset : offset + step])
        for offset in range(0, len(data), step)
    ) % (1 << 128)

    _, receipts = read(file, splits_of(file, cuts), read_bytes=read_bytes)

    assert sum(receipt.digest for receipt in receipts) % (1 << 128) == expected
    assert sum(receipt.bytes for receipt in receipts) == file.size
    for receipt in receipts:
        inside = [offset for offset, _ in lines_of(data) if receipt.start <= offset < receipt.end]
        assert receipt.records == len(inside)
        assert receipt.first_offset == (inside[0] if inside else None)
        assert receipt.last_offset == (inside[-1] if inside else None)


@given(damaged_texts, steps, cut_seeds, read_sizes, st.sampled_from(["text", "lines"]))
def test_lines_that_are_not_text_are_left_out_of_the_same_calls(
    data, step, cuts, read_bytes, input_format
):
    """With `errors=skip` the good lines arrive with their offsets, the others are counted."""
    file = on_disk(data, step)
    rules = TextRules(errors="skip", newline="lf")
    good = [(offset, line) for offset, line in lines_of(data) if b"\x85\x0b" not in line]

    calls, receipts = read(
        file, splits_of(file, cuts), input_format, rules=rules, read_bytes=read_bytes
    )

    if input_format == "lines":
        assert calls == [(offset, line.removesuffix(b"\n").decode()) for offset, line in good]
    else:
        again = [pair for offset, text in calls for pair in lines_in(text, offset, file, rules)]
        assert again == [(offset, line.decode()) for offset, line in good]
    assert sum(receipt.records for receipt in receipts) == len(good)
    assert sum(receipt.skipped for receipt in receipts) == len(lines_of(data)) - len(good)


@given(damaged_texts, steps, cut_seeds, read_sizes, st.sampled_from(["replace", "surrogateescape"]))
def test_chunks_with_replaced_bytes_are_fed_again_line_by_line(
    data, step, cuts, read_bytes, errors
):
    """`lines_in` knows the offset of each line, also where a byte became a character."""
    file = on_disk(data, step)
    rules = TextRules(errors=errors)

    calls, receipts = read(file, splits_of(file, cuts), rules=rules, read_bytes=read_bytes)

    again = [pair for offset, text in calls for pair in lines_in(text, offset, file, rules)]
    assert again == [(offset, line.decode("utf-8", errors)) for offset, line in lines_of(data)]
    damaged = sum(b"\x85\x0b" in line for _, line in lines_of(data))
    assert sum(receipt.replaced for receipt in receipts) == damaged


@given(texts, steps, cut_seeds, read_sizes, st.integers(1, 6))
def test_long_lines_are_left_out_of_the_same_calls(data, step, cuts, read_bytes, limit):
    """With `long_records=skip` exactly the lines over the limit are missing, and counted."""
    file = on_disk(data, step)
    rules = TextRules(long_records="skip", newline="lf")
    good = [pair for pair in lines_of(data) if len(pair[1].removesuffix(b"\n")) <= limit]

    calls, receipts = read(
        file,
        splits_of(file, cuts),
        "lines",
        rules=rules,
        read_bytes=read_bytes,
        record_bytes_max=limit,
    )

    assert calls == [(offset, line.removesuffix(b"\n").decode()) for offset, line in good]
    assert sum(receipt.skipped for receipt in receipts) == len(lines_of(data)) - len(good)
    assert sum(receipt.bytes for receipt in receipts) == file.size


@given(texts, steps, cut_seeds, read_sizes)
def test_a_byte_order_mark_is_removed_at_the_start_of_the_file_only(data, step, cuts, read_bytes):
    """The mark is not part of the first line; the same bytes elsewhere are data."""
    file = on_disk(BOM + data + BOM, step)

    calls, _ = read(file, splits_of(file, cuts), "lines", read_bytes=read_bytes)

    lines = [(max(offset, 3), line) for offset, line in lines_of(BOM + data + BOM)]
    lines[0] = (3, lines[0][1].removeprefix(BOM))
    assert calls == [(offset, without_end(line)) for offset, line in lines]


@settings(max_examples=50)
@given(texts, read_sizes, st.integers(0, 40))
def test_a_compressed_file_gives_the_calls_of_its_bytes(data, read_bytes, cut):
    """Members are joined, and the grid lies over the decoded bytes."""
    packed = gzip.compress(data[:cut]) + gzip.compress(data[cut:])
    file = on_disk(packed, 4, stream=True, compression="gzip")

    calls, receipts = read(file, [Split(0, 0, file.size)], read_bytes=read_bytes)

    assert calls == chunks_of(data, 4)
    assert receipts[0].bytes == len(packed)


@settings(max_examples=50)
@given(texts, read_sizes, st.sampled_from(["utf-16", "utf-32-be", "utf-7", "iso2022_jp_3"]))
def test_a_transcoded_file_gives_the_calls_of_its_text(data, read_bytes, encoding):
    """Text in which a newline is not one byte is read as the same text in UTF-8."""
    text = data.decode()
    if encoding == "iso2022_jp_3":
        text = "".join(character for character in text if ord(character) < 0x80) + "日本\n語"
    file = on_disk(text.encode(encoding), 4, stream=True)
    rules = TextRules(encoding=encoding)

    calls, _ = read(file, [Split(0, 0, file.size)], rules=rules, read_bytes=read_bytes)

    assert calls == chunks_of(text.encode(), 4)


@given(texts.filter(bool), steps, cut_seeds, read_sizes)
def test_a_whole_file_is_one_call_of_the_split_that_holds_its_first_byte(
    data, step, cuts, read_bytes
):
    """However the file is cut, it is read whole once, and its digest is the same."""
    file = on_disk(data, step)

    calls, receipts = read(file, splits_of(file, cuts), "whole", read_bytes=read_bytes)
    _, text_receipts = read(file, [Split(0, 0, file.size)], read_bytes=read_bytes)

    assert calls == [(0, data)]
    assert sum(receipt.digest for receipt in receipts) % (1 << 128) == text_receipts[0].digest


def test_every_cut_of_a_small_file_gives_the_same_calls():
    """All steps, all pairs of cuts and many read sizes, on a file with every kind of line."""
    data = b"\n\nab\r\ncdefghijk\n\xc3\xa9\n\n\xf0\x9f\x98\x80 \nlast"
    for step, read_bytes in itertools.product([1, 2, 4], [1, 3, 7, 100]):
        file = on_disk(data, step)
        cells = -(-len(data) // step)
        for cuts in itertools.combinations(range(cells), 2):
            calls, _ = read(file, splits_of(file, list(cuts)), read_bytes=read_bytes)
            assert calls == chunks_of(data, step)
