"""A run that stops between its manifest and its parts, on the real command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cli import CommandLine, Outcome

COUNTS = ["one\t2", "two\t1"]
# Where the first part is to be shown, once: {happens}.
SITE = """\
import errno, os, signal

replace = os.replace

def disturbed(source, target):
    if str(target).endswith("/part-00000.tsv") and not os.path.exists("token"):
        open("token", "w").close()
        {happens}
    replace(source, target)

os.replace = disturbed
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
FULL = "raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"


def start_disturbed(cli: CommandLine, happens: str, *arguments: str) -> Outcome:
    """Start the count of words with a Python in which showing the first part fails once."""
    site = cli.write("site/sitecustomize.py", SITE.replace("{happens}", happens))
    cli.write("in.txt", "one two one\n")
    return cli.start("--input=in.txt", *arguments, environ={"PYTHONPATH": str(site.parent)})


def assert_unshown(cli: CommandLine) -> None:
    """The result is readable, and stands as done; no part of it is shown."""
    assert cli.run("cat", "out").stdout.splitlines() == COUNTS
    assert cli.run("jobs").stdout.split()[1] == "done"
    assert [path.name for path in (cli.folder / "out").glob("[!.]*")] == ["_pymr"]
    verified = cli.run("verify", "out")
    assert verified.code == 7
    assert "shows the parts that were committed" in verified.stderr


def test_f102_a_disk_that_fills_up_at_the_parts_is_told_as_what_it_is(tmp_path: Path) -> None:
    """Exit 6, and the message says that the result is there; the next start shows the parts."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "old\n")
    cli.start("--input=in.txt", "--reducers=3").succeeded()

    outcome = start_disturbed(cli, FULL, "--overwrite")

    said = outcome.refused(6, "the result is committed, but its parts cannot be shown", "No space")
    assert "pymr head " in said
    assert "nothing was published" not in said
    assert_unshown(cli)
    assert "No space left" in cli.run("errors", "out").stdout

    again = cli.start("--input=in.txt")

    assert again.code == 4
    assert "they are shown now" in again.stderr
    assert again.rows() == COUNTS
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize("arguments", [[], ["--overwrite"]])
def test_f62_f101_a_run_killed_before_its_parts_is_finished_by_the_next(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Whether that one is to overwrite it or not, the committed run is shown."""
    cli = CommandLine(tmp_path)

    assert start_disturbed(cli, KILLED).code == -signal.SIGKILL

    assert_unshown(cli)
    cli.write("in.txt", "one one two\n")
    again = cli.start("--input=in.txt", *arguments)
    assert again.code == (0 if arguments else 4)
    assert again.rows() == COUNTS
    assert list((cli.folder / "out").glob(".*")) == []
    manifest = json.loads((cli.folder / "out/_SUCCESS").read_bytes())
    assert (manifest["replaces"] is None) is not bool(arguments)
    assert cli.run("verify", "out").code == 0
