"""`pymr check`: laws that hold and laws that are broken, shown with the record or key."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cli import CommandLine, Outcome

NUMBERS = "".join(f"k{number % 7} {number}\n" for number in range(500))
SUMS = """\
import pymr

def mapper(ctx, line):
    key, number = line.split()
    ctx.emit(key, int(number))

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, combiner=pymr.SUM, input=pymr.LINES)
"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    made = CommandLine(tmp_path)
    made.write("in.txt", NUMBERS)
    return made


def check(
    cli: CommandLine, worker: str, *flags: str, content: str | bytes | None = None
) -> Outcome:
    """Check `worker` with the numbers, or with `content`."""
    if content is not None:
        cli.write("in.txt", content)
    cli.write("worker.py", worker)
    outcome = cli.run("check", "--input=in.txt", *flags, "worker.py")
    left = {path.name for path in cli.folder.iterdir()} - {"in.txt", "worker.py", "__pycache__"}
    assert left == set(), "nothing is written"
    assert list(cli.temporary.iterdir()) == []
    return outcome


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return what `--json` printed, with the findings by area and name."""
    found: dict[str, Any] = json.loads(outcome.stdout)
    assert found["exit_code"] == outcome.code, outcome.stderr
    found["findings"] = {f"{each['area']}: {each['name']}": each for each in found["findings"]}
    return found


def levels(outcome: Outcome, level: str) -> set[str]:
    """Return the findings that have `level`."""
    found = facts(outcome)["findings"]
    return {place for place, each in found.items() if each["level"] == level}


def fold(body: str, *, combiner: str = "None") -> str:
    """Return a worker with another reducer, whose body is one line."""
    lines = SUMS.splitlines()
    lines[lines.index("    ctx.emit(key, sum(values))")] = f"    {body}"
    return "\n".join(lines).replace("combiner=pymr.SUM", f"combiner={combiner}")


# -- what is as it should be -----------------------------------------------------------------


def test_a_good_job_is_told_what_it_would_do(cli: CommandLine) -> None:
    """Areas in order, the rows that would come out of the sample, a verdict; exit 0."""
    outcome = check(cli, SUMS)

    assert (outcome.code, outcome.stderr) == (0, ""), outcome.stderr
    lines = outcome.stdout.splitlines()
    areas = [line for line in lines if line and not line.startswith((" ", "✓"))]
    assert areas == [
        "sample",
        "mapper",
        "keys and values",
        "combiner",
        "reducer",
        "forecast",
        "would emit, on the sample",
    ]
    assert not any("!" in line[:4] or "✗" in line for line in lines), outcome.stdout
    assert f"    'k0'  {sum(range(0, 500, 7))}" in lines
    assert lines[-1] == "✓ the job keeps its laws"


def test_a_sample_that_is_all_of_the_input_forecasts_exactly(cli: CommandLine) -> None:
    """Records, pairs, keys and rows."""
    found = facts(check(cli, SUMS, "--json", "--mappers=1"))

    cast = found["forecast"]
    assert (cast["records"], cast["emitted"], cast["keys"]) == (500, 500, 7)
    assert (cast["shuffled"], cast["rows"]) == (7, 7)
    started = cli.run("start", "--input=in.txt", "--output=out", "--mappers=1", "worker.py")
    assert started.code == 0
    assert cast["output_bytes"] == (cli.folder / "out/part-00000.tsv").stat().st_size


def test_a_large_input_is_sampled_all_over(cli: CommandLine) -> None:
    """Two of twelve megabytes; the forecast is near what the run then has."""
    lines = "".join(f"k{number * 7919 % 5003} {number}\n" for number in range(1_000_000))

    found = facts(check(cli, SUMS, "--json", "--workers=2", content=lines))

    text = found["findings"]["sample: size"]["text"]
    assert "at 32 places" in text or "the time for a sample was over" in text
    assert found["forecast"]["records"] == pytest.approx(1_000_000, rel=0.02)
    assert found["forecast"]["keys"] == pytest.approx(5003, rel=0.02)
    assert found["forecast"]["emitted"] == pytest.approx(1_000_000, rel=0.02)


@pytest.mark.parametrize(
    ("form", "reducer"),
    [("text", "None"), ("lines", "pymr.SUM"), ("whole", "pymr.COUNT"), ("text", "pymr.MAX")],
)
def test_every_shape_of_job_can_be_checked(cli: CommandLine, form: str, reducer: str) -> None:
    """Chunks, lines and whole files; no reducer and built-in ones, which need no law."""
    worker = (
        "import pymr\n"
        "def mapper(ctx, data):\n"
        "    ctx.emit(len(data) % 3, len(data))\n"
        f"job = pymr.Job(mapper=mapper, reducer={reducer}, input=pymr.{form.upper()})\n"
    )

    outcome = check(cli, worker, "--json")

    assert outcome.code == 0, outcome.stderr
    assert "combiner: law" not in facts(outcome)["findings"]
    assert facts(outcome)["rows"] != []


def test_a_compressed_input_is_sampled_from_its_front(cli: CommandLine) -> None:
    """Half a megabyte of what is decoded; the rest by size on the disk."""
    text = "".join(f"k{number % 7} {number}\n" for number in range(300_000)).encode()

    found = facts(check(cli, SUMS, "--json", content=gzip.compress(text, mtime=0)))

    assert found["findings"]["sample: streams"]["level"] == "ok"
    assert found["forecast"]["records"] == pytest.approx(300_000, rel=0.5)


def test_an_empty_input_has_nothing_to_try(cli: CommandLine) -> None:
    """That is said, and is no error."""
    outcome = check(cli, SUMS, content=b"")

    assert outcome.code == 0, outcome.stderr
    assert "    nothing" in outcome.stdout


# -- laws ------------------------------------------------------------------------------------


def test_f80_a_mapper_with_chance_in_it_is_found(cli: CommandLine) -> None:
    """The record, and what both processes emitted; exit 2."""
    worker = "import random\n" + SUMS.replace("int(number)", "random.random()")

    outcome = check(cli, worker)

    said = outcome.refused(2, "the mapper emits other pairs when it is called again", "'k0'  0.")
    assert 'in.txt  line 1 (byte 0):  "k0 0"' in said
    assert "in one process" in said


def test_a_mapper_with_a_memory_is_found(cli: CommandLine) -> None:
    """The second process begins at the end: what depends on earlier calls shows."""
    worker = "calls = []\n" + SUMS.replace(
        "ctx.emit(key, ", "calls.append(1); ctx.emit(len(calls), "
    )

    outcome = check(cli, worker.replace("combiner=pymr.SUM, ", ""), content=NUMBERS * 300)

    outcome.refused(2, "the mapper emits other pairs")


def test_an_order_of_pairs_that_differs_is_found(cli: CommandLine) -> None:
    """Values reach a reducer in the order of emission, so it is part of the result."""
    worker = """\
import os
import pymr

def mapper(ctx, line):
    first = os.getpid() % 2
    for number in (first, 1 - first, 2, os.getpid()):
        ctx.emit("k", number)

job = pymr.Job(mapper=mapper, reducer=pymr.COUNT, input=pymr.LINES)
"""
    same = worker.replace("os.getpid() % 2", "0").replace(", os.getpid()", "")

    # COUNT takes no notice of values, so those do not count; two processes differ in their ids.
    assert check(cli, worker).code == 0
    assert check(cli, same.replace("pymr.COUNT", "pymr.SUM")).code == 0
    check(cli, worker.replace("pymr.COUNT", "pymr.SUM")).refused(2, "the mapper emits other pairs")


def test_a_reducer_with_chance_in_it_is_found(cli: CommandLine) -> None:
    """Named with its key; the mapper is right."""
    worker = "import os\n" + fold("ctx.emit(key, os.getpid() + 0 * sum(values))")

    outcome = check(cli, worker, "--json")

    assert levels(outcome, "broken") == {"reducer: deterministic"}
    outcome.refused(2, "the reducer emits other pairs", "key 'k0'")


def test_f90_a_mean_is_no_combiner(cli: CommandLine) -> None:
    """Exit 2; which key, which grouping, and both results; a remedy."""
    mean = """
def mean(ctx, key, values):
    numbers = list(values)
    ctx.emit(key, sum(numbers) / len(numbers))

job = pymr.Job(mapper=mapper, reducer=mean, combiner=mean, input=pymr.LINES)
"""

    outcome = check(cli, SUMS + mean)

    outcome.refused(
        2,
        "the result depends on what is combined: key 'k0'",
        "without a combiner",
        "hint: a combiner runs any number of times",
    )


def test_a_built_in_combiner_under_a_reducer_that_counts_is_broken(cli: CommandLine) -> None:
    """The sum is right, the number of values is not."""
    outcome = check(cli, fold("ctx.emit(key, len(list(values)))", combiner="pymr.SUM"))

    outcome.refused(2, "combiner: the result depends on what is combined")


def test_a_sum_of_floats_is_lawful_and_is_told(cli: CommandLine) -> None:
    """A warning with its explanation; exit 0."""
    add = """
def add(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=add, combiner=add, input=pymr.LINES)
"""
    worker = SUMS.replace("int(number)", "int(number) / 10") + add

    outcome = check(cli, worker)

    assert outcome.code == 0, outcome.stderr
    assert "floats differ in the last digits: key 'k" in outcome.stdout
    assert "reducer=pymr.SUM is exact" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "✓ the job keeps its laws, 1 warning"


def test_a_combiner_that_emits_another_key_is_an_error_of_the_user(cli: CommandLine) -> None:
    """As in a run: exit 1, with the key."""
    worker = (
        SUMS
        + """
def wrong(ctx, key, values):
    ctx.emit("other", sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, combiner=wrong, input=pymr.LINES)
"""
    )

    check(cli, worker).refused(1, "combiner raised ValueError", "a combiner may emit its own key")


# -- what is lawful and worth a look -----------------------------------------------------------


def test_keys_of_two_types_are_told(cli: CommandLine) -> None:
    """`1` and "1" are two groups; also within tuples."""
    flat = SUMS.replace("ctx.emit(key, ", "ctx.emit(int(number) if key == 'k1' else key, ")
    deep = SUMS.replace("ctx.emit(key, ", "ctx.emit((key, 1 if key == 'k1' else 'one'), ")

    told = facts(check(cli, flat, "--json"))["findings"]["keys and values: key types"]
    deep_told = facts(check(cli, deep, "--json"))["findings"]["keys and values: key types"]

    assert (told["level"], deep_told["level"]) == ("warning", "warning")
    assert "int (72, such as 1), str (6, such as 'k0')" in told["text"]
    assert "tuple[str,str] (6, such as ('k0', 'one'))" in deep_told["text"]


def test_values_that_are_pickled_are_told(cli: CommandLine) -> None:
    """With their type, and what it costs."""
    worker = "from fractions import Fraction\n" + SUMS.replace("int(number)", "Fraction(number)")
    worker = worker.replace("sum(values)", "float(sum(values))")

    outcome = check(cli, worker, "--json")

    assert levels(outcome, "warning") == {"keys and values: pickled values"}
    told = facts(outcome)["findings"]["keys and values: pickled values"]
    assert told["text"].startswith("Fraction (500): a pickle takes 1.8 µs")


def test_a_reducer_that_ignores_its_values_is_told(cli: CommandLine) -> None:
    """It may be right, and is rarely meant."""
    outcome = check(cli, fold("ctx.emit(key, None)"), "--json")

    assert levels(outcome, "warning") == {"reducer: values"}


def test_a_hot_key_is_told_unless_a_combiner_makes_it_small(cli: CommandLine) -> None:
    """A third of all pairs with one key, for one of four reducers."""
    worker = fold("ctx.emit(key, sum(values))").replace(
        "ctx.emit(key, int", "ctx.emit('hot' if int(number) % 3 == 0 else number, int"
    )
    combined = worker.replace("combiner=None", "combiner=pymr.SUM")

    hot = facts(check(cli, worker, "--json", "--reducers=4"))["findings"]
    cold = facts(check(cli, combined, "--json", "--reducers=4"))["findings"]

    assert hot["forecast: hottest key"]["level"] == "warning"
    assert hot["forecast: hottest key"]["text"].startswith("'hot' has 33 % of the pairs")
    assert cold["forecast: hottest key"]["level"] == "ok"


def test_a_partitioner_that_fills_one_part_is_told(cli: CommandLine) -> None:
    """The share of the part."""
    worker = SUMS.replace("combiner=pymr.SUM", "partitioner=lambda key, n: 3").replace(
        "ctx.emit(key, int", "ctx.emit(number, int"
    )

    found = facts(check(cli, worker, "--json", "--reducers=5"))["findings"]

    assert found["forecast: parts"]["text"] == "part 3 of 5 gets 100 % of the pairs"


def test_a_mapper_that_emits_nothing_is_told(cli: CommandLine) -> None:
    """No error; the rows that would come out are none."""
    outcome = check(cli, SUMS.replace("ctx.emit(key, int(number))", "pass"))

    assert outcome.code == 0, outcome.stderr
    assert "emitted nothing" in outcome.stdout


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_mapper_that_raises_names_the_record(cli: CommandLine) -> None:
    """As `start` does."""
    outcome = check(cli, SUMS, content="a 1\nb x\n")

    outcome.refused(1, "mapper raised ValueError", 'in.txt  line 2 (byte 4):  "b x"')


def test_a_reducer_that_raises_names_the_key(cli: CommandLine) -> None:
    """As `start` does."""
    outcome = check(cli, fold("ctx.emit(key, 1 // (key != 'k3'))"))

    outcome.refused(1, "reducer raised ZeroDivisionError", "key  'k3'")


@pytest.mark.parametrize("form", ["LINES", "TEXT"])
def test_a_mapper_without_end_is_refused(cli: CommandLine, form: str) -> None:
    """Before it has filled the memory or the disk; the place is named."""
    worker = (
        SUMS.replace("LINES", form)
        .replace("    key, number = line.split()\n", "")
        .replace("ctx.emit(key, int(number))", "while True: ctx.emit(1, 'x' * 1_000_000)")
    )

    outcome = check(cli, worker)

    outcome.refused(1, "the mapper emitted more than 128 MiB", "record  in.txt (byte 0)")


def test_user_code_that_ends_its_process_is_told_with_the_place(cli: CommandLine) -> None:
    """In a child: the command itself goes on to say so."""
    worker = SUMS.replace("ctx.emit(key, int(number))", "import os; os.abort()")

    outcome = check(cli, worker)

    outcome.refused(1, "was killed by SIGABRT, by which compiled code gives up, in `in.txt` [0:")


def test_a_sample_that_takes_too_long_ends_with_the_time_limit(cli: CommandLine) -> None:
    """`--timeout` holds here too."""
    worker = SUMS.replace("ctx.emit(key, int(number))", "import signal; signal.pause()")

    check(cli, worker, "--timeout=2s").refused(9, "--timeout was reached")


def test_a_worker_or_input_that_is_wrong_ends_as_a_run_does(cli: CommandLine) -> None:
    """2 and 3, before anything is tried."""
    check(cli, "job = 1\n").refused(2, "`job` is 1")
    cli.write("worker.py", SUMS)
    cli.run("check", "--input=none.txt", "worker.py").refused(3, "none.txt")
    cli.run("check", "worker.py").refused(2, "no input given")


def test_setup_and_teardown_are_called_in_each_process(cli: CommandLine) -> None:
    """Once before mapping and once before reducing; what setup makes is there in both."""
    worker = """\
import pymr

table = {}

def setup(ctx):
    assert not table, "teardown comes between"
    table["factor"] = int(ctx.params["factor"])

def teardown(ctx):
    table.clear()

def mapper(ctx, line):
    ctx.emit("all", table["factor"] * int(line.split()[1]))

def reducer(ctx, key, values):
    ctx.emit(key, table["factor"] * sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, setup=setup, teardown=teardown, input=pymr.LINES)
"""

    outcome = check(cli, worker, "--set=factor=10", content="a 1\na 2\n")

    assert outcome.code == 0, outcome.stderr
    assert "    'all'  300" in outcome.stdout.splitlines()


def test_the_forecast_of_a_run_in_pods_is_not_of_this_machine(cli: CommandLine) -> None:
    """Whose disk is not that of the output; no cluster is asked."""
    store = ("--store=s3://bucket", "--endpoint=http://127.0.0.1:9")

    outcome = check(cli, SUMS, "--on=kubernetes", "--workers=3", "--mappers=6", *store)

    assert outcome.code == 0, outcome.stderr
    assert "6 map, 1 reduce, by 3 workers\n" in outcome.stdout
    assert " free\n" not in outcome.stdout


@pytest.mark.parametrize("call", ["while True: pass", "__import__('threading').Event().wait()"])
def test_a_call_that_does_not_return_is_named(cli: CommandLine, call: str) -> None:
    """As in a run, with its record: `--task-timeout` holds here too."""
    mapper = "def mapper(ctx, line):\n"
    worker = SUMS.replace(mapper, f"{mapper}    if line == 'k3 3':\n        {call}\n")

    check(cli, worker, "--task-timeout=1s").refused(
        1, "mapper made no progress within 1 s, which is --task-timeout", "line 4", "worker.py:5"
    )


def test_a_reducer_that_does_not_return_is_named(cli: CommandLine) -> None:
    """With its key, while the sample is reduced."""
    worker = fold("any(iter(lambda: key != 'k3', True)) or ctx.emit(key, sum(values))")

    check(cli, worker, "--task-timeout=1s").refused(
        1, "reducer made no progress within 1 s", "'k3'"
    )
