"""`pymr head` and `pymr cat`: rows of a result on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import click

from pymr.cli.reach import reach_options
from pymr.cli.result import find_result
from pymr.runner.result import Result
from pymr.text_form import show_lines

JSON_HELP = "One JSON object for each row."


@click.command("head")
@click.argument("run", metavar="RUN")
@click.option(
    "-n",
    "--rows",
    "number",
    default=10,
    metavar="N",
    type=click.IntRange(0, sys.maxsize),
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@reach_options
def head_command(run: str, number: int, as_json: bool) -> None:
    """Show the first rows of RUN: a name, an id or an output folder."""
    _, result = find_result(run)
    _write(islice(_json_rows(result) if as_json else result.raw_rows(), number))


@click.command("cat")
@click.argument("run", metavar="RUN")
@click.option("--sorted", "is_sorted", is_flag=True, help="All rows in key order, over all parts.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@reach_options
def cat_command(run: str, is_sorted: bool, as_json: bool) -> None:
    """Write all rows of RUN, part after part: a name, an id or an output folder."""
    _, result = find_result(run)
    if is_sorted:
        _write_sorted(result, _as_json(result) if as_json else bytes)
    else:
        _write(_json_rows(result) if as_json else result.raw_rows())


def _json_rows(result: Result) -> Iterator[bytes]:
    return map(_as_json(result), result.raw_rows())


def _as_json(result: Result) -> Callable[[bytes], bytes]:
    """Return the function from a row to one JSON object, as the `jsonl` format writes it."""
    from pymr.records.part import PartWriter, read_rows

    manifest = result.manifest
    if manifest.output_format == "jsonl":
        return bytes
    columns = manifest.columns

    def convert(row: bytes) -> bytes:
        pieces: list[bytes] = []
        writer = PartWriter(pieces.append, "jsonl")
        for key, value in read_rows([row], manifest.output_format, columns.key, columns.value):
            writer.emit(key, value)
        writer.finish()
        return b"".join(pieces).removesuffix(b"\n")

    return convert


def _write_sorted(result: Result, convert: Callable[[bytes], bytes]) -> None:
    import tempfile

    from pymr.runner.sorted_rows import sorted_rows

    manifest = result.manifest
    if manifest.columns.key_mixed and manifest.output_format == "tsv":
        click.echo("note: the keys have several types; they are sorted as text", err=True)
    with tempfile.TemporaryDirectory(prefix="pymr-sort-") as folder:
        _write(map(convert, sorted_rows(result, folder)))


def _write(rows: Iterator[Any]) -> None:
    out = sys.stdout.buffer
    if sys.stdout.isatty():  # It would take some of it for commands.
        rows = map(show_lines, rows)
    for row in rows:
        out.write(row + b"\n")
    out.flush()
