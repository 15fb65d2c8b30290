"""Inputs that are not there, not files, not readable, or not what they were: exit 3 or 4."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cli import COPY_LINES, COUNT_WORDS, CommandLine

# Changes the input before the first byte is read, or while it is: `--set` says how.
CHANGE_INPUT = """\
import os, pymr
from pathlib import Path

def change(ctx, when):
    path, how = Path("in.txt"), ctx.params[when] if when in ctx.params else ""
    if how == "grow" and path.stat().st_size < 9_000_000:
        with path.open("ab") as file:
            file.write(b"later\\n")
    elif how == "truncate":
        os.truncate(path, 4)
    elif how == "touch":
        path.write_bytes(path.read_bytes().upper())
    elif how == "replace":
        Path("new.txt").write_bytes(path.read_bytes())
        os.replace("new.txt", path)
    elif how == "remove":
        path.unlink(missing_ok=True)

def setup(ctx):
    change(ctx, "setup")

def mapper(ctx, chunk):
    change(ctx, "mapper")
    ctx.emit(ctx.input.offset, len(chunk))

job = pymr.Job(mapper=mapper, setup=setup)
"""


def test_b1_a_path_that_does_not_exist(cli: CommandLine) -> None:
    """Said before any work, with the names that are most like it."""
    for name in ("words.txt", "word.tsv", "x", "y"):
        cli.write(name, "a\n")

    said = cli.start("--input=wods.txt").refused(3, "no such input: `wods.txt`")

    assert "there is `words.txt`" in said
    assert not (cli.folder / "out").exists()


def test_b2_a_glob_that_matches_nothing(cli: CommandLine) -> None:
    """The glob and the nearest names."""
    for name in ("logs/a.txt", "logs/b.txt", "logs/c.txt", "logs/d.txt"):
        cli.write(name, "a\n")

    said = cli.start("--input=logs/*.gz").refused(3, "no input matches the glob: `logs/*.gz`")

    assert said.count("`logs/") == 4


def test_b3_b34_a_folder_is_its_files_without_hidden_ones(cli: CommandLine) -> None:
    """Other tools' notes and the folders inside are left out, and counted or named."""
    for name in ("in/b", "in/a", "in/.x", "in/_SUCCESS", "in/a.crc", "in/deep/c"):
        cli.write(name, f"{Path(name).name}\n")

    rows = cli.start("--input=in", worker=COPY_LINES).succeeded(
        "`in/deep`", "--recursive", "3 names left out"
    )

    assert rows == ["0\ta", "0\tb"]


def test_b3_a_folder_is_read_with_the_folders_inside_if_asked_for(cli: CommandLine) -> None:
    """`--recursive`."""
    cli.write("in/b", "b\n")
    cli.write("in/a/x", "x\n")

    assert cli.start("--input=in", "--recursive").succeeded() == ["b\t1", "x\t1"]


def test_results_of_runs_that_are_read_with_all_else_are_told(cli: CommandLine) -> None:
    """A second run would count the words of the first; a result that is named is meant."""
    cli.write("in/b", "b\n")
    cli.start("--input=in", "--output=in/out").succeeded()

    again = cli.run("start", "--input=in", "--recursive", "--output=two", "worker.py")
    named = cli.run("start", "--input=in/out", "--output=three", "worker.py")

    assert "the result of a run among the inputs: `in/out`" in again.stderr
    assert "among the inputs" not in named.stderr


def test_b4_a_folder_without_files(cli: CommandLine) -> None:
    """Refused, unless that is what the user means."""
    (cli.folder / "in").mkdir()

    cli.start("--input=in").refused(3, "no input files in `in`", "--allow-empty")
    assert cli.start("--input=in", "--allow-empty").succeeded() == []


def test_b5_a_file_without_bytes_beside_others(cli: CommandLine) -> None:
    """No records, and no error."""
    cli.write("empty", "")
    cli.write("full", "a\n")

    assert cli.start("--input=empty", "--input=full").succeeded("2 B, 1 record in") == ["a\t1"]


def test_b6_b66_inputs_that_are_all_empty_give_empty_parts(cli: CommandLine) -> None:
    """As many part files as reducers, all in the manifest, and a warning."""
    cli.write("in.txt", "")

    cli.start("--input=in.txt", "--reducers=3").succeeded("warning", "all inputs are empty")

    parts = sorted((cli.folder / "out").glob("part-*"))
    manifest = (cli.folder / "out/_pymr/MANIFEST.json").read_text()
    assert [path.stat().st_size for path in parts] == [0, 0, 0]
    assert all(f'"{path.name}"' in manifest for path in parts)
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize("when", ["setup", "mapper"])
def test_b22_a_file_that_grows_is_read_to_its_planned_size(cli: CommandLine, when: str) -> None:
    """What is appended later is ignored, and said."""
    cli.write("in.txt", b"12345678\n" * 300_000)

    outcome = cli.start("--input=in.txt", f"--set={when}=grow", worker=CHANGE_INPUT)

    rows = outcome.succeeded("warning: `in.txt`", "grew while it was read")
    assert sum(int(row.split("\t")[1]) for row in rows) == 9 * 300_000


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        ("setup=truncate", ["it has 4 bytes, expected 2700000"]),
        ("mapper=truncate", ["input changed: `in.txt`: it ends at byte"]),
        ("setup=touch", ["it was written to"]),
        ("mapper=touch", ["it was written to"]),
        ("setup=replace", ["it was replaced"]),
        ("setup=remove", ["it is gone"]),
    ],
)
def test_b23_b24_a_file_that_changes_stops_the_job(
    cli: CommandLine, how: str, parts: list[str]
) -> None:
    """Truncated, written to, replaced or removed: no mix of two files is ever a result."""
    cli.write("in.txt", b"12345678\n" * 300_000)

    outcome = cli.start("--input=in.txt", f"--set={how}", worker=CHANGE_INPUT)

    outcome.refused(3, "input changed: `in.txt`", *parts, "when nobody writes to the input")


def test_b24_a_file_that_is_replaced_between_two_tasks_stops_the_job(cli: CommandLine) -> None:
    """The second task finds another inode than was planned."""
    cli.write("in.txt", b"12345678\n" * 20_000)

    outcome = cli.start(
        "--input=in.txt", "--mappers=2", "--set=mapper=replace", worker=CHANGE_INPUT
    )

    outcome.refused(3, "input changed: `in.txt`", "it was replaced (inode")


def test_b25_all_unreadable_files_are_named(cli: CommandLine) -> None:
    """Not just the first: nobody wants to learn them one run at a time."""
    for number in range(6):
        cli.write(f"in/{number}", "a\n").chmod(0 if number % 3 == 1 else 0o644)

    outcome = cli.start("--input=in", without_override=True)

    said = outcome.refused(3, "cannot read 2 inputs: `in/1`: Permission denied; `in/4`")
    assert "`in/0`" not in said


def test_b25_a_folder_that_cannot_be_listed_is_named(cli: CommandLine) -> None:
    """Nothing is known of the files in it."""
    cli.write("in/a", "a\n").parent.chmod(0)
    try:
        outcome = cli.start("--input=in", without_override=True)
    finally:
        (cli.folder / "in").chmod(0o755)

    outcome.refused(3, "cannot read the directory `in`: Permission denied")


def test_b26_symbolic_links_that_lead_nowhere(cli: CommandLine) -> None:
    """A dangling one names its target; a loop is called one."""
    (cli.folder / "dangling").symlink_to("gone")
    (cli.folder / "round").symlink_to("round")
    (cli.folder / "in").mkdir()
    (cli.folder / "in/round").symlink_to("round")
    (cli.folder / "in/dangling").symlink_to("gone")

    cli.start("--input=dangling").refused(3, "`dangling`", "link to `gone`, which does not exist")
    cli.start("--input=round").refused(3, "`round`: a loop of symbolic links")
    cli.start("--input=in").refused(
        3, "cannot read 2 inputs", "`in/dangling`", "`in/round`: a loop"
    )


def test_b27_what_is_not_a_regular_file(cli: CommandLine) -> None:
    """A FIFO would hang, a device would never end; a pipe into `-` is the way."""
    os.mkfifo(cli.folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(cli.folder / "socket"))

        for name, kind in (
            ("pipe", "a FIFO"),
            ("socket", "a socket"),
            ("/dev/zero", "a character device"),
        ):
            said = cli.start(f"--input={name}").refused(3, f"`{name}` is not a regular file", kind)
            command = "cat pipe | pymr start --input - …" if name == "pipe" else "--input PATH, or "
            assert f"hint: {command}" in said


def test_b27_standard_input_is_spooled_once(cli: CommandLine) -> None:
    """`-` is read to its end by the runner; nothing of it is left behind."""
    outcome = cli.start("--input=-", "--mappers=3", stdin=b"b a\na\n")

    assert outcome.succeeded() == ["a\t2", "b\t1"]
    assert list(cli.temporary.iterdir()) == []


def test_b28_a_file_without_a_size_that_has_content(cli: CommandLine) -> None:
    """A file of /proc is copied and read, with a warning; the copy goes afterwards."""
    rows = cli.start("--input=/proc/version").succeeded("`/proc/version` has no size")

    words = sorted(set(Path("/proc/version").read_text().split()))
    assert [row.split("\t")[0] for row in rows] == words
    assert list(cli.temporary.iterdir()) == []


def test_b28_no_copy_stays_when_a_later_input_is_missing(cli: CommandLine) -> None:
    """What was spooled before the refusal goes too."""
    cli.start("--input=/proc/version", "--input=gone").refused(3, "no such input: `gone`")
    cli.start("--input=-", "--input=gone", stdin=b"a\n").refused(3, "no such input: `gone`")

    assert list(cli.temporary.iterdir()) == []


NAMES = [b"new\nline", b"\"quo'tes`", b"100%s %d", "🦆 é".encode(), b"\xff\xfe.txt", b"\x1b[31mred"]


def test_b29_any_name_a_file_can_have(cli: CommandLine) -> None:
    """Names are bytes: read as they are, and escaped wherever they are shown."""
    for name in NAMES:
        cli.write(b"in/" + name, "a\n")

    outcome = cli.start("--input=in", "--input=nothing\x1b31m", "--json")
    outcome.refused(3, "no such input: `nothing\\x1b31m`")
    outcome = cli.start(
        *(b"--input=in/" + name for name in NAMES),
        worker="import pymr\ndef mapper(ctx, line):\n    ctx.emit(ctx.input.file, 1)\n"
        "job = pymr.Job(mapper=mapper)\n",
    )
    rows = outcome.succeeded()

    assert len(set(rows)) == len(NAMES)
    assert "\x1b" not in outcome.stderr + outcome.stdout
    assert cli.run("verify", "out").code == 0


def test_b29_b87_a_name_in_an_error_is_escaped(cli: CommandLine) -> None:
    """A terminal must not obey a file name."""
    cli.write(b"\x1b]0;owned\x07\xff", b"ok\n\xff\n")

    said = cli.start(b"--input=\x1b]0;owned\x07\xff").refused(3, r"`\x1b]0;owned\x07\xff`")

    assert said.replace("\n", "").isprintable()


def test_b30_a_name_that_begins_with_a_dash(cli: CommandLine) -> None:
    """As a value of `--input` it is a name; a worker comes after `--`."""
    cli.write("-x", "a\n")
    cli.write("-w.py", COUNT_WORDS)

    cli.run("start", "--input=./-x", "-w.py").refused(2, "no such option: `-w", "pymr start --help")
    outcome = cli.run("start", "--output=out", "--input", "-x", "--", "-w.py")

    assert outcome.succeeded() == ["a\t1"]


def test_b31_the_same_file_twice(cli: CommandLine) -> None:
    """By its name, or by a link: refused, unless it is meant."""
    cli.write("in.txt", "a\n")
    (cli.folder / "link").symlink_to("in.txt")
    os.link(cli.folder / "in.txt", cli.folder / "hard")

    cli.start("--input=in.txt", "--input=in.txt").refused(3, "`in.txt` is given twice")
    said = cli.start("--input=in.txt", "--input=link").refused(
        3, "`in.txt` and `link`", "same file"
    )
    cli.start("--input=[hi]*", worker=COUNT_WORDS).refused(3, "`hard` and `in.txt`")
    assert "--allow-duplicates" in said
    rows = cli.start("--input=in.txt", "--input=link", "--allow-duplicates").succeeded()
    assert rows == ["a\t2"]


def test_b32_b33_an_input_in_or_as_the_output(cli: CommandLine) -> None:
    """Nothing may be read and replaced in one run."""
    cli.write("out/in.txt", "a\n")
    cli.write("file", "a\n")
    (cli.folder / "link").symlink_to("out")

    cli.start("--input=out/in.txt").refused(4, "`out/in.txt` lies in the output", "--output")
    cli.start("--input=link/in.txt").refused(4, "`link/in.txt` lies in the output")
    cli.start("--input=out").refused(4, "input `out` is the output")
    cli.write("worker.py", COUNT_WORDS)
    cli.run("start", "--input=file", "--output=file", "worker.py").refused(4, "is the output")
    assert (cli.folder / "out/in.txt").read_text() == "a\n"
    assert (cli.folder / "file").read_text() == "a\n"
