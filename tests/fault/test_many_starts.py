"""Many runs at once, in one output and in many; and one that ends in the middle of another's place.

All starts of a test come from one program, which has imported everything and forks: what races is
what a run does, not how Python starts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli import COUNT_WORDS, CommandLine
from pymr.failpoint import VARIABLE
from stopped_run import processes_of

PROGRAM = """
import json, os, sys
import pymr.cli.start, pymr.runner.run, pymr.task.output, pymr.observe.failure
from pymr.cli import main

count, has_gate, arguments = int(sys.argv[1]), sys.argv[2] == "gate", sys.argv[3:]
wait_for, go = os.pipe()
numbers = {}
for number in range(count):
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(wait_for, 1)
        out = os.open(f"said-{number}", os.O_CREAT | os.O_WRONLY, 0o644)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.argv[0] = "pymr"
        try:
            main([argument.format(number=number) for argument in arguments])
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(70)
    numbers[pid] = number
os.close(go)
codes = {}
while len(codes) < count:
    if has_gate and len(codes) == count - 1:
        os.open("gate", os.O_WRONLY)  # The one that is left may go on.
        has_gate = False
    pid, status = os.wait()
    codes[numbers[pid]] = os.waitstatus_to_exitcode(status)
print(json.dumps([codes[number] for number in range(count)]))
"""
# Who has the output waits until the others are done.
GATED = COUNT_WORDS.replace(
    "def mapper(ctx, chunk):\n", 'def mapper(ctx, chunk):\n    open("gate").close()\n'
)


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def start_many(cli: CommandLine, count: int, *arguments: str, gate: bool = False) -> list[int]:
    """Start so many runs at once; return their exit codes. `{number}` is theirs."""
    command = [sys.executable, "-c", PROGRAM, str(count), "gate" if gate else "-", "start"]
    done = subprocess.run(
        [*command, "--workers=1", *arguments, "worker.py"],
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def said(cli: CommandLine, number: int) -> str:
    return (cli.folder / f"said-{number}").read_text()


def test_f98_of_a_hundred_starts_into_one_output_one_wins(cli: CommandLine) -> None:
    """The others are exit 4, and name who has it: run, process, host, and since when."""
    cli.write("in.txt", "one two one\n")
    cli.write("worker.py", GATED)
    os.mkfifo(cli.folder / "gate")

    codes = start_many(cli, 100, "--input=in.txt", "--output=out", gate=True)

    [winner] = [number for number, code in enumerate(codes) if code == 0]
    assert sorted(codes) == [0] + [4] * 99
    told = {said(cli, number) for number in range(100) if number != winner}
    pattern = (
        rf"✗ output `\S*out` is claimed by run (\S+) \(pid (\d+) on {re.escape(os.uname().nodename)},"
        r" started \d+ s ago\)\n  hint: pymr attach \S*out   follows it, or choose another --output\n"
    )
    found = {match.groups() for text in told if (match := re.fullmatch(pattern, text))}
    assert len(found) == 1, told
    [(run, _)] = found
    assert json.loads((cli.folder / "out/_SUCCESS").read_bytes())["run"] == run
    assert cli.run("cat", "out").stdout == "one\t2\ntwo\t1\n"
    assert cli.run("verify", "out").code == 0
    assert processes_of(cli) == []
    assert left_in(cli.folder / "out") == ["_SUCCESS", "_pymr", "part-00000.tsv"]


def left_in(output: Path) -> list[str]:
    """Return the names in an output; of the runs in it there is one."""
    state = [path.name for path in (output / "_pymr").iterdir()]
    assert len(state) == 3, state  # CLAIM, MANIFEST.json and the run
    return sorted(path.name for path in output.iterdir())


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["once", "overwrite"])
def test_f98_runs_that_end_while_others_begin_leave_one_whole_result(
    cli: CommandLine, overwrite: list[str]
) -> None:
    """Who comes later finds it claimed or done, or replaces it; nothing is mixed or left over."""
    cli.write("in.txt", "one two one\n")
    cli.write("worker.py", COUNT_WORDS)

    codes = start_many(cli, 16, "--input=in.txt", "--output=out", *overwrite)

    assert set(codes) <= {0, 4}
    assert codes.count(0) >= 1
    assert overwrite or codes.count(0) == 1
    for number, code in enumerate(codes):
        refusal = "is claimed by run" in said(cli, number) or "exists: run" in said(cli, number)
        assert refusal == (code == 4), said(cli, number)
    assert cli.run("cat", "out").stdout == "one\t2\ntwo\t1\n"
    assert cli.run("verify", "out").code == 0
    assert left_in(cli.folder / "out") == ["_SUCCESS", "_pymr", "part-00000.tsv"]


def test_f98_twenty_runs_into_twenty_outputs_do_not_know_of_each_other(cli: CommandLine) -> None:
    """Each has its result, and is found by its name."""
    cli.write("worker.py", COUNT_WORDS)
    for number in range(20):
        cli.write(f"in-{number}.txt", f"word-{number} all\n")

    codes = start_many(
        cli, 20, "--input=in-{number}.txt", "--output=many/{number}", "--name=run-{number}"
    )

    assert codes == [0] * 20, said(cli, codes.index(max(codes)))
    jobs = cli.run("jobs").stdout.splitlines()
    for number in range(20):
        text = (cli.folder / f"many/{number}/part-00000.tsv").read_text()
        assert sorted(text.splitlines()) == ["all\t1", f"word-{number}\t1"]
        [line] = [line for line in jobs if line.split()[0] == f"run-{number}"]
        assert line.split()[1] == "done"
    assert processes_of(cli) == []
    assert list(cli.temporary.iterdir()) == []


def test_f99_a_result_is_not_replaced_unasked(cli: CommandLine) -> None:
    """Exit 4 with where, when and how much; not even the mapper is called."""
    cli.write("in.txt", "one two one\n")
    cli.start("--input=in.txt").succeeded()
    before = (cli.folder / "out/_SUCCESS").read_bytes()
    cli.write("in.txt", "three\n")

    outcome = cli.start(
        "--input=in.txt", worker=COUNT_WORDS.replace("    for", "    1 / 0\n    for")
    )

    assert outcome.code == 4
    assert re.search(
        r"output `\S*out` exists: run \S+ of 20\S+ \S+, parts: 1, rows: 2", outcome.stderr
    )
    assert "hint: replace it with --overwrite, or choose another --output" in outcome.stderr
    assert (cli.folder / "out/_SUCCESS").read_bytes() == before
    assert cli.run("verify", "out").code == 0


def test_f100_foreign_files_are_named_and_left(cli: CommandLine) -> None:
    """Exit 4 with the first names."""
    cli.write("in.txt", "one two one\n")
    for number in range(7):
        cli.write(f"out/mine-{number}", str(number))

    outcome = cli.start("--input=in.txt", "--overwrite")

    outcome.refused(4, "holds files that are not PyMR's: `mine-0`", "`mine-2` and 4 more")
    assert sorted(path.name for path in (cli.folder / "out").iterdir()) == [
        f"mine-{number}" for number in range(7)
    ]


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        *(("lease.grant", "kill"), ("publish.manifest", "kill"), ("publish.visible", "kill")),
        *(("publish.part", "kill"), ("publish.success", "kill"), ("publish.sync", "kill")),
        *(("publish.remove", "kill"), ("publish.part", "raise"), ("publish.sync", "EIO")),
    ],
)
def test_f101_an_overwrite_that_ends_anywhere_leaves_the_old_result_or_the_new(
    cli: CommandLine, tmp_path: Path, point: str, kind: str
) -> None:
    """For readers of the manifest; for others `_SUCCESS` says that the parts are of one run."""
    cli.write("in.txt", "old old words\n")
    cli.start("--input=in.txt", "--reducers=3").succeeded()
    old = cli.run("cat", "out").stdout
    cli.write("in.txt", "new\n")
    armed = f"{point} {kind} 1 {tmp_path}/token"

    ended = cli.start("--input=in.txt", "--reducers=2", "--overwrite", environ={VARIABLE: armed})

    assert ended.code == (-signal.SIGKILL if kind == "kill" else ended.code)
    assert ended.code != 0
    is_new = point not in ("lease.grant", "publish.manifest")
    shown = cli.run("cat", "out").stdout
    assert shown == ("new\t1\n" if is_new else old)
    if (cli.folder / "out/_SUCCESS").exists():
        manifest = json.loads((cli.folder / "out/_SUCCESS").read_bytes())
        rows = [path.read_text() for path in sorted((cli.folder / "out").glob("part-*"))]
        assert len(rows) == len(manifest["parts"])
        assert "".join(rows) == (old if manifest["replaces"] is None else "new\t1\n")
    again = cli.start("--input=in.txt", "--reducers=2", "--overwrite")
    assert again.succeeded() == ["new\t1"]
    assert cli.run("verify", "out").code == 0
    assert left_in(cli.folder / "out") == [
        *("_SUCCESS", "_pymr", "part-00000.tsv", "part-00001.tsv")
    ]
