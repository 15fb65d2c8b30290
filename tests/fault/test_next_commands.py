"""The command that a failure names next works as it is typed; on the real command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import CommandLine

SUMS = """\
import pymr
def mapper(ctx, line):
    ctx.emit(line.strip(), "1")
job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "a\nb\na\n")
    return cli


def test_values_that_a_built_in_refuses_are_made_anew(cli: CommandLine) -> None:
    """They stand in map outputs, which a resume keeps, and it says that the code has changed."""
    cli.write("worker.py", SUMS)
    start = ("start", "worker.py", "--input", "in.txt", "--output", "out", "--name", "sums")
    hint = "fix what the mapper emits, then   pymr resume sums --restart   does all tasks again"
    said = cli.run(*start).refused(1, hint)
    assert "has changed" not in said
    cli.write("worker.py", SUMS.replace('"1"', "1"))

    said = cli.run("resume", "sums").refused(1, hint)
    assert said.startswith("warning: worker.py has changed; kept from before: 1 finished task\n")

    assert cli.run("resume", "sums", "--restart").succeeded() == ["a\t2", "b\t1"]


def test_a_parameter_that_was_forgotten_is_given_to_a_new_start(cli: CommandLine) -> None:
    """A run that goes on has those of its start; the work that it has kept is dropped."""
    worker = SUMS.replace('"1"', 'int(ctx.params["a limit"])')
    worker = worker.replace("pymr.SUM", "lambda ctx, k, v: ctx.emit(k, ctx.params['most'])")
    cli.write("worker.py", worker)
    start = ("start", "worker.py", "--input", "in.txt", "--output", "out", "--name", "sums")

    said = cli.run(*start).refused(1, "KeyError: 'a limit'", "worker.py:3 in mapper")
    assert said.splitlines()[-1] == (
        "  hint: pymr start --overwrite --set 'a limit'=VALUE   with its other arguments"
    )
    assert "resume" not in said
    cli.run("check", "worker.py", "--input", "in.txt").refused(1, "hint: --set 'a limit'=VALUE")
    said = cli.run(*start, "--set", "a limit=1").refused(1, "KeyError: 'most'")
    assert "hint: pymr start --overwrite --set most=VALUE" in said

    both = ("--set", "a limit=1", "--set", "most=2")
    cli.run(*start, *both).refused(4, "unfinished run sums")
    assert cli.run(*start, "--overwrite", *both).succeeded() == ["a\t2", "b\t2"]


def test_a_result_whose_manifest_is_empty_is_damaged_and_done_elsewhere(cli: CommandLine) -> None:
    """What else the output holds nobody can say, so nothing replaces it; all commands agree."""
    cli.write("worker.py", SUMS.replace('"1"', "1"))
    start = ("start", "worker.py", "--input", "in.txt", "--name", "sums", "--output")
    rows = cli.run(*start, "out").succeeded()
    manifest = cli.folder / "out/_pymr/MANIFEST.json"
    manifest.unlink()
    manifest.write_bytes(b"")
    hint = "hint: pymr start   with another --output"

    asked = [("verify", "out"), ("head", "out"), ("resume", "out"), (*start, "out", "--overwrite")]
    for command in asked:
        outcome = cli.run(*command)
        assert outcome.code
        assert hint in outcome.stderr, command
    assert cli.run("jobs").stdout.split()[:2] == ["sums", "damaged"]
    for command in ("show", "status"):
        assert "damaged" in cli.run(command, "out").stdout
    assert "damaged; next: pymr verify sums" in cli.run("attach", "out").stderr

    assert cli.run(*start, "elsewhere").code == 0
    assert cli.run("cat", "elsewhere").stdout.splitlines() == rows


def test_a_run_whose_output_is_removed_is_not_told_to_go_on(cli: CommandLine) -> None:
    """Nothing of it is kept, whatever had been finished."""
    leaving = "'7' in line and __import__('shutil').rmtree(ctx.params['out']) or 1"
    cli.write("worker.py", SUMS.replace('"1"', leaving))
    cli.write("in.txt", "".join(f"{n}\n" for n in range(10)))
    start = ("start", "worker.py", "--input", "in.txt", "--output", "out", "--name", "sums")
    removing = ("--set", f"out={cli.folder / 'out'}", "--mappers", "10", "--workers", "1")

    said = cli.run(*start, *removing).refused(5, "No such file or directory")

    assert said.splitlines()[-2:] == [
        "  its output was removed meanwhile: nothing of it is kept",
        "  hint: pymr start   with its arguments",
    ]
    assert not (cli.folder / "out").exists()


def test_a_run_that_cannot_be_listed_is_named_by_its_output(cli: CommandLine) -> None:
    """The next command of its summary has its name, which nothing knows."""
    cli.write("worker.py", SUMS.replace('"1"', "1"))
    cli.write("file", "")
    start = ("start", "worker.py", "--input", "in.txt", "--name", "sums")
    no_home = {"XDG_STATE_HOME": str(cli.folder / "file")}
    warning = "name this one to other commands by its output, elsewhere"

    said = cli.run(*start, "--output", "elsewhere", environ=no_home).stderr

    assert said.startswith("warning: runs cannot be listed in ")
    assert said.count(warning) == 2  # before any work, and in the summary
    assert cli.run("head", "elsewhere", environ=no_home).stdout == "a\t2\nb\t1\n"
    assert "warning" not in cli.run(*start, environ=no_home).stderr
    assert cli.run("head", "sums", environ=no_home).stdout == "a\t2\nb\t1\n"
