"""A run of three parts to look at, and the commands that look at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli import CommandLine

WORKER = """\
import ast
import pymr

def mapper(ctx, line):
    key, number = line.split()
    ctx.count("lines")
    ctx.emit(ast.literal_eval(key), int(number))

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, combiner=pymr.SUM, input=pymr.LINES)
"""
BLANK = "\\x20"
NUMBERS = [100, 9, -3, 10**30, 2, 10, -20, 0]
TEXTS = ["b", "a", "é", "B", "", "a b", "😀", "aa"]
TUPLES = [(2, "a"), (10, "a"), (1, "z"), (2, "B"), (2, ""), (-1, "z")]
MIXED = ["a", (1, "b"), 3, None, True, 2.5, 10, "3", -7]


def run_of(folder: Path, keys: list[Any], *flags: str, name: str = "counts") -> CommandLine:
    """Run a job whose keys are `keys`, twice each, into three parts; return where."""
    cli = CommandLine(folder)
    lines = [f"{ascii(key).replace(', ', ',').replace(' ', BLANK)} 1\n" for key in keys]
    cli.write("in.txt", "".join(2 * lines))
    started = cli.start("--input=in.txt", "--reducers=3", f"--name={name}", *flags, worker=WORKER)
    assert started.code == 0, started.stderr
    return cli


def lines_of(cli: CommandLine, *arguments: str) -> list[str]:
    """Run a command that must succeed with nothing on stderr; return the lines of stdout."""
    outcome = cli.run(*arguments)
    assert (outcome.code, outcome.stderr) == (0, ""), outcome.stderr
    return outcome.stdout.splitlines()


def json_of(cli: CommandLine, *arguments: str) -> Any:
    """Return the one JSON value that is all a command prints."""
    (line,) = lines_of(cli, *arguments, "--json")
    return json.loads(line)


def shown_parts(cli: CommandLine) -> list[Path]:
    """Return the parts that have rows."""
    return [path for path in sorted((cli.folder / "out").glob("part-*")) if path.stat().st_size]


def flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def damaged_part(cli: CommandLine) -> Path:
    """Flip one bit of a part, under all its names."""
    part = shown_parts(cli)[0]
    body = flipped(part.read_bytes())
    part.chmod(0o644)
    part.write_bytes(body)
    return part
