"""`pymr replay`: the same bytes as if no record had ever failed, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import PYMR, CommandLine, Outcome
from pymr.failpoint import VARIABLE
from pymr.store.local import LocalStore
from pymr.task.commit import verify_output
from staged_run import read
from stopped_run import manifest, objects, processes_of, run_folder

# Notes its calls; positions and a combiner make it matter which calls a task makes.
WORKER = """\
import pymr

def mapper(ctx, line):
    with open("calls", "a") as calls:
        calls.write(f"map {ctx.input.offset}\\n")
    ctx.count("lines")
    user, number = line.split(",")
    ctx.emit("early", 1)
    ctx.emit(user, int(number))
    ctx.emit(f"at {ctx.input.offset % 5}", 1)

def combiner(ctx, key, values):
    ctx.emit(key, sum(values))

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, combiner=combiner, reducer=reducer, input=pymr.LINES)
"""
FIXED = WORKER.replace("int(number)", "int(number.replace('n/a', '7'))")
SETTINGS = ("--name=users", "--mappers=4", "--reducers=2", "--workers=1", "--spill=400")
BAD = (5, 6, 95)  # of a hundred lines: in the first and in the last of four tasks
TEXT = "".join(f"u{n % 7},{'n/a' if n in BAD else n}\n" for n in range(100))


class Quiet(NamedTuple):
    """What an undisturbed run leaves."""

    rows: list[str]
    told: dict[str, Any]


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def start(cli: CommandLine, *arguments: str, worker: str = WORKER, output: str = "out") -> Outcome:
    cli.write("in.txt", TEXT)
    cli.write("worker.py", worker)
    settings = (f"--output={output}", "--input=in.txt", *SETTINGS)
    return cli.run("start", *settings, *arguments, "worker.py")


def skipped(cli: CommandLine, *arguments: str, **prepared: str) -> list[str]:
    """Run the job with its bad records left out; then fix it."""
    rows = start(cli, "--skip-bad-records=5", *arguments, **prepared).succeeded("WARNING 3 records")
    cli.write("worker.py", FIXED)
    calls(cli)
    return rows


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    """A run of the fixed job, to which nothing happens."""
    cli = CommandLine(tmp_path_factory.mktemp("quiet"))
    rows = start(cli, worker=FIXED).succeeded()
    return Quiet(rows, told(cli))


def calls(cli: CommandLine) -> list[str]:
    """Return the calls of the mapper since the last time, and forget them."""
    path = cli.folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def told(cli: CommandLine) -> dict[str, Any]:
    """Return what the manifest says about rows and books."""
    fields = manifest(cli)
    parts = [(part["records"], part["sha256"]) for part in fields["parts"]]
    return {"parts": parts, **{name: fields[name] for name in ("ledger", "counters", "columns")}}


def test_f70_a_replay_gives_what_an_undisturbed_run_gives(cli: CommandLine, quiet: Quiet) -> None:
    """Parts, books and counters; only the two tasks that had left records out are mapped again."""
    rows = skipped(cli)
    assert len(objects(cli)) == 4 + 2 + 2 + 2, "map outputs, bad records, parts, journal, events"

    outcome = cli.run("replay", "users")

    lines = calls(cli)
    assert outcome.succeeded("users is replayed: 2 of 4 map tasks are finished and kept") != rows
    assert "WARNING" not in outcome.stderr
    assert 40 < len(lines) < 60
    assert outcome.rows() == quiet.rows
    assert told(cli) == quiet.told
    assert manifest(cli)["bad_records"] is None
    assert manifest(cli)["run"] == run_folder(cli).name
    assert not (cli.folder / "out/_bad").exists()
    assert objects(cli) == ["events.jsonl", "journal", "reduce-00000-1001", "reduce-00001-1001"]
    cli.run("verify", "out").succeeded()
    assert "nothing failed" in cli.run("errors", "users").stderr


def test_f70_a_map_only_job_is_replayed(cli: CommandLine) -> None:
    """Its parts are the objects of map tasks: those without bad records stay."""
    worker = WORKER.replace("combiner=combiner, reducer=reducer", "reducer=None")
    start(cli, "--skip-bad-records=5", worker=worker).succeeded("WARNING 3 records")
    fixed = worker.replace("int(number)", "int(number.replace('n/a', '7'))")
    cli.write("worker.py", fixed)

    rows = cli.run("replay", "users").succeeded()

    start(cli, worker=fixed, output="quiet").succeeded()
    assert rows == Outcome(0, "", "", cli.folder).rows("quiet")
    numbers = [name.rpartition("-")[2] for name in objects(cli) if name.startswith("map-")]
    assert sorted(numbers) == ["1", "1", "1001", "1001"]
    cli.run("verify", "out").succeeded()


def test_f70_what_is_still_bad_stays_in_its_place(cli: CommandLine, quiet: Quiet) -> None:
    """A fix may cure some records only; the next one is replayed from there."""
    skipped(cli)
    cli.write("worker.py", WORKER.replace("int(number)", "7 if line == 'u5,n/a' else int(number)"))

    cli.run("replay", "users").succeeded("WARNING 2 records skipped")

    assert sorted(path.name for path in (cli.folder / "out/_bad").iterdir()) == [
        "map-00000.jsonl",
        "map-00003.jsonl",
    ]
    cli.run("verify", "out").succeeded()
    assert len([name for name in objects(cli) if name.startswith("map-")]) == 4
    cli.write("worker.py", FIXED)
    cli.run("replay", "users").succeeded("2 of 4 map tasks")
    assert Outcome(0, "", "", cli.folder).rows() == quiet.rows


def test_f70_a_replay_that_fails_leaves_the_result(cli: CommandLine, quiet: Quiet) -> None:
    """Fewer may be left out than before: the old result stands, and a fix is replayed."""
    rows = skipped(cli)
    cli.write("worker.py", WORKER)

    failed = cli.run("replay", "users", "--skip-bad-records=0")

    assert failed.code == 1
    assert "the result is as it was before" in failed.stderr
    assert "pymr replay users" in failed.stderr
    assert failed.rows() == rows
    cli.run("verify", "out").succeeded()
    assert "3 bad records left out of the result" in cli.run("errors", "users").stdout
    assert "pymr replay users   tries its bad records" in cli.run("resume", "users").stderr
    cli.run("replay", "users").succeeded("WARNING 3 records skipped")
    cli.write("worker.py", FIXED)
    cli.run("replay", "users").succeeded()
    assert Outcome(0, "", "", cli.folder).rows() == quiet.rows


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("journal.append", 1),
        ("journal.append", 5),
        ("resume.keep", 2),
        ("run.tidy", 1),
        ("map.record", 40),
        ("attempt.manifest", 2),
        ("commit.decide", 2),
        ("reduce.group", 3),
        ("publish.manifest", 1),
        ("publish.visible", 1),
        ("publish.part", 2),
        ("publish.remove", 1),
    ],
)
def test_f58_f70_a_replay_that_is_killed_is_gone_on_with(
    cli: CommandLine, quiet: Quiet, point: str, times: int
) -> None:
    """Readers of the manifest see the old result or the new; the next replay comes to the end."""
    rows = skipped(cli)
    token = cli.folder / "token"

    broken = cli.run("replay", "users", environ={VARIABLE: f"{point} kill {times} {token}"})

    assert token.exists(), f"{point} was not reached\n{broken.stderr}"
    is_of_task = broken.code == 0  # Another process has taken its place.
    assert broken.code in (0, -signal.SIGKILL), broken.stderr
    store = LocalStore(str(cli.folder / "out"))
    seen = b"".join(read(store) or []).decode().split("\n")[:-1]
    assert seen in ([quiet.rows] if is_of_task else [rows, quiet.rows])
    again = cli.run("replay", "users")
    assert again.succeeded() == quiet.rows
    assert told(cli) == quiet.told
    numbers = {name.rpartition("-")[2] for name in objects(cli) if name.startswith("reduce")}
    assert numbers <= {"1001", "1002", "2001"}
    assert [name for name in objects(cli) if name.startswith(("map", "bad", "."))] == []
    assert not (cli.folder / "out/_bad").exists()
    assert verify_output(store) == []
    assert processes_of(cli) == []


def test_f70_a_replay_that_is_cancelled_leaves_the_result(cli: CommandLine, quiet: Quiet) -> None:
    """What is given up is the replay; its mark is gone, so that there may be another."""
    rows = skipped(cli)
    os.mkfifo(cli.folder / "gate")
    cli.write("worker.py", FIXED.replace("    user,", "    open('gate').close()\n    user,", 1))
    command = [PYMR, "replay", "users", "--quiet"]
    with subprocess.Popen(command, cwd=cli.folder, env=cli.environ) as replaying:
        try:
            (cli.folder / "gate").open("w").close()  # The first record is mapped, the next waits.

            cancelled = cli.run("cancel", "users")

            assert replaying.wait(timeout=30) == 143
        finally:
            replaying.kill()
    assert cancelled.succeeded("✓ users is stopped; its result is as it was before") == rows
    cli.run("verify", "out").succeeded()
    cli.write("worker.py", FIXED)
    assert cli.run("replay", "users").succeeded() == quiet.rows
    assert cli.run("cancel", "users").code == 4


def test_f70_a_result_without_bad_records_is_left_alone(cli: CommandLine) -> None:
    """There is nothing to try again; that is said, and no error."""
    rows = start(cli, worker=FIXED).succeeded()
    calls(cli)

    outcome = cli.run("replay", "users")

    assert outcome.succeeded("users has no bad records") == rows
    assert calls(cli) == []


def test_f70_a_run_that_is_not_done_is_resumed_first(cli: CommandLine) -> None:
    """It has no result that could be mended."""
    start(cli).refused(1, "mapper raised ValueError")

    cli.run("replay", "users").refused(4, "has no result", "pymr resume users")


def test_f70_inputs_that_changed_are_refused(cli: CommandLine) -> None:
    """The kept map outputs are of the input as it was."""
    rows = skipped(cli)
    cli.write("in.txt", TEXT[:-1])

    outcome = cli.run("replay", "users")

    assert outcome.code == 3
    assert "1 input changed since the run was planned: `in.txt`" in outcome.stderr
    assert "pymr start --overwrite" in outcome.stderr
    assert outcome.rows() == rows


def test_f70_another_job_is_refused(cli: CommandLine) -> None:
    """Map outputs have a meaning for a job of this shape only."""
    skipped(cli)
    cli.write("worker.py", FIXED.replace("combiner=combiner, ", ""))

    outcome = cli.run("replay", "users")

    assert outcome.code == 2
    assert "the job has changed: its " in outcome.stderr


def test_f70_what_a_replay_needs_is_removed_on_request_only(cli: CommandLine, quiet: Quiet) -> None:
    """Then it does all map tasks again, and comes to the same."""
    skipped(cli)
    before = objects(cli)

    assert cli.run("gc", "users", "--yes").stderr == "nothing to remove\n"
    assert objects(cli) == before
    dropped = cli.run("gc", "users", "--drop-replay", "--yes")

    assert "removed 4 files" in dropped.stderr
    cli.run("verify", "out").succeeded()
    assert cli.run("replay", "users").succeeded() == quiet.rows


def test_f70_a_lost_map_output_is_written_again(cli: CommandLine, quiet: Quiet) -> None:
    """As in any life of a run."""
    skipped(cli)
    lost = next(run_folder(cli).glob("map-00001-*"))
    lost.unlink()

    outcome = cli.run("replay", "users")

    assert "map-0001 is run again" in outcome.stderr
    assert outcome.succeeded() == quiet.rows


def test_f70_standard_input_is_kept_for_a_replay(cli: CommandLine, quiet: Quiet) -> None:
    """It could be read only once; its copy goes when no record is bad any more."""
    cli.write("worker.py", WORKER)
    settings = ("--input=-", "--output=out", "--skip-bad-records=5", *SETTINGS)
    environ = {"TMPDIR": str(cli.folder / "tmp")}
    (cli.folder / "tmp").mkdir()
    cli.run("start", *settings, "worker.py", stdin=TEXT.encode(), environ=environ).succeeded()
    cli.run("gc", "users", "--yes").succeeded()
    assert len(list((cli.folder / "tmp").iterdir())) == 1
    cli.write("worker.py", FIXED)

    rows = cli.run("replay", "users").succeeded()

    assert rows == quiet.rows
    assert list((cli.folder / "tmp").iterdir()) == []


def test_f70_the_library_replays_functions_that_travelled_by_value(cli: CommandLine) -> None:
    """The job as it is now is handed in; bad records are read from the result."""
    cli.write("in.txt", TEXT)
    program = """
import pymr

def mapper(ctx, line):
    user, number = line.split(",")
    ctx.emit(user, int(number))

def fixed(ctx, line):
    user, number = line.split(",")
    ctx.emit(user, int(number.replace("n/a", "7")))

def job(mapper):
    return pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)

result = pymr.run(
    job(mapper), input="in.txt", output="lib", skip_bad_records=5, max_skip_ratio=0.5
)
for bad in result.bad_records:
    print(bad.file, bad.line, bad.data, bad.told, bad.traceback[-1]["function"])
print(result.manifest.bad_records.count)
again = pymr.replay("lib", job=job(fixed))
whole = pymr.run(job(fixed), input="in.txt", output="whole")
print(again.bad_records, list(again) == list(whole))
"""
    said = cli.python(program).splitlines()

    message = "ValueError invalid literal for int() with base 10: 'n/a' mapper"
    assert said[0] == f"in.txt 6 u5,n/a {message}"
    assert said[3:] == ["3", "[] True"]


def test_f70_a_result_that_was_replaced_is_not_replayed(cli: CommandLine) -> None:
    """The name finds the newest run; by its id, the old one has no result there any more."""
    skipped(cli)
    old = run_folder(cli).name
    start(cli, "--overwrite", worker=FIXED).succeeded()

    outcome = cli.run("replay", old)

    assert outcome.code == 4
    assert (
        json.loads(cli.run("replay", old, "--json").stdout)["error"]["type"] == "RunNotFoundError"
    )
