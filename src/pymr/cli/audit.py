"""`pymr audit`: the books of a run, as its manifest keeps them."""

from __future__ import annotations

import json
from typing import Any

import click

from pymr.cli.reach import reach_options
from pymr.cli.result import find_result
from pymr.task.manifest import Manifest

INPUTS_SHOWN = 20


@click.command("audit")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@reach_options
def command(run: str, as_json: bool) -> None:
    """Print what went in, across the shuffle and out of RUN; each line must balance."""
    manifest = find_result(run)[1].manifest
    if as_json:
        inputs = [{"path": i.path, "size": i.size, "records": i.records} for i in manifest.inputs]
        click.echo(json.dumps({"run": manifest.run, "inputs": inputs, **manifest.ledger}))
        return
    click.echo("\n".join(_lines(manifest)))


def _lines(manifest: Manifest) -> list[str]:
    books = manifest.ledger
    lines = [f"books of {manifest.name} ({manifest.run})", "", "input"]
    lines += [
        _row(entry.size, _many(entry.records, "record"), entry.path)
        for entry in manifest.inputs[:INPUTS_SHOWN]
    ]
    if len(manifest.inputs) > INPUTS_SHOWN:
        lines.append(f"  … {_many(len(manifest.inputs) - INPUTS_SHOWN, 'more file')}")
    size = sum(entry.size for entry in manifest.inputs)
    lines += [
        _balance("bytes of input", size, "bytes read", books["bytes_in"]),
        f"  {_many(books['records_in'], 'record')} in {_many(books['map_calls'], 'mapper call')}",
        f"  {books['replaced']:,} replaced, {books['skipped']:,} skipped",
        *_bad_records(books),
    ]
    if manifest.settings.reducers == 0:
        return [
            *lines,
            "",
            "output",
            _balance("emitted", books["emitted"], "rows", manifest.records),
        ]
    return [*lines, *_shuffle(books), *_output(books, manifest)]


def _bad_records(books: dict[str, Any]) -> list[str]:
    """Return the line about records that no successful call of the mapper has had."""
    bad = books.get("bad_records", 0)
    if not bad:
        return []
    good = books["records_in"] - bad
    return [f"  {_many(good, 'record')} mapped + {bad:,} bad = {books['records_in']:,} read"]


def _shuffle(books: dict[str, Any]) -> list[str]:
    emitted, written, read = books["emitted"], books["written"], books["read"]
    mapped, map_terms = _combined(emitted, books["combined_in"], books["combined_out"])
    reduced, reduce_terms = _combined(
        read["records"], books["reduce_combined_in"], books["reduce_combined_out"]
    )
    return [
        "",
        "map side",
        f"  {emitted:,} emitted{map_terms}",
        _balance("that is", mapped, "records written", written["records"]),
        "",
        "shuffle",
        _balance("records written", written["records"], "records read", read["records"]),
        _balance("bytes written", written["bytes"], "bytes read", read["bytes"]),
        _balance("fingerprint", written["fingerprint"], "fingerprint", read["fingerprint"]),
        "",
        "reduce side",
        f"  {read['records']:,} read{reduce_terms}",
        _balance("that is", reduced, "reduced", books["reduced"]),
        _balance("groups", books["groups"], "reducer calls", books["reduce_calls"]),
    ]


def _combined(count: int, taken: int, given: int) -> tuple[int, str]:
    """Return what combining makes of `count` records, and the terms of that sum."""
    terms = f" - {taken:,} into the combiner + {given:,} out of it"
    return count - taken + given, terms


def _output(books: dict[str, Any], manifest: Manifest) -> list[str]:
    return [
        "",
        "output",
        *(_row(part.bytes, _many(part.records, "row"), part.name) for part in manifest.parts),
        _balance("rows of all parts", manifest.records, "emitted", books["records_out"]),
    ]


def _row(size: int, count: str, name: str) -> str:
    return f"  {_many(size, 'byte'):>21}  {count:>20}  {name}"


def _many(number: int, thing: str) -> str:
    """Return an exact number of things: books are not rounded."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _balance(left: str, left_value: Any, right: str, right_value: Any) -> str:
    sign = "=" if left_value == right_value else "≠"
    return f"  {left} {_show(left_value)} {sign} {_show(right_value)} {right}"


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
