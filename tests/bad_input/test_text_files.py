r"""Bytes that text is made of: every line once, in order, cut at `\n` alone."""

from __future__ import annotations

import pytest

from cli import COPY_LINES, CommandLine

COPY_CHUNKS = COPY_LINES.replace("input=pymr.LINES", "input=pymr.TEXT")
KIB_64 = 64 << 10


def test_b7_b8_b10_b11_b17_lines_are_cut_at_newlines_only(cli: CommandLine) -> None:
    r"""One empty record; a last line without its end; a lone `\r`, NEL, LS, VT, FF and NUL."""
    data = "x\ry\x85\u2028\u2029\x1c\x0b\x0c\0z"
    cli.write("1", "\n")
    cli.write("2", "first\nlast")
    cli.write("3", f"{data}\nend\n")

    rows = cli.start("--input=[123]", "--format=jsonl", worker=COPY_LINES).succeeded("5 records in")

    assert rows == [
        '{"key":0,"value":""}',
        '{"key":0,"value":"first"}',
        '{"key":6,"value":"last"}',
        '{"key":0,"value":"x\\ry\x85\u2028\u2029\\u001c\\u000b\\f\\u0000z"}',
        f'{{"key":{len(data.encode()) + 1},"value":"end"}}',
    ]


def test_b9_b10_the_carriage_return_of_a_line_end(cli: CommandLine) -> None:
    """LINES strips one and counts it, `--newline lf` keeps it, TEXT never touches it."""
    cli.write("in.txt", b"a\r\nb\r\r\nc\rd\ne\r\n")

    stripped = cli.start("--input=in.txt", worker=COPY_LINES)
    kept = cli.start("--input=in.txt", "--overwrite", "--newline=lf", worker=COPY_LINES)
    kept_rows = kept.succeeded()
    chunks = cli.start("--input=in.txt", "--overwrite", worker=COPY_CHUNKS).succeeded()

    stripped.succeeded(r"3 lines ended in \r\n", "--newline lf keeps it")
    assert kept_rows == ["0\ta\r", "3\tb\r\r", "7\tc\rd", "11\te\r"]
    assert "".join(row.split("\t")[1] for row in chunks) == "a\r\\nb\r\r\\nc\rd\\ne\r\\n"


def test_b12_a_byte_order_mark_is_no_data_where_a_file_begins(cli: CommandLine) -> None:
    """Of each file; anywhere else it is a character like others."""
    cli.write("1", b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    cli.write("2", b"\xef\xbb\xbf")

    rows = cli.start("--input=[12]", worker=COPY_LINES).succeeded("2 records in")

    assert rows == ["3\ta", "5\t\ufeffb"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_b13_utf_16_and_utf_32_are_told_by_their_mark(cli: CommandLine, encoding: str) -> None:
    """Refused with the option that reads them; with it, they are text like any other."""
    cli.write("in.txt", "é a\nb\n".encode(encoding))

    said = cli.start("--input=in.txt").refused(3, f"looks like {encoding.upper()}")
    rows = cli.start("--input=in.txt", f"--encoding={encoding}").succeeded()

    assert f"use --encoding {encoding}" in said
    assert rows == ["a\t1", "b\t1", "é\t1"]


def test_b14_a_byte_that_is_not_text(cli: CommandLine) -> None:
    """Strict: file, line, offset and the bytes there. Else it is replaced or left out: counted."""
    cli.write("in.txt", b"good\nba\xffd 0123456789abcdefghi\nlast\n")

    said = cli.start("--input=in.txt", worker=COPY_LINES).refused(3, "`in.txt` is not utf-8")
    replaced = cli.start("--input=in.txt", "--errors=replace", worker=COPY_LINES)
    rows = replaced.succeeded("1 file had bytes that are not UTF-8: 1 record replaced")
    skipped = cli.start("--input=in.txt", "--errors=skip", "--overwrite", worker=COPY_LINES)

    assert "line 2, byte 7: `ff 64 20 30 31 32 33 34 35 36 37 38 39 61 62 63`" in said
    assert "--errors replace" in said
    assert rows[1] == "5\tba\ufffdd 0123456789abcdefghi"
    assert skipped.succeeded("1 left out") == ["0\tgood", "30\tlast"]


def test_b15_b16_every_line_is_read_once_however_the_file_is_cut(cli: CommandLine) -> None:
    """Lines and characters that cross a boundary, end at it, or begin at it."""
    lines = [f"{number}é🦆" * (number % 7) for number in range(300)]
    cli.write("in.txt", "\n".join(lines))

    whole = cli.start("--input=in.txt", "--mappers=1", worker=COPY_LINES).succeeded()
    cut = cli.start("--input=in.txt", "--mappers=90", "--overwrite", worker=COPY_LINES)

    assert [row.split("\t")[1] for row in whole] == lines
    assert cut.succeeded() == whole
    assert len(list((cli.folder / "out").glob("part-*"))) > 10


def test_b18_a_line_over_the_limit(cli: CommandLine) -> None:
    """Refused with its place, or left out and counted."""
    cli.write("in.txt", b"a\n" + b"x" * 3000 + b"\nb\n")

    said = cli.start("--input=in.txt", "--max-record=1K", worker=COPY_LINES).refused(3, "`in.txt`")
    skipped = cli.start(
        "--input=in.txt", "--max-record=1K", "--long-records=skip", worker=COPY_LINES
    )

    assert "a record of more than 1024 bytes at line 2, byte 2" in said
    assert "--max-record SIZE, or --long-records skip" in said
    assert skipped.succeeded("1 left out") == ["0\ta", "3003\tb"]


def test_b18_b35_a_sparse_file_is_one_line_of_zeros(cli: CommandLine) -> None:
    """A gigabyte without a line end stops at 64 MiB; a small hole is data."""
    with (cli.folder / "big").open("wb") as file:
        file.truncate(1 << 30)
    with (cli.folder / "hole").open("wb") as file:
        file.seek(KIB_64)
        file.write(b"end\n")

    cli.start("--input=big", worker=COPY_LINES).refused(
        3, "`big` has a record of more than 67108864 bytes at line 1, byte 0"
    )
    rows = cli.start("--input=hole", worker=COPY_LINES).succeeded()

    assert rows == ["0\t" + "\0" * KIB_64 + "end"]


def test_b93_dates_are_text(cli: CommandLine) -> None:
    """A leap second, a day that is skipped and a time that comes twice: nothing parses them."""
    dates = ["2016-12-31T23:59:60Z", "2011-12-30T12:00:00", "2026-10-25T02:30:00", "9999-99-99"]
    cli.write("in.txt", "".join(f"{date}\n" for date in dates))

    for zone in ("Pacific/Apia", "right/Europe/Berlin", "no such zone"):
        outcome = cli.start(
            "--input=in.txt", "--overwrite", worker=COPY_LINES, environ={"TZ": zone}
        )
        assert [row.split("\t")[1] for row in outcome.succeeded()] == dates
