"""Bad records by choice: left out, told, counted, and limited (F70, F71, B48 to B50)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import CommandLine, Outcome
from pymr.failpoint import VARIABLE
from pymr.store.local import LocalStore
from pymr.task.commit import verify_output

WORKER = """\
import json
import pymr

def mapper(ctx, line):
    ctx.count("calls")
    ctx.emit("early", 1)
    row = json.loads(line)
    ctx.emit(row["user"], row["n"])

job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
"""
TEXT_WORKER = """\
import json
import pymr

def mapper(ctx, chunk):
    for line in chunk.splitlines():
        ctx.emit("early", 1)
        row = json.loads(line)
        ctx.emit(row["user"], row["n"])

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""
SETTINGS = ("--mappers=3", "--reducers=2", "--name=users", "--input=in.jsonl")
BROKEN = {17: '{"user": "u1", "n":', 40: '{"user": "u2"}', 399: "\t"}


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def row(n: int) -> str:
    return json.dumps({"user": f"u{n % 5}", "n": n})


def lines(broken: dict[int, str] = BROKEN, count: int = 400) -> list[str]:
    return [broken.get(n, row(n)) for n in range(count)]


def start(
    cli: CommandLine, rows: list[str], *arguments: str, worker: str = WORKER, output: str = "out"
) -> Outcome:
    cli.write("in.jsonl", "".join(f"{line}\n" for line in rows))
    cli.write("worker.py", worker)
    settings = (f"--output={output}", "--workers=2", *SETTINGS)
    return cli.run("start", *settings, *arguments, "worker.py")


def manifest(cli: CommandLine) -> dict[str, Any]:
    return dict(json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_bytes()))


def bad_rows(cli: CommandLine) -> list[dict[str, Any]]:
    return [json.loads(line) for path in bad_files(cli) for line in path.read_bytes().splitlines()]


def bad_files(cli: CommandLine) -> list[Path]:
    return sorted((cli.folder / "out/_bad").iterdir())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a run to which nothing happens but its bad records."""
    cli = CommandLine(tmp_path_factory.mktemp("undisturbed"))
    return start(cli, lines(), "--skip-bad-records=3").succeeded()


# -- F70: an exception on one record ------------------------------------------------------------


def test_f70_one_record_fails_the_run_by_default(cli: CommandLine) -> None:
    """The second time the same record raises the same is enough; the record is named."""
    said = start(cli, lines({17: "{"})).refused(
        1, "mapper raised JSONDecodeError", "in.jsonl  line 18 (byte ", ':  "{"', "worker.py:7"
    )

    assert said.count("failed") <= 2
    assert "hint: fix worker.py:7" in said
    assert not (cli.folder / "out/_bad").exists()


@pytest.mark.parametrize("worker", [WORKER, TEXT_WORKER], ids=["lines", "text"])
def test_f70_b48_broken_records_are_left_out_if_that_is_allowed(
    cli: CommandLine, worker: str
) -> None:
    """The result is that of the input without those lines, and a warning says how many."""
    good = [line for n, line in enumerate(lines()) if n not in BROKEN]
    expected = start(cli, good, worker=worker, output="good").rows("good")

    outcome = start(cli, lines(), "--skip-bad-records=3", worker=worker)

    rows = outcome.succeeded("WARNING 3 records skipped", "pymr errors users")
    assert rows == expected
    assert "tried again" not in outcome.stderr
    found = [(each["line"], each["text"], each["error"]) for each in bad_rows(cli)]
    assert found == [
        (18, BROKEN[17], "JSONDecodeError"),
        (41, BROKEN[40], "KeyError"),
        (400, BROKEN[399], "JSONDecodeError"),
    ]


def test_f70_bad_records_stand_in_the_manifest_and_the_books(cli: CommandLine) -> None:
    """Count, per file, and the objects with their digests; the books balance with them."""
    start(cli, lines(), "--skip-bad-records=3").succeeded()

    told = manifest(cli)

    assert told["bad_records"]["count"] == 3
    assert sum(file["records"] for file in told["bad_records"]["files"]) == 3
    assert [each["bad_records"] for each in told["inputs"]] == [3]
    books = told["ledger"]
    assert (books["records_in"], books["map_calls"], books["bad_records"]) == (400, 397, 3)
    assert told["counters"] == {"calls": 397}, "what a failing call counted does not count"
    cli.run("verify", "out").succeeded()
    assert "397 records mapped + 3 bad = 400 read" in cli.run("audit", "out").stdout
    assert "bad     3 records left out" in cli.run("show", "out").stdout


def test_f70_errors_lists_bad_records_by_what_they_raise(cli: CommandLine) -> None:
    """Grouped, with examples; as JSON one by one."""
    start(cli, lines(), "--skip-bad-records=3").succeeded()

    said = cli.run("errors", "out").stdout
    short = cli.run("errors", "out", "--limit=1").stdout
    rows = [json.loads(line) for line in cli.run("errors", "out", "--json").stdout.splitlines()]

    assert "3 bad records left out of the result" in said
    assert "2 records  JSONDecodeError in " in said
    assert "1 record  KeyError in worker.py:8" in said
    assert "in.jsonl  line 41 (byte " in said
    assert "KeyError 'n'" in said
    assert "pymr replay users" in said
    assert "attempt 1" not in said, "what found them is no failure of its own"
    assert "… 1 more record: --limit 10" in short
    kinds = [each["kind"] for each in rows]
    assert kinds.count("BadRecord") == 3
    assert kinds.count("AttemptFailed") == len({each["task"] for each in bad_rows(cli)})


def test_f70_events_tell_of_bad_records(cli: CommandLine) -> None:
    """Whoever reads the JSON of a run learns it there."""
    outcome = start(cli, lines(), "--skip-bad-records=3", "--json")

    events = [json.loads(line) for line in outcome.stdout.splitlines()]

    failed = [each for each in events if each["kind"] == "AttemptFailed"]
    assert failed
    assert all(each["will_scan"] for each in failed)
    receipts = [each["receipt"] for each in events if each["kind"] == "TaskCommitted"]
    assert sum(receipt["bad_records"] for receipt in receipts) == 3
    assert {bool(r["bad_object"]) == bool(r["bad_records"]) for r in receipts} == {True}


def test_f70_a_map_only_job_leaves_bad_records_out(cli: CommandLine) -> None:
    """Its parts are what the mapper emitted for the good ones, in order."""
    worker = WORKER.replace("reducer=pymr.SUM", "reducer=None")
    good = [line for n, line in enumerate(lines()) if n not in BROKEN]
    expected = start(cli, good, worker=worker, output="good").rows("good")

    assert start(cli, lines(), "--skip-bad-records=3", worker=worker).succeeded() == expected
    cli.run("verify", "out").succeeded()


def test_f70_with_sort_bad_records_of_the_sample_are_borne(cli: CommandLine) -> None:
    """The sample is mapped before anything may be left out."""
    rows = start(cli, lines(), "--skip-bad-records=3", "--sort").succeeded("WARNING 3 records")

    assert rows == sorted(rows)


def test_f70_a_reducer_that_raises_still_fails_the_run(cli: CommandLine) -> None:
    """A group is not a record: leaving it out would lose values of good records."""
    worker = WORKER.replace(
        "job =", "def reducer(ctx, key, values):\n    raise KeyError(key)\n\njob ="
    ).replace("pymr.SUM", "reducer")

    start(cli, lines(), "--skip-bad-records=3", worker=worker).refused(1, "reducer raised KeyError")


def test_f70_a_failed_run_goes_on_without_the_bad_records(cli: CommandLine) -> None:
    """It can be decided afterwards: what is finished is kept."""
    start(cli, lines()).refused(1, "mapper raised")

    outcome = cli.run("resume", "out", "--skip-bad-records=3")

    outcome.succeeded("WARNING 3 records skipped")
    cli.run("verify", "out").succeeded()


def test_f70_an_overwritten_result_takes_its_bad_records_along(cli: CommandLine) -> None:
    """What is shown is of one run."""
    start(cli, lines(), "--skip-bad-records=3").succeeded()

    start(cli, lines({}), "--skip-bad-records=3", "--overwrite").succeeded()

    assert not (cli.folder / "out/_bad").exists()
    assert manifest(cli)["bad_records"] is None
    assert "nothing failed" in cli.run("errors", "out").stderr


@pytest.mark.parametrize(
    ("point", "times"),
    [("object.linked", 4), ("attempt.manifest", 3), ("commit.decide", 3), ("publish.part", 3)],
)
def test_f58_f70_a_run_with_bad_records_that_is_killed_goes_on(
    cli: CommandLine, undisturbed: list[str], point: str, times: int
) -> None:
    """Between the objects of an attempt, before it counts, and among the files of `_bad/`."""
    token = cli.folder / "token"
    cli.environ[VARIABLE] = f"{point} kill {times} {token}"
    start(cli, lines(), "--skip-bad-records=3")
    assert token.exists(), f"{point} was not reached"
    del cli.environ[VARIABLE]

    resumed = cli.run("resume", "users")

    assert resumed.succeeded() == undisturbed
    assert [each["line"] for each in bad_rows(cli)] == [18, 41, 400]
    assert verify_output(LocalStore(str(cli.folder / "out"))) == []
    names = [path.name.rpartition("-")[0] for path in cli.folder.glob("out/_pymr/*/*-*-*-*")]
    assert len(names) == len(set(names)) == 3 + len(bad_files(cli)) + 2, names


# -- F71: an exception on every record ----------------------------------------------------------


def test_f71_a_mapper_that_always_raises_fails_at_once(cli: CommandLine) -> None:
    """The run ends with the share that failed, exit 1, and shows what it has seen."""
    rows = ['{"user": "u"}'] * 512

    start(cli, rows, "--skip-bad-records=10", "--mappers=1").refused(
        1, "100 % of 512 records failed: KeyError 'n'", "--skip-bad-records"
    )

    said = cli.run("errors", "out").stdout
    assert "bad records seen so far" in said
    assert "KeyError in worker.py:8" in said


def test_f71_the_ratio_stops_a_run_that_may_skip_many(cli: CommandLine) -> None:
    """All of it was read: the share is that of the input, and what is finished is kept."""
    broken = dict.fromkeys(range(0, 400, 20), "{")

    said = start(cli, lines(broken), "--skip-bad-records=1000").refused(
        1, "5 % of 400 records failed: JSONDecodeError", "at most 1 % (--max-skip-ratio)"
    )

    assert "after a fix   pymr resume users, or with --max-skip-ratio 5%" in said
    assert "20 bad records seen so far" in cli.run("errors", "out").stdout
    cli.run("resume", "out", "--max-skip-ratio=5%").succeeded("WARNING 20 records skipped")


def test_f71_nothing_but_bad_records_is_no_result(cli: CommandLine) -> None:
    """However few, and whatever the ratio: the mapper is wrong."""
    start(cli, ["{"] * 3, "--skip-bad-records=10", "--max-skip-ratio=100%").refused(
        1, "100 % of 3 records failed: JSONDecodeError"
    )


def test_f71_a_small_input_bears_a_bad_line(cli: CommandLine) -> None:
    """One of five lines is 20 %, and still one line."""
    start(cli, [*(row(n) for n in range(4)), "{"], "--skip-bad-records=1").succeeded(
        "WARNING 1 record skipped"
    )


# -- B49, B50: what a JSON parser of the user refuses -------------------------------------------


def test_b49_json_that_nests_too_deeply_is_a_bad_record(cli: CommandLine) -> None:
    """A RecursionError is the record's fault, and its traceback stays short."""
    deep = "[" * 100_000
    start(cli, lines({3: deep}), "--skip-bad-records=1").succeeded("WARNING 1 record skipped")

    [bad] = bad_rows(cli)

    assert (bad["error"], bad["line"], bad["size"]) == ("RecursionError", 4, 100_000)
    assert len(bad["traceback"]) < 10


def test_b50_json_that_a_strict_mapper_refuses_is_a_bad_record(cli: CommandLine) -> None:
    """NaN and duplicate keys, where the mapper says so."""
    strict = WORKER.replace(
        "json.loads(line)", "json.loads(line, parse_constant=refuse, object_pairs_hook=once)"
    ).replace(
        "def mapper",
        "def refuse(name):\n    raise ValueError(f'{name} is no JSON')\n\n"
        "def once(pairs):\n    if len(dict(pairs)) < len(pairs):\n"
        "        raise ValueError('a key comes twice')\n    return dict(pairs)\n\ndef mapper",
    )
    broken = {5: '{"user": "u", "n": NaN}', 9: '{"user": "u", "user": "v", "n": 1}'}

    start(cli, lines(broken), "--skip-bad-records=2", worker=strict).succeeded()

    assert [each["message"] for each in bad_rows(cli)] == ["NaN is no JSON", "a key comes twice"]
