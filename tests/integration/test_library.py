"""`pymr.run` and `pymr.main`: from a test, a script without a guard, a notebook, a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pymr
from cli import CommandLine
from pymr.errors import (
    ConfigError,
    InputError,
    OutputError,
    RunNotFoundError,
    UserCodeError,
    WorkerFileError,
)

SCRIPT = """\
import pymr

print("the caller runs")

def halves(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word[: len(word) // 2], LENGTH)

LENGTH = 2
result = pymr.run(pymr.Job(mapper=halves, reducer=pymr.SUM), input="in.txt", output="out")
print(result.head(1), list(result), result.counters)
"""


def words(ctx, chunk):
    for word in chunk.split():
        ctx.count("words")
        ctx.emit(word, 1)


def count(_ctx, key, values):
    yield key, sum(values)


@pytest.fixture
def text(tmp_path):
    """A small input."""
    path = tmp_path / "in.txt"
    path.write_text("one two one\nthree two one\n")
    return path


def run_python(folder: Path, *arguments: str, environ: dict[str, str]) -> str:
    """Run this interpreter in `folder` and return what it printed."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_run_returns_typed_rows_counters_and_manifest(text, tmp_path):
    """Keys and values come back with their types; `head` and counters need no reading."""
    result = pymr.run(
        pymr.Job(mapper=words, reducer=count), input=text, output=tmp_path / "out", reducers=1
    )

    assert list(result) == [("one", 3), ("three", 1), ("two", 2)]
    assert list(result) == result.head(100)
    assert result.head(2) == [("one", 3), ("three", 1)]
    assert result.counters == {"words": 6}
    assert result.manifest.columns.key == "str"
    assert result.manifest.columns.value == "int"
    assert "3 rows in 1 part>" in repr(result)


def test_a_lambda_and_a_closure_travel_to_task_processes(text, tmp_path):
    """Functions that no module can be asked for go by value, with what they close over."""
    factor = 10

    result = pymr.run(
        pymr.Job(
            mapper=lambda ctx, line: ctx.emit(line[0], factor),
            reducer=pymr.SUM,
            input=pymr.LINES,
        ),
        input=[text, str(text)],
        allow_duplicates=True,
        output=tmp_path / "out",
    )

    assert list(result) == [("o", 20), ("t", 20)]


def test_a_script_needs_no_main_guard(text, tmp_path):
    """Task processes never import the caller: its prints happen once."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", text.read_bytes())
    cli.write("script.py", SCRIPT)

    printed = run_python(cli.folder, "script.py", environ=cli.environ)

    assert printed.splitlines() == [
        "the caller runs",
        "[('o', 6)] [('o', 6), ('t', 4), ('th', 2)] {}",
    ]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("-m", "pymr", "start", "--input=in.txt", "script.py"), 2),
        (("-m", "pymr", "check", "--input=in.txt", "script.py"), 2),
        (("-c", "import script"), 1),
    ],
    ids=["start", "check", "import"],
)
def test_a_job_that_is_run_by_an_import_is_refused(text, tmp_path, command, code):
    """Else each task process, which imports the file, would start another, without end."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", text.read_bytes())
    cli.write("script.py", SCRIPT + "job = pymr.Job(mapper=halves)\n")

    refused = subprocess.run(
        [sys.executable, *command],
        cwd=cli.folder,
        env=cli.environ,
        check=False,
        capture_output=True,
        text=True,
    )

    assert refused.returncode == code, refused.stderr
    assert "pymr.run is called as the file is imported" in refused.stderr
    assert refused.stdout.count("the caller runs") <= 1


def test_a_notebook_runs_a_job(text, tmp_path):
    """Functions of an IPython session, which no file holds, travel too."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", text.read_bytes())
    cli.write("cells.ipy", SCRIPT)

    printed = run_python(
        cli.folder, "-m", "IPython", "--no-banner", "--quick", "cells.ipy", environ=cli.environ
    )

    assert "[('o', 6), ('t', 4), ('th', 2)]" in printed
    assert printed.count("the caller runs") == 1


def test_a_file_that_calls_main_runs_itself(text, tmp_path):
    """`python worker.py --input …` is `pymr start`, with the same flags and exit codes."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", text.read_bytes())
    assert cli.run("init", "mine.py").code == 0

    run_python(
        cli.folder, "mine.py", "--input=in.txt", "--output=out", "--reducers=2", environ=cli.environ
    )
    refused = subprocess.run(
        [sys.executable, "mine.py", "--input=in.txt", "--output=out"],
        cwd=cli.folder,
        env=cli.environ,
        check=False,
        capture_output=True,
        text=True,
    )

    assert sorted(cli.run("cat", "out").stdout.splitlines()) == ["one\t3", "three\t1", "two\t2"]
    assert refused.returncode == 4
    assert "--overwrite" in refused.stderr
    mistyped = subprocess.run(
        [sys.executable, "mine.py", "--inptu=in.txt"],
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert mistyped.returncode == 2
    assert mistyped.stderr.endswith("\n  hint: python mine.py --help\n")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"reducers": 0}, ConfigError, "reducers is 0"),
        ({"worker": 2}, ConfigError, "workers"),
        ({"memory": "much"}, ConfigError, "memory"),
        ({"input": "nowhere.txt"}, InputError, "no such input: `nowhere.txt`"),
        ({"input": []}, ConfigError, "no input given"),
        ({"input": None}, ConfigError, "`input` is None, expected a path"),
        ({"params": {"limit": 100}}, ConfigError, "`params` has 'limit': 100, expected .* str"),
    ],
)
def test_what_cannot_run_is_refused_before_it_starts(settings, error, message, text, tmp_path):
    """A wrong argument is an error of the right class, and nothing is written."""
    arguments = {"input": text, "output": tmp_path / "out", **settings}

    with pytest.raises(error, match=message):
        pymr.run(pymr.Job(mapper=words, reducer=count), **arguments)

    assert not (tmp_path / "out").exists()


def test_a_failing_job_raises_what_the_user_did_wrong(text, tmp_path):
    """The error names function, record and the caller's own frames."""

    def broken(_ctx, line):
        return int(line)

    with pytest.raises(UserCodeError, match="mapper raised ValueError") as caught:
        pymr.run(
            pymr.Job(mapper=broken, reducer=count, input=pymr.LINES),
            input=text,
            output=tmp_path / "out",
        )

    fields = caught.value.fields
    assert (fields["line"], fields["offset"], fields["record"]) == (1, 0, "one two one")
    assert [frame["function"] for frame in fields["frames"]] == ["broken"]
    assert fields["frames"][0]["file"] == __file__


def test_an_existing_result_is_not_replaced_unasked(text, tmp_path):
    """A second run into the same output is refused; with overwrite it replaces."""
    job = pymr.Job(mapper=words, reducer=count)
    pymr.run(job, input=text, output=tmp_path / "out")

    with pytest.raises(OutputError, match="exists"):
        pymr.run(job, input=text, output=tmp_path / "out")

    assert dict(pymr.run(job, input=text, output=tmp_path / "out", overwrite=True))["one"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mapper": None}, "`mapper` is None, expected a function"),
        ({"mapper": dict}, "`mapper` is the class dict"),
        ({"mapper": lambda _ctx: None}, "expected 2 arguments"),
        ({"mapper": words, "reducer": lambda _key, _values: None}, "expected 3 arguments"),
        ({"mapper": words, "input": "text"}, "expected pymr.TEXT, pymr.LINES or pymr.WHOLE"),
        ({"mapper": words, "combiner": pymr.SUM}, "nothing to combine"),
        ({"mapper": words, "reducer": count, "combiner": pymr.COUNT}, "counts values"),
        ({"mapper": words, "reducer": pymr.COUNT, "combiner": pymr.SUM}, "combines by itself"),
    ],
)
def test_a_job_that_cannot_work_is_refused_where_it_is_made(arguments, message):
    """`pymr.Job` checks its arguments at the user's line."""
    with pytest.raises(WorkerFileError, match=message):
        pymr.Job(**arguments)


def test_an_async_mapper_is_refused():
    """A coroutine function would never run."""

    async def mapper(_ctx, _chunk):
        pass

    with pytest.raises(WorkerFileError, match="`mapper` is an async function"):
        pymr.Job(mapper=mapper)


# -- resume ------------------------------------------------------------------------------------


def refuse_three(ctx, line):
    """A mapper that one line is too much for."""
    if line.startswith("three"):
        raise ValueError(line)
    ctx.emit(line.split()[0], 1)


def test_a_run_goes_on_with_functions_that_were_fixed(text, tmp_path):
    """They had travelled by value: they are handed in again; what is finished is kept."""
    text.write_text("one\none\none\nthree\n")
    options = {"reducer": count, "input": pymr.LINES}
    job = pymr.Job(mapper=refuse_three, **options)
    with pytest.raises(UserCodeError) as caught:
        pymr.run(job, input=text, output=tmp_path / "out", name="halt", mappers=2, workers=1)
    [note] = caught.value.__notes__
    assert "1 of 2 map tasks are finished and kept" in note
    assert note.endswith('then   pymr.resume("halt", job=job)')

    def mapper(ctx, line):
        ctx.emit(line.split()[0], 1)

    result = pymr.resume("halt", job=pymr.Job(mapper=mapper, **options), workers=2)

    assert dict(result) == {"one": 3, "three": 1}
    assert [task.attempt for task in result.manifest.tasks] == [1, 1001, 1001]
    assert "has changed; kept from before: 1 finished task" in result.manifest.warnings[0]


def test_a_resume_without_a_job_uses_the_functions_of_the_start(text, tmp_path):
    """By path as well; of a run that is done it returns the result."""
    job = pymr.Job(mapper=refuse_three, reducer=count, input=pymr.LINES)
    with pytest.raises(UserCodeError):
        pymr.run(job, input=text, output=tmp_path / "out")
    with pytest.raises(UserCodeError, match="three"):
        pymr.resume(tmp_path / "out")

    done = pymr.run(pymr.Job(mapper=words, reducer=count), input=text, output=tmp_path / "done")

    assert dict(pymr.resume(tmp_path / "done")) == dict(done)


def test_a_resume_refuses_what_it_cannot_do(text, tmp_path):
    """A run that is not there; a setting that is frozen."""
    with pytest.raises(RunNotFoundError):
        pymr.resume("nowhere")
    job = pymr.Job(mapper=refuse_three, reducer=count, input=pymr.LINES)
    with pytest.raises(UserCodeError):
        pymr.run(job, input=text, output=tmp_path / "out")

    with pytest.raises(ConfigError, match="--reducers cannot change"):
        pymr.resume(tmp_path / "out", reducers=3)


def test_a_function_call_is_of_this_machine(tmp_path: Path) -> None:
    """It says so, and does not run here in silence."""
    (tmp_path / "in.txt").write_text("a b\n")

    with pytest.raises(ConfigError, match="`on` is `hosts`: a function call runs on this machine"):
        pymr.run(pymr.Job(mapper=words), input=tmp_path / "in.txt", on="hosts")
