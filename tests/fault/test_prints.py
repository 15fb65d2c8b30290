"""What user code prints: kept by attempt, in bounds, and never data."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from cli import PYMR, CommandLine
from pymr.runner.prints import HEAD_BYTES_MAX, TAIL_BYTES_MAX
from stopped_run import processes_of, run_folder

MB = 1_000_000


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A folder with an input of three lines."""
    command_line = CommandLine(tmp_path)
    command_line.write("in.txt", "1\n2\n3\n")
    return command_line


def worker(mapper: str, *, head: str = "", reducer: str = "pymr.SUM") -> str:
    """Return a worker file with a LINES mapper of the given body."""
    body = "".join(f"    {line}\n" for line in mapper.splitlines())
    return (
        f"import os, subprocess, sys\nimport pymr\n{head}\ndef mapper(ctx, line):\n{body}"
        "    ctx.emit(line, 1)\n\n"
        f"job = pymr.Job(mapper=mapper, reducer={reducer}, input=pymr.LINES)\n"
    )


def logs(cli: CommandLine) -> dict[str, str]:
    """Return the text of each log file."""
    found = sorted((run_folder(cli) / "logs").glob("*"))
    return {path.name: path.read_text() for path in found}


def test_f77_what_is_printed_stands_with_its_attempt(cli: CommandLine) -> None:
    """By Python, by a child and past Python's buffers; what an import prints is the process's."""
    mapper = (
        "print('line', line)\n"
        "os.write(1, b'written\\n')\n"
        "subprocess.run(['echo', 'by a child'], check=True)\n"
        "print('warned', file=sys.stderr)\n"
        "print('no line end', end='')\n"
    )
    reducer = "def reducer(ctx, key, values):\n    print('key', key)\n    ctx.emit(key, 1)\n"

    outcome = cli.start(
        "--input=in.txt",
        worker=worker(mapper, head=f"print('imported')\n{reducer}", reducer="reducer"),
        environ={"PYTHONUNBUFFERED": ""},
    )

    assert outcome.succeeded("pymr logs ") == ["1\t1", "2\t1", "3\t1"]
    assert "imported" not in outcome.stdout + outcome.stderr
    said = "".join(f"line {n}\nwritten\nby a child\nwarned\nno line end" for n in (1, 2, 3))
    assert logs(cli) == {
        "map-00000-1.log": said,
        "reduce-00000-1.log": "key 1\nkey 2\nkey 3\n",
        "worker-1-1.log": "imported\n",
    }
    shown = cli.run("logs", "out")
    assert shown.stdout == (
        "── worker-1, outside of attempts ──\nimported\n"
        f"── map-0000 attempt 1 ──\n{said}\n"
        "── reduce-0000 attempt 1 ──\nkey 1\nkey 2\nkey 3\n"
    )
    assert cli.run("logs", "out", "reduce-0000").stdout == "key 1\nkey 2\nkey 3\n"
    rows = [json.loads(row) for row in cli.run("logs", "out", "--json").stdout.splitlines()]
    assert [(row["worker"], row["task"], row["attempt"]) for row in rows] == [
        ("worker-1", None, None),
        (None, "map-0000", 1),
        (None, "reduce-0000", 1),
    ]
    assert rows[1]["text"] == said


def test_f77_nothing_printed_leaves_nothing(cli: CommandLine) -> None:
    """No folder, no word."""
    outcome = cli.start("--input=in.txt", worker=worker("pass"))

    outcome.succeeded()
    assert "printed" not in outcome.stderr
    assert not (run_folder(cli) / "logs").exists()
    assert cli.run("logs", "out").stderr.endswith(": nothing was printed\n")
    of_attempt = cli.run("logs", "out", "map-0", "--attempt=1")
    assert of_attempt.code == 0
    assert of_attempt.stderr.endswith(": nothing was printed in map-0\n")


@pytest.mark.parametrize("flags", [(), ("--json",), ("--follow",)])
def test_what_a_run_does_not_have_has_no_logs(cli: CommandLine, flags: tuple[str, ...]) -> None:
    """Tasks and attempts that there are are named: nothing printed would be another thing."""
    assert cli.start("--input=in.txt", worker=worker("print(line)")).code == 0

    for task in ("map-9999", "reduce-1", "mop"):
        outcome = cli.run("logs", "out", task, *flags)
        assert (outcome.code, outcome.stdout) == (2, "")
        there = "expected map-0000 or reduce-0000"
        assert f"no task `{task}`, {there}\n  hint: pymr logs " in outcome.stderr
    if "--follow" not in flags:  # It may still come.
        for of in (("map-0",), ()):
            outcome = cli.run("logs", "out", *of, "--attempt=2", *flags)
            assert outcome.code == 2
            assert "no attempt 2 of " in outcome.stderr
            assert "expected one of 1\n" in outcome.stderr


def test_f77_prints_without_end_fill_no_disk_and_stop_nobody(cli: CommandLine) -> None:
    """200 MB: the first MiB and the last are kept, what is between is counted."""
    size = 200 * MB
    mapper = (
        "if line == '2':\n"
        "    print('begin')\n"
        f"    for _ in range({size // MB}):\n        print('x' * 99 + '\\n', end='', flush=False)\n"
        f"        os.write(2, (b'y' * 99 + b'\\n') * {MB // 100 - 1})\n"
        "    print('end')\n"
    )

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    outcome.succeeded("printed: 200 MB, 198 MB of it left out; pymr logs ")
    [(name, text)] = logs(cli).items()
    assert name == "map-00000-1.log"
    head, _, tail = text.partition("\n… ")
    assert len(head) == HEAD_BYTES_MAX
    assert head.startswith("begin\nxxx")
    left_out, _, tail = tail.partition(" bytes left out …\n")
    kept = len(head) + len(tail)
    assert 0 <= size + len("begin\nend\n") - kept - int(left_out.replace(",", "")) <= 100
    assert TAIL_BYTES_MAX - 100 <= len(tail) <= TAIL_BYTES_MAX + (1 << 16)
    assert tail.startswith(("x" * 99, "y" * 99))
    assert tail.endswith("yyy\nend\n")


def test_f77_a_failure_shows_what_was_printed_last(cli: CommandLine) -> None:
    """Forty lines of it, escaped, before the error; and so does `pymr errors`."""
    mapper = "for n in range(50):\n    print(f'\\x1b[31m{n}')\nraise ValueError(line)\n"

    outcome = cli.start("--input=in.txt", "--name=loud", worker=worker(mapper))

    assert outcome.code == 1
    said = outcome.stderr.partition("last printed, of what pymr logs loud shows:\n")[2].splitlines()
    assert said[:40] == [f"  \\x1b[31m{n}" for n in range(10, 50)]
    assert said[40].startswith("✗ loud failed: mapper raised ValueError in map-0000")
    assert len(said[40:]) <= 15
    assert "  \\x1b[31m49\n✗ mapper raised" in cli.run("errors", "loud").stdout
    assert list(logs(cli)) == ["map-00000-1.log", "map-00000-2.log"]


def test_f77_an_import_that_fails_shows_what_it_printed(cli: CommandLine) -> None:
    """There is no run yet, and no log."""
    outcome = cli.start("--input=in.txt", worker="print('so far')\n1 / 0\n")

    said = outcome.refused(2, "ZeroDivisionError")
    assert said.startswith("last printed:\n  so far\n✗ ")


def test_f77_prints_are_records_of_a_run(cli: CommandLine) -> None:
    """They stay as long as journal and history do: over a resume, too."""
    fails = worker("print('try', line)\nif line == '3':\n    raise ValueError")
    assert cli.start("--input=in.txt", "--name=loud", worker=fails).code == 1
    cli.write("worker.py", worker("print('again', line)"))

    assert cli.run("resume", "loud").code == 0

    names = ["map-00000-1.log", "map-00000-1001.log", "map-00000-2.log"]
    assert list(logs(cli)) == names
    assert cli.run("gc", "out").stderr == "nothing to remove\n"
    shown = cli.run("logs", "loud", "map-0000", "--attempt=1001").stdout
    assert shown == "again 1\nagain 2\nagain 3\n"
    assert cli.start("--input=in.txt", "--overwrite", worker=worker("pass")).code == 0
    assert not (run_folder(cli) / "logs").exists(), "they go with the run"


def test_f77_what_is_printed_can_be_followed(cli: CommandLine) -> None:
    """While the attempt runs; and the end of the run is its end."""
    os.mkfifo(cli.folder / "gate")
    mapper = "print('at', line)\nif line == '2':\n    open('gate').read()\n"
    cli.write("worker.py", worker(mapper))
    run = ("start", "--quiet", "--input=in.txt", "--output=out", "worker.py")
    popen = partial(subprocess.Popen, cwd=cli.folder, env=cli.environ, text=True)
    with popen([PYMR, *run]) as started:
        try:
            opened = (cli.folder / "gate").open("w")  # The mapper is there.
            with popen([PYMR, "logs", "out", "--follow"], stdout=subprocess.PIPE) as followed:
                assert followed.stdout is not None
                first = [next(followed.stdout) for _ in range(3)]
                opened.close()
                rest, _ = followed.communicate(timeout=30)
            assert started.wait(30) == 0
        finally:
            started.kill()

    assert first == ["── map-0000 attempt 1 ──\n", "at 1\n", "at 2\n"]
    assert rest == "at 3\n"


def test_f77_prints_of_a_cancelled_run_go_with_its_records(cli: CommandLine) -> None:
    """Not with `pymr cancel`, which gives up what it has kept; with `pymr gc`."""
    fails = worker("print('try', line)\nraise ValueError")
    assert cli.start("--input=in.txt", "--name=loud", worker=fails).code == 1

    assert cli.run("cancel", "loud").code == 0
    assert list(logs(cli)) == ["map-00000-1.log", "map-00000-2.log"]
    assert cli.run("gc", "out", "--yes").code == 0
    assert cli.run("logs", "loud").stderr == "loud: its logs are gone\n"


def test_f77_a_child_that_prints_on_is_no_hindrance(cli: CommandLine) -> None:
    """It has the pipe, and is ended with its process."""
    mapper = "if line == '1':\n    subprocess.Popen(['yes'])\n"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    assert outcome.succeeded() == ["1\t1", "2\t1", "3\t1"]
    assert processes_of(cli) == []


def test_f77_ten_gigabytes_are_only_counted(cli: CommandLine) -> None:
    """By a child, in blocks of one megabyte: some seconds, no memory, two MiB on the disk."""
    cli.write("in.txt", "1\n")
    blocks = "import os\nblock = b'z' * 1_000_000\nfor _ in range(10_000):\n    os.write(1, block)"
    mapper = f"subprocess.run([sys.executable, '-c', {blocks!r}], check=True)\n"

    outcome = cli.start("--input=in.txt", worker=worker(mapper))

    outcome.succeeded("printed: 10 GB, 10 GB of it left out")
    [log] = (run_folder(cli) / "logs").iterdir()
    assert log.stat().st_size < HEAD_BYTES_MAX + TAIL_BYTES_MAX + (1 << 17)
