"""`pymr debug`: the call that failed is made again here, with what it was made with."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from cli import PYMR, CommandLine, Outcome

SALES = "ada,3\nbob,n/a\nada,4\n"
TOTALS = """\
import pymr

def parse(text):
    return int(text)

def mapper(ctx, line):
    user, amount = line.split(",")
    ctx.emit(user, 0)
    ctx.emit(user, parse(amount))

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    made = CommandLine(tmp_path)
    made.write("in.txt", SALES)
    return made


def fails(cli: CommandLine, worker: str, *flags: str) -> CommandLine:
    """Start a run that fails, into `out`."""
    started = cli.start("--input=in.txt", "--name=bad", *flags, worker=worker)
    assert started.code == 1, started.stderr
    return cli


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def emitted(outcome: Outcome) -> list[str]:
    """Return the pairs that were shown."""
    lines = outcome.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if "emitted " in line)
    return [line.strip() for line in lines[start + 1 :] if line.startswith("    ")]


def fed(outcome: Outcome) -> str:
    """Return what the function was called with."""
    return next(
        line.removeprefix("feed    ") for line in outcome.stdout.splitlines() if "feed  " in line
    )


# -- a record ----------------------------------------------------------------------------------


def test_the_record_that_failed_is_mapped_alone(cli: CommandLine) -> None:
    """What it emits before, the user's traceback without a frame of ours, the place; exit 1."""
    fails(cli, TOTALS)
    before = tree(cli.folder)

    outcome = cli.run("debug", "bad")

    assert outcome.code == 1
    assert fed(outcome) == 'record in.txt  line 2 (byte 6):  "bob,n/a"'
    assert emitted(outcome) == ["'bob'  0"]
    traceback = outcome.stderr.split("✗")[0]
    assert "in mapper\n" in traceback
    assert "in parse\n" in traceback
    assert "pymr/" not in traceback
    assert "✗ mapper raised ValueError" in outcome.stderr
    assert "hint: fix worker.py:4, then   pymr resume bad" in outcome.stderr
    assert tree(cli.folder) == before, "nothing is changed"
    assert list(cli.temporary.iterdir()) == []


def test_it_works_from_any_folder(cli: CommandLine) -> None:
    """The run was started with relative names; it is found by name and by output."""
    fails(cli, TOTALS)
    cli.write("else/where/readme", "")

    by_name = cli.shell(f"cd else/where && exec '{PYMR}' debug bad map-0000")
    by_output = cli.shell(f"cd else/where && exec '{PYMR}' debug ../../out 'map 0'")

    assert (by_name.code, by_output.code) == (1, 1), by_name.stderr
    assert emitted(by_name) == emitted(by_output) == ["'bob'  0"]


def test_a_fix_shows(cli: CommandLine) -> None:
    """The worker file is read as it is now; exit 0, and what to do next."""
    fails(cli, TOTALS)
    cli.write("worker.py", TOTALS.replace("int(text)", "int(text) if text.isdigit() else -1"))

    outcome = cli.run("debug", "bad")

    assert (outcome.code, outcome.stderr) == (0, "")
    assert emitted(outcome) == ["'bob'  0", "'bob'  -1"]
    assert "code    worker.py has changed since" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "✓ nothing was raised; next: pymr resume bad"


def test_json_is_one_object(cli: CommandLine) -> None:
    """With the pairs and the error, whose fields name the record; prints are on stderr."""
    prints = "    print('printed'); __import__('os').system('echo by a child')\n"
    mapper = "def mapper(ctx, line):\n"
    fails(cli, f"print('imported')\n{TOTALS.replace(mapper, mapper + prints)}")

    outcome = cli.run("debug", "bad", "--json")

    facts = json.loads(outcome.stdout)
    assert outcome.code == 1
    assert outcome.stderr.splitlines()[:3] == ["imported", "printed", "by a child"]
    assert (facts["task"], facts["emitted"]) == ("map-0000", 1)
    assert facts["pairs"] == [{"key": "'bob'", "value": "0"}]
    assert facts["error"]["fields"]["offset"] == 6
    assert facts["error"]["fields"]["error_type"] == "ValueError"


def test_a_line_of_a_chunk_is_fed_alone_if_it_failed_alone(cli: CommandLine) -> None:
    """The line with its end, as when it was found; else the whole chunk."""
    by_line = TOTALS.replace("line.split(", "line.split()[-1].split(").replace(
        "    user, amount", "    for line in line.splitlines():\n     user, amount"
    )
    by_line = by_line.replace("    ctx.emit(user", "     ctx.emit(user").replace("LINES", "TEXT")
    by_chunk = (
        "import pymr\n"
        "def mapper(ctx, chunk):\n"
        "    assert chunk.count('x') < 2, 'two of them'\n"
        "job = pymr.Job(mapper=mapper)\n"
    )

    line = fails(cli, by_line).run("debug", "bad")
    cli.write("in.txt", "x\nx\n" * 20)
    chunk = fails(cli, by_chunk, "--overwrite").run("debug", "bad")

    assert fed(line).endswith('line 2 (byte 6):  "bob,n/a"')
    assert emitted(line) == ["'bob'  0"]
    assert fed(chunk).endswith(r'line 1 (byte 0):  "x\nx"')
    assert "AssertionError: two of them" in chunk.stderr


def test_a_record_deep_in_a_compressed_file_is_found(cli: CommandLine) -> None:
    """By its offset among the decoded bytes."""
    text = "ada,1\n" * 40_000 + SALES
    cli.write("in.txt", gzip.compress(text.encode(), mtime=0))

    outcome = fails(cli, TOTALS).run("debug", "bad")

    assert fed(outcome) == f'record in.txt  line 40002 (byte {6 * 40_001}):  "bob,n/a"'
    assert emitted(outcome) == ["'bob'  0"]


def test_a_whole_file_is_fed_whole(cli: CommandLine) -> None:
    """There is no line to name."""
    worker = (
        "import pymr\n"
        "def mapper(ctx, data):\n"
        "    ctx.emit('size', len(data))\n"
        "    data.decode('ascii').index('?')\n"
        "job = pymr.Job(mapper=mapper, input=pymr.WHOLE)\n"
    )

    outcome = fails(cli, worker).run("debug", "bad")

    assert fed(outcome) == "record in.txt  (byte 0)"
    assert emitted(outcome) == [f"'size'  {len(SALES)}"]


def test_what_emit_refuses_is_refused_here_too(cli: CommandLine) -> None:
    """A list is no key; the frame is the user's."""
    worker = TOTALS.replace("ctx.emit(user, parse(amount))", "ctx.emit([user], 1)")

    outcome = fails(cli, worker).run("debug", "bad")

    assert outcome.code == 1
    assert "TypeError" in outcome.stderr
    assert "in mapper\n" in outcome.stderr


def test_sets_have_the_order_that_they_have_in_a_run(cli: CommandLine) -> None:
    """The hashes are those of a task process."""
    worker = TOTALS.replace("ctx.emit(user, 0)", "ctx.emit(user, str({'a', 'b', 'c', 'd', 'e'}))")
    fails(cli, worker)

    seeds = [emitted(cli.run("debug", "bad", environ={"PYTHONHASHSEED": seed})) for seed in "123"]

    assert seeds[0] == seeds[1] == seeds[2]


# -- the debugger and the trace ------------------------------------------------------------------


def test_pdb_opens_where_it_was_raised(cli: CommandLine) -> None:
    """In the innermost frame of the user's, with those above; then the error as usual."""
    fails(cli, TOTALS)

    outcome = cli.run("debug", "bad", "--pdb", stdin=b"p 'text is ' + text\nup\np user\nq\n")

    assert outcome.code == 1
    assert "worker.py(4)parse()" in outcome.stdout
    assert "'text is n/a'" in outcome.stdout
    assert "'bob'" in outcome.stdout.split("worker.py(9)mapper()")[1]
    assert "✗ mapper raised ValueError" in outcome.stderr


def test_pdb_opens_at_the_first_line_where_nothing_has_failed(cli: CommandLine) -> None:
    """Of the mapper, also of one that yields; leaving it is an end as by Ctrl-C."""
    cli.write("in.txt", "ada,3\n")
    worker = TOTALS.replace("ctx.emit(user, parse(amount))", "yield user, parse(amount)")
    assert cli.start("--input=in.txt", "--name=good", worker=worker).code == 0

    stepped = cli.run("debug", "good", "map-0000", "--pdb", stdin=b"p line\nn\np user\nc\n")
    left = cli.run("debug", "good", "map-0000", "--pdb", stdin=b"q\n")

    assert stepped.code == 0, stepped.stderr
    assert "worker.py(7)mapper()" in stepped.stdout
    assert "'ada,3'" in stepped.stdout
    assert emitted(stepped) == ["'ada'  0", "'ada'  3"]
    assert left.code == 130


def test_a_trace_shows_lines_and_what_they_changed(cli: CommandLine) -> None:
    """In the user's files only, up to what was raised."""
    outcome = fails(cli, TOTALS).run("debug", "bad", "--trace")

    trace = outcome.stderr.split("Traceback")[0].splitlines()
    assert trace == [
        "    line = 'bob,n/a'",
        'worker.py:7   user, amount = line.split(",")',
        "    user = 'bob', amount = 'n/a'",
        "worker.py:8   ctx.emit(user, 0)",
        "worker.py:9   ctx.emit(user, parse(amount))",
        "    text = 'n/a'",
        "worker.py:4   return int(text)",
        "    raises ValueError: invalid literal for int() with base 10: 'n/a'",
        "    raises ValueError: invalid literal for int() with base 10: 'n/a'",
    ]


def test_pdb_goes_with_nothing_else(cli: CommandLine) -> None:
    """Refused before anything is loaded."""
    for flag in ("--trace", "--json"):
        outcome = cli.run("debug", "bad", "--pdb", flag)
        assert (outcome.code, "--pdb goes" in outcome.stderr) == (2, True)


# -- a key ---------------------------------------------------------------------------------------


def test_the_key_that_failed_is_reduced_alone(cli: CommandLine) -> None:
    """From the map outputs that the failed run has kept."""
    cli.write("in.txt", "".join(f"k{number % 5},{number}\n" for number in range(50)))
    worker = TOTALS.replace(
        "    ctx.emit(key, sum(values))",
        "    for value in values:\n        ctx.emit(key, 100 // (value - 23))",
    )

    outcome = fails(cli, worker, "--mappers=4").run("debug", "bad")

    assert outcome.code == 1
    assert fed(outcome) == "key 'k3'"
    assert emitted(outcome)[:2] == ["'k3'  -5", "'k3'  -5"]
    assert "ZeroDivisionError" in outcome.stderr
    assert "in reducer\n" in outcome.stderr


def test_a_built_in_reducer_can_be_fed_too(cli: CommandLine) -> None:
    """There is no frame of the user's; the error has its hint."""
    worker = TOTALS.replace("parse(amount)", "amount").replace(
        "reducer=reducer", "reducer=pymr.SUM"
    )

    outcome = fails(cli, worker).run("debug", "bad", "reduce-0000")

    assert outcome.code == 1
    assert fed(outcome) == "key 'ada'"
    assert "pymr.SUM adds numbers, found a str" in outcome.stderr


def test_map_outputs_that_are_gone_are_told(cli: CommandLine) -> None:
    """A run that is done keeps them with --keep only; then the first group is fed."""
    worker = TOTALS.replace("int(text)", "len(text)")
    assert cli.start("--input=in.txt", "--name=gone", worker=worker).code == 0
    kept = ("--input=in.txt", "--name=kept", "--overwrite", "--keep")

    gone = cli.run("debug", "gone", "reduce-0000")
    assert cli.start(*kept, worker=worker).code == 0
    found = cli.run("debug", "kept", "reduce-0000")

    assert gone.code == 4
    assert "reduce-0000 reads 1 map output, of which 1 are not there" in gone.stderr
    assert found.code == 0, found.stderr
    assert (fed(found), emitted(found)) == ("key 'ada'", ["'ada'  2"])


# -- failures without a record ---------------------------------------------------------------------


def test_a_combiner_that_failed_is_met_in_the_whole_task(cli: CommandLine) -> None:
    """Its error names a key, and no record."""
    worker = TOTALS.replace("int(text)", "len(text)").replace(
        "reducer=reducer, ", "reducer=reducer, combiner=combiner, "
    )
    worker = worker.replace(
        "job =", "def combiner(ctx, key, values):\n    raise OSError(key)\njob ="
    )

    outcome = fails(cli, worker).run("debug", "bad")

    assert outcome.code == 1
    assert fed(outcome) == "all of its 1 split"
    assert "in combiner\n" in outcome.stderr
    assert "✗ combiner raised OSError" in outcome.stderr


def test_user_code_that_ended_its_process_ends_this_one_and_says_where(cli: CommandLine) -> None:
    """The stack of the user's is the last that is seen."""
    worker = TOTALS.replace("int(text)", "__import__('os').abort()")
    fails(cli, worker, "--attempts=1")

    outcome = cli.run("debug", "bad")

    assert outcome.code == -6
    assert "Fatal Python error: Aborted" in outcome.stderr
    assert 'worker.py", line 4 in parse' in outcome.stderr


@pytest.mark.parametrize("code", [0, 9])
def test_user_code_that_ends_its_process_unseen_is_shown(
    cli: CommandLine, tmp_path: Path, code: int
) -> None:
    """The line with `os._exit`, which a child may call; the exit code is that of a failure."""
    ending = f"__import__('os')._exit({code})"
    child = "(lambda pid: pid and os.waitpid(pid, 0) or os._exit(0))(os.fork())"
    worker = "import os\n" + TOTALS.replace("int(text)", f"{child} and {ending}")
    fails(cli, worker, "--attempts=1")

    outcome = cli.run("debug", "bad", environ={"TMPDIR": str(tmp_path)})

    assert outcome.code == 1
    assert f"SystemExit: os._exit({code})" in outcome.stderr
    assert 'worker.py", line 5, in parse' in outcome.stderr
    assert list(tmp_path.glob("pymr-debug-*")) == []


def test_a_record_that_fails_after_others_only_is_found_in_the_whole_task(cli: CommandLine) -> None:
    """Alone it does not fail, which is said; `--whole` feeds all."""
    worker = TOTALS.replace(
        "return int(text)",
        "seen.append(text); assert text != 'n/a' or len(seen) == 1; return len(text)",
    )
    worker = worker.replace("import pymr", "import pymr\nseen = []")
    fails(cli, worker)

    alone = cli.run("debug", "bad")
    whole = cli.run("debug", "bad", "--whole")

    assert alone.code == 0, alone.stderr
    assert "it failed in the run: what came before it may matter; try --whole" in alone.stdout
    assert whole.code == 1
    assert 'in.txt  line 2 (byte 6):  "bob,n/a"' in whole.stderr


# -- what cannot be debugged -----------------------------------------------------------------------


def test_a_task_without_a_failure_is_fed_its_first_record(cli: CommandLine) -> None:
    """Which is said; without a TASK there is nothing to choose."""
    cli.write("in.txt", "ada,3\nbob,4\n")
    assert cli.start("--input=in.txt", "--name=good", worker=TOTALS).code == 0

    outcome = cli.run("debug", "good", "map-0000")
    nothing = cli.run("debug", "good")

    assert outcome.code == 0, outcome.stderr
    assert "task    map-0000 of good: did not fail" in outcome.stdout
    assert fed(outcome) == 'record in.txt  (byte 0):  "ada,3"'
    assert nothing.code == 2
    assert "good: nothing failed" in nothing.stderr
    assert "hint: pymr debug good map-0000" in nothing.stderr


def test_a_task_that_is_not_there_is_refused(cli: CommandLine) -> None:
    """The names that there are; a run that is not there is exit 4."""
    fails(cli, TOTALS)

    for text in ("map-0007", "shuffle-0000", "reduce-1", ""):
        outcome = cli.run("debug", "bad", text)
        assert outcome.code == 2, text
        assert "expected map-0000 or reduce-0000\n" in outcome.stderr
    assert cli.run("debug", "nobody").code == 4


def test_an_input_that_has_changed_is_told(cli: CommandLine) -> None:
    """What was at that byte is not there any more: exit 3."""
    fails(cli, TOTALS)
    os.utime(cli.write("in.txt", "something else\n"), (1, 1))

    cli.run("debug", "bad").refused(3, "input changed: `in.txt`")


def test_a_job_of_a_script_is_debugged_by_its_pickle(cli: CommandLine) -> None:
    """Its functions travelled by value, and stand in the run's journal."""
    script = (
        TOTALS
        + "try:\n    pymr.run(job, input='in.txt', output='out', name='script')\n"
        + "except pymr.errors.UserCodeError: pass\n"
    )
    cli.python(script)

    outcome = cli.run("debug", "out")

    assert outcome.code == 1
    assert emitted(outcome) == ["'bob'  0"]
    assert "ValueError" in outcome.stderr
    assert 'pymr.resume("script", job=job)' in outcome.stderr
