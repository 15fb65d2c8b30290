"""The commands that show and copy rows: `head`, `cat`, `cp`; and which run they mean."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli import PYMR, CommandLine
from pymr.shuffle.codec import encode_key
from viewed_run import MIXED, NUMBERS, TEXTS, TUPLES, damaged_part, json_of, lines_of, run_of


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder with one run in `out`, which tests only look at."""
    return run_of(tmp_path_factory.mktemp("views"), NUMBERS)


@pytest.fixture
def own(tmp_path: Path) -> CommandLine:
    """A folder with a run of the test's own, to damage."""
    return run_of(tmp_path, NUMBERS)


# -- which run ---------------------------------------------------------------------------------


def test_a_run_is_found_by_name_id_and_folder(cli: CommandLine) -> None:
    """All three show the same run; so does an absolute path."""
    run = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_bytes())["run"]
    shown = [lines_of(cli, "show", r) for r in ("counts", run, "out", str(cli.folder / "out"))]

    assert shown[0] == shown[1] == shown[2] == shown[3]
    assert f"id      {run}" in shown[0]
    assert f"output  {cli.folder / 'out'}" in shown[0]


def test_a_name_is_the_newest_run_of_that_name(own: CommandLine) -> None:
    """Also from another folder."""
    own.write("more.txt", "5 5\n")
    again = own.run("start", "--input=more.txt", "--output=out2", "--name=counts", "worker.py")
    assert again.code == 0, again.stderr

    assert lines_of(own, "cat", "counts") == ["5\t5"]
    assert len(lines_of(own, "cat", "out")) == len(NUMBERS)


def test_a_run_in_the_default_folder_is_found_by_its_name(own: CommandLine) -> None:
    """Even if the account's list of runs is lost."""
    started = own.run("start", "--input=in.txt", "--name=there", "worker.py")
    assert started.code == 0, started.stderr
    shutil.rmtree(own.home)

    assert len(lines_of(own, "cat", "there")) == len(NUMBERS)


@pytest.mark.parametrize("command", ["head", "cat", "verify", "audit", "show", "errors", "cp"])
def test_a_run_that_is_not_known(cli: CommandLine, command: str) -> None:
    """Exit 4, near names, and the command that lists all; nothing on stdout."""
    more = ["target"] if command == "cp" else []

    outcome = cli.run(command, "coumts", *more)

    assert (outcome.code, outcome.stdout) == (4, "")
    assert "no run `coumts`: not the name, id or output folder of one; near: counts" in (
        outcome.stderr
    )
    assert "hint: pymr jobs" in outcome.stderr
    assert cli.run(command, "zzz", *more).stderr.splitlines()[0].endswith("folder of one")


# -- rows --------------------------------------------------------------------------------------


def expected_rows(keys: list[Any]) -> list[str]:
    """Return the rows in key order."""
    texts = [
        json.dumps(key, separators=(",", ":")) if isinstance(key, tuple) else str(key)
        for key in sorted(keys, key=encode_key)
    ]
    return [f"{text}\t2" for text in texts]


def test_cat_writes_the_parts_one_after_the_other(cli: CommandLine) -> None:
    """Byte for byte; a part without rows adds nothing."""
    assert lines_of(cli, "cat", "out") == cli.run("version").rows()
    assert sorted(lines_of(cli, "cat", "out")) == sorted(expected_rows(NUMBERS))


@pytest.mark.parametrize(("flags", "count"), [([], 8), (["-n", "3"], 3), (["--rows=0"], 0)])
def test_head_writes_the_first_rows(cli: CommandLine, flags: list[str], count: int) -> None:
    """Ten, if nothing else is said."""
    assert lines_of(cli, "head", *flags, "out") == cli.run("version").rows()[:count]


def test_head_of_more_rows_than_ten(tmp_path: Path) -> None:
    """Ten are shown by default."""
    cli = run_of(tmp_path, list(range(12)))

    assert len(lines_of(cli, "head", "out")) == 10
    assert len(lines_of(cli, "head", "out", "-n", "11")) == 11


@pytest.mark.parametrize("command", ["head", "cat"])
def test_rows_on_a_terminal_have_nothing_that_it_takes_for_commands(
    tmp_path: Path, command: str
) -> None:
    """Elsewhere they are as they stand in the parts."""
    cli = run_of(tmp_path, ["\x1b[31mé"])
    ours, theirs = os.openpty()
    subprocess.run(
        [PYMR, command, "out"], cwd=cli.folder, env=cli.environ, stdout=theirs, check=True
    )
    shown = os.read(ours, 100)
    os.close(theirs)
    os.close(ours)

    assert shown.decode() == "\\x1b[31mé\t2\r\n"
    assert lines_of(cli, command, "out") == ["\x1b[31mé\t2"]


def test_a_negative_number_of_rows_is_a_usage_error(cli: CommandLine) -> None:
    """Exit 2, with the option's name."""
    outcome = cli.run("head", "-n", "-1", "out")

    assert outcome.code == 2
    assert "`-n` / `--rows`" in outcome.stderr


@pytest.mark.parametrize("output_format", ["tsv", "jsonl"])
@pytest.mark.parametrize("keys", [NUMBERS, TEXTS, TUPLES], ids=["int", "str", "tuple"])
def test_cat_sorted_is_in_key_order_over_all_parts(
    tmp_path: Path, keys: list[Any], output_format: str
) -> None:
    """By typed key: 9 before 10, and tuples by their items; in both formats."""
    cli = run_of(tmp_path, keys, f"--format={output_format}")
    unsorted = lines_of(cli, "cat", "out")

    rows = lines_of(cli, "cat", "--sorted", "out")

    assert sorted(rows) == sorted(unsorted)
    assert (
        sum((cli.folder / f"out/part-0000{n}.{output_format}").stat().st_size > 0 for n in range(3))
        > 1
    )
    if output_format == "tsv":
        assert rows == expected_rows(keys)
    in_order = [json.loads(row) for row in lines_of(cli, "cat", "--sorted", "--json", "out")]
    order = sorted(keys, key=encode_key)
    assert [entry["key"] for entry in in_order] == json.loads(json.dumps(order))
    assert [entry["value"] for entry in in_order] == [2] * len(keys)
    assert list(cli.temporary.iterdir()) == [], "nothing is left behind"


def test_mixed_keys_of_tsv_are_sorted_as_text(tmp_path: Path) -> None:
    """The text is all that a mixed column keeps, and a note says so, on stderr."""
    cli = run_of(tmp_path, MIXED)

    outcome = cli.run("cat", "--sorted", "out")

    texts = ["a", '[1,"b"]', "3", "null", "true", "2.5", "10", "3", "-7"]
    assert outcome.stdout.splitlines() == [f"{text}\t2" for text in sorted(texts)]
    assert outcome.stderr == "note: the keys have several types; they are sorted as text\n"
    as_json = cli.run("cat", "--sorted", "--json", "out").stdout.splitlines()
    assert [json.loads(row)["key"] for row in as_json] == sorted(texts)


def test_mixed_keys_of_json_lines_are_sorted_by_type(tmp_path: Path) -> None:
    """JSON keeps their types, but for a tuple, which is a list; no note."""
    cli = run_of(tmp_path, MIXED, "--format=jsonl")

    rows = lines_of(cli, "cat", "--sorted", "out")

    keys = [json.loads(row)["key"] for row in rows]
    assert keys == [None, True, -7, 3, 10, 2.5, "3", "a", [1, "b"]]
    assert [type(key) for key in keys[1:3]] == [bool, int]
    assert lines_of(cli, "cat", "--sorted", "--json", "out") == rows
    assert lines_of(cli, "head", "--json", "-n9", "out") == lines_of(cli, "cat", "out")


def test_rows_as_json_have_their_types(cli: CommandLine) -> None:
    """One object a row, in the order of the rows: an int of 31 digits is an int."""
    rows = [json.loads(row) for row in lines_of(cli, "cat", "--json", "out")]

    assert [f"{row['key']}\t{row['value']}" for row in rows] == lines_of(cli, "cat", "out")
    assert {row["key"] for row in rows} == set(NUMBERS)
    assert [json.loads(r) for r in lines_of(cli, "head", "--json", "-n2", "out")] == rows[:2]


@pytest.mark.parametrize("command", ["cat out", "head out --json", "show out", "--help"])
def test_f96_a_reader_that_stops_early_is_no_failure(cli: CommandLine, command: str) -> None:
    """`pymr cat … | head` ends quietly, whatever the command."""
    piped = 'set -o pipefail; "$0" {} | true'
    done = subprocess.run(
        ["bash", "-c", piped.format(command), PYMR],
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")


# -- cp ----------------------------------------------------------------------------------------


def test_cp_into_a_store_is_refused(cli: CommandLine) -> None:
    """It would be a folder that is called `s3:`."""
    outcome = cli.run("cp", "out", "s3://bucket/copied")

    assert outcome.code == 2
    assert "`s3://bucket/copied` is an address, expected a folder of this machine" in outcome.stderr
    assert not (cli.folder / "s3:").exists()


def test_cp_onto_what_is_no_folder_is_refused(cli: CommandLine) -> None:
    """Nor into a folder without a name, which an empty variable is."""
    cli.write("file", "mine")

    onto, nowhere = cli.run("cp", "out", "file"), cli.run("cp", "out", "")

    assert (onto.code, nowhere.code) == (4, 2)
    assert "`file` is no folder" in onto.stderr
    assert "FOLDER is empty" in nowhere.stderr
    assert (cli.folder / "file").read_text() == "mine"


def test_cp_copies_the_parts(cli: CommandLine, tmp_path: Path) -> None:
    """Byte for byte, folders made, nothing but the parts."""
    target = tmp_path / "a/b"

    outcome = cli.run("cp", "out", target)

    assert (outcome.code, outcome.stdout) == (0, "")
    assert "copied 3 parts to " in outcome.stderr
    copied = {path.name: path.read_bytes() for path in target.iterdir()}
    assert copied == {p.name: p.read_bytes() for p in (cli.folder / "out").glob("part-*")}
    assert len(copied) == 3


def test_cp_as_json(cli: CommandLine, tmp_path: Path) -> None:
    """The folder and the names."""
    told = json_of(cli, "cp", "out", str(tmp_path / "there"))

    assert told == {
        "folder": str(tmp_path / "there"),
        "parts": ["part-00000.tsv", "part-00001.tsv", "part-00002.tsv"],
    }


def test_cp_replaces_nothing_unless_asked(cli: CommandLine, tmp_path: Path) -> None:
    """One part that is there stops all; with --overwrite parts go, other files stay."""
    target = tmp_path / "there"
    target.mkdir()
    (target / "part-00001.tsv").write_text("mine")
    (target / "notes").write_text("mine")

    refused = cli.run("cp", "out", target)
    before = sorted(path.name for path in target.iterdir())
    accepted = cli.run("cp", "--overwrite", "out", target)

    assert refused.code == 4
    assert "already has part-00001.tsv; nothing was copied" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert before == ["notes", "part-00001.tsv"]
    assert accepted.code == 0
    shown = cli.folder / "out/part-00001.tsv"
    assert (target / "part-00001.tsv").read_bytes() == shown.read_bytes()
    assert (target / "notes").read_text() == "mine"


def test_cp_checks_what_it_copies(own: CommandLine, tmp_path: Path) -> None:
    """A part that is not what was committed does not arrive; exit 7."""
    part = damaged_part(own)

    outcome = own.run("cp", "out", tmp_path / "there")

    assert outcome.code == 7
    assert "SHA-256" in outcome.stderr
    assert part.name not in {path.name for path in (tmp_path / "there").iterdir()}
    assert [p.name for p in (tmp_path / "there").iterdir() if p.name.startswith(".")] == []


def test_cp_to_a_place_that_cannot_be_made(cli: CommandLine, tmp_path: Path) -> None:
    """Exit 4, with the reason."""
    (tmp_path / "file").write_text("")

    outcome = cli.run("cp", "out", tmp_path / "file/there")

    assert outcome.code == 4
    assert "Not a directory" in outcome.stderr
