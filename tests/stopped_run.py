"""Runs that stop at a place of their own choice, and what they did until then.

The worker writes each call into the file `calls`. What shall happen at one record of the input, or
one key of the reduce phase, is the content of the file `at-RECORD`: `kill-runner`, `kill-task`,
`raise`, or `do`: what stands in `then.py`. All but `raise` happen once. Without such a file the
worker counts words, one line a record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli import CommandLine, Outcome

WORKER = """\
import os, signal
import pymr

def note(*what):
    with open("calls", "a") as calls:
        calls.write(" ".join(map(str, what)) + "\\n")

def stop_at(record):
    try:
        with open(f"at-{record}") as file:
            what = file.read()
    except FileNotFoundError:
        return
    if what == "raise":
        raise ValueError(f"no {record}")
    os.remove(f"at-{record}")
    if what == "do":
        return exec(open("then.py").read(), {})
    if what == "kill-runner":
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()  # The kernel ends this process, too.
    os.kill(os.getpid(), signal.SIGKILL)

def mapper(ctx, line):
    note("map", ctx.input.file, ctx.input.offset)
    stop_at(line.split()[0])
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    note("reduce", key)
    stop_at(f"key-{key}")
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
MAP_ONLY = WORKER.replace("reducer=reducer, ", "")
# 32 lines of 14 bytes, and so 8 for each of the four map tasks.
LINES = [f"line{n:02d} {'even' if n % 2 else 'odds'} {n % 4}\n" for n in range(32)]
TEXT = "".join(LINES)
SETTINGS = ("--mappers=4", "--reducers=2", "--name=words")


def prepare(cli: CommandLine, worker: str = WORKER) -> None:
    cli.write("in.txt", TEXT)
    cli.write("worker.py", worker)


def start(cli: CommandLine, *arguments: str, **run: Any) -> Outcome:
    """Start the prepared job into `out`, by one worker: tasks are done one after the other."""
    settings = ("--input=in.txt", "--output=out", "--workers=1", *SETTINGS)
    return cli.run("start", *settings, *arguments, "worker.py", **run)


def stopped(cli: CommandLine, at: str, what: str = "kill-runner", **prepared: str) -> Outcome:
    """Start a job that stops at a record, `line17`, or at a key, `key-even`."""
    prepare(cli, **prepared)
    cli.write(f"at-{at}", what)
    outcome = start(cli)
    is_used = not (cli.folder / f"at-{at}").exists()
    assert is_used or what == "raise", f"{outcome.stderr}\nit came nowhere near"
    return outcome


def go_on(cli: CommandLine, *arguments: str) -> None:
    """Resume the run; start it, if it had not begun."""
    resumed = cli.run("resume", "out")
    if resumed.code == 4:
        assert "it ended before it began" in resumed.stderr or "no run `out`" in resumed.stderr
        assert not (again := start(cli, *arguments)).code, resumed.stderr + again.stderr
    else:
        assert resumed.code == 0, resumed.stderr


def undisturbed(tmp_path: Path, worker: str = WORKER) -> list[str]:
    """Return the rows of a run to which nothing happens."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    cli = CommandLine(folder)
    prepare(cli, worker)
    return start(cli).succeeded()


def calls(cli: CommandLine, kind: str) -> list[str]:
    """Return the calls of the mapper or reducer since the last time, and forget them."""
    path = cli.folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line for line in lines if line.startswith(kind)]


def objects(cli: CommandLine, output: str = "out") -> list[str]:
    """Return what lies in the run's folder, and any half of an object, without nonces."""
    folder = cli.folder / output
    found = [path for path in folder.rglob("*") if path.is_file()]
    inner = [path.name for path in found if path.parent.parent.name == "_pymr"]
    torn = [path.name for path in found if path.name.startswith(".tmp-")]
    return sorted(name.rpartition("-")[0] or name for name in {*inner, *torn})


def manifest(cli: CommandLine, output: str = "out") -> dict[str, Any]:
    return dict(json.loads((cli.folder / output / "_pymr/MANIFEST.json").read_bytes()))


def run_folder(cli: CommandLine) -> Path:
    [journal] = (cli.folder / "out/_pymr").glob("*/journal")
    return journal.parent


def processes_of(cli: CommandLine) -> list[str]:
    """Return the processes that were started for this test and are still there."""
    found = []
    home = f"HOME={cli.home}\0".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if home in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # It has ended, or is another user's.
            continue
    return found
