"""`verify` and `audit`: whatever was done to a result is found and named; books balance by line."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from cli import CommandLine
from viewed_run import NUMBERS, WORKER, damaged_part, json_of, lines_of, run_of, shown_parts


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder with one run in `out`, which tests only look at."""
    return run_of(tmp_path_factory.mktemp("views"), NUMBERS)


@pytest.fixture
def own(tmp_path: Path) -> CommandLine:
    """A folder with a run of the test's own, to damage."""
    return run_of(tmp_path, NUMBERS)


def change(path: Path, body: bytes) -> None:
    """Replace a file, which is read-only and may have another name."""
    path.unlink()
    path.write_bytes(body)


def object_of(cli: CommandLine, part: Path) -> Path:
    """Return the object that the manifest names for a part."""
    parts = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_bytes())["parts"]
    return cli.folder / "out" / next(p["key"] for p in parts if p["name"] == part.name)


ANEW = "pymr start --overwrite   with its arguments does it anew"
AS_COMMITTED = "pymr cp counts FOLDER   copies the parts as they were committed"


def differences(cli: CommandLine, hint: str) -> list[str]:
    """Return what `verify` finds; it must find something, and say the same in both ways."""
    outcome = cli.run("verify", "out")
    assert outcome.stderr.endswith(f"\n  hint: {hint}\n")
    assert (outcome.code, outcome.stdout) == (7, "")
    told = cli.run("verify", "--json", "out")
    assert told.code == 7
    (line,) = told.stdout.splitlines()
    found = json.loads(line)
    assert found["ok"] is False
    assert found["differences"] != []
    assert [text for text in found["differences"][:10] if text not in outcome.stderr] == []
    return found["differences"]


def test_verify_accepts_what_was_committed(cli: CommandLine) -> None:
    """And counts what it has read."""
    (line,) = lines_of(cli, "verify", "out")

    assert line.startswith("✓ counts: 3 parts, 8 rows, ")
    assert json_of(cli, "verify", "out").items() >= {"ok": True, "differences": []}.items()


def test_verify_finds_a_flipped_bit(own: CommandLine) -> None:
    """Part and object are one file, and both are named, with both digests."""
    part = damaged_part(own)

    found = differences(own, ANEW)

    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    assert len(found) == 2
    assert all(f"sha256 {digest}, expected " in text for text in found)
    assert found[1].startswith(f"`{part.name}`: ")


@pytest.mark.parametrize("place", ["part", "object"])
def test_verify_finds_what_is_missing(own: CommandLine, place: str) -> None:
    """Either name of a part."""
    part = shown_parts(own)[0]
    missing = part if place == "part" else object_of(own, part)
    missing.unlink()

    (difference,) = differences(own, AS_COMMITTED if place == "part" else ANEW)

    name = missing.relative_to(own.folder / "out")
    assert difference == f"`{name}`: object missing, expected {difference.split('expected ')[1]}"


def test_verify_finds_a_part_that_was_changed_for_other_tools_only(own: CommandLine) -> None:
    """The object that PyMR reads is right, and can be had; what other tools see is not."""
    part = shown_parts(own)[0]
    committed = part.read_bytes()
    change(part, committed + b"x\t1\n")

    found = differences(own, AS_COMMITTED)

    assert own.run("cp", "out", "copy").code == 0
    assert (own.folder / "copy" / part.name).read_bytes() == committed

    assert all(text.startswith(f"`{part.name}`: ") for text in found)
    assert [text.split(": ")[1].split()[0] for text in found] == ["bytes", "records", "sha256"]


def test_verify_finds_an_extra_part(own: CommandLine) -> None:
    """Other tools would read it as part of the result."""
    own.write("out/part-00009.tsv", "x\t1\n")

    (difference,) = differences(own, AS_COMMITTED)

    assert difference.startswith("`part-00009.tsv`: ")


@pytest.mark.parametrize("name", ["_pymr/MANIFEST.json", "_SUCCESS"])
def test_verify_finds_an_edited_manifest(own: CommandLine, name: str) -> None:
    """One digit of a counter: the manifest seals itself, and `_SUCCESS` is its twin."""
    path = own.folder / "out" / name
    body = path.read_bytes()
    change(path, body.replace(b'"lines": 16', b'"lines": 17'))
    assert path.read_bytes() != body

    hint = AS_COMMITTED if name == "_SUCCESS" else "pymr start   with another --output"
    assert any(name in text for text in differences(own, hint))


def test_verify_says_how_parts_are_shown_that_were_only_committed(own: CommandLine) -> None:
    """Its process was killed between the manifest and `_SUCCESS`."""
    for part in (*shown_parts(own), own.folder / "out/_SUCCESS"):
        part.unlink()

    assert differences(own, "pymr resume counts   shows the parts that were committed")

    assert own.run("resume", "counts").code == 0
    assert own.run("verify", "out").code == 0


def test_a_damaged_result_is_not_passed_off(own: CommandLine) -> None:
    """`cat` checks what it writes, and fails at the end."""
    damaged_part(own)

    outcome = own.run("cat", "out")

    assert outcome.code == 7
    assert "is corrupt" in outcome.stderr
    assert "hint: pymr verify " in outcome.stderr


# -- audit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reducer", ["function", "builtin", "none"])
def test_audit_balances_line_by_line(tmp_path: Path, reducer: str) -> None:
    """Each line with two sides has the same number on both; with and without a combiner."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\n2 5\n1 4\n" * 40)
    job = {
        "function": "reducer=reducer, combiner=pymr.SUM",
        "builtin": "reducer=pymr.SUM",
        "none": "reducer=None",
    }[reducer]
    worker = WORKER.replace("reducer=reducer, combiner=pymr.SUM", job)
    started = cli.start("--input=in.txt", "--mappers=3", "--reducers=2", worker=worker)
    assert started.code == 0, started.stderr

    lines = lines_of(cli, "audit", "out")

    balances = [line for line in lines if " = " in line]
    assert not any("≠" in line for line in lines)
    assert len(balances) == (2 if reducer == "none" else 8)
    for line in balances:
        left, right = line.split(" = ")
        assert left.split()[-1] == right.split()[0], line
    assert "  bytes of input 480 = 480 bytes read" in lines
    assert "  120 records in 120 mapper calls" in lines


def test_audit_has_every_term_of_what_combining_did(tmp_path: Path) -> None:
    """On both sides of the shuffle: a sum without its terms is not to be checked by anybody."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "".join(f"{number % 300} 1\n" for number in range(40_000)))
    worker = WORKER.replace("reducer=reducer, combiner=pymr.SUM", "reducer=pymr.SUM")
    cli.start("--input=in.txt", "--mappers=16", "--merge-fan-in=2", worker=worker).succeeded()
    books = json_of(cli, "audit", "out")
    assert books["reduce_combined_in"] > books["reduce_combined_out"] > 0

    lines = lines_of(cli, "audit", "out")

    sums = [line.split() for line in lines if line.endswith(" out of it")]
    numbers = [[int(word.replace(",", "")) for word in s if word[0].isdigit()] for s in sums]
    assert numbers == [
        [books["emitted"], books["combined_in"], books["combined_out"]],
        [books["read"]["records"], books["reduce_combined_in"], books["reduce_combined_out"]],
    ]
    results = [line.split()[2].replace(",", "") for line in lines if "that is" in line]
    assert results == [str(books["written"]["records"]), str(books["reduced"])]


def test_audit_counts_one_as_one(tmp_path: Path) -> None:
    """One row is a row."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\n")
    cli.start("--input=in.txt", worker=WORKER).succeeded()

    text = "\n".join(lines_of(cli, "audit", "out"))

    assert "  1 record in 1 mapper call\n" in text
    assert re.search(r"^ +4 bytes +1 record  in.txt$", text, re.MULTILINE)
    assert re.search(r"^ +4 bytes +1 row  part-00000.tsv$", text, re.MULTILINE)


def test_audit_as_json(cli: CommandLine) -> None:
    """The ledger of the manifest, and the inputs."""
    books = json_of(cli, "audit", "out")

    manifest = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_bytes())
    assert books.items() >= manifest["ledger"].items()
    assert books["run"] == manifest["run"]
    size = (cli.folder / "in.txt").stat().st_size
    assert books["inputs"] == [{"path": "in.txt", "size": size, "records": 16}]
    assert books["written"] == books["read"]
    assert (books["emitted"], books["records_out"]) == (16, 8)


def test_audit_of_many_inputs_shows_the_first(tmp_path: Path) -> None:
    """The sums are of all."""
    cli = CommandLine(tmp_path)
    for number in range(23):
        cli.write(f"in/{number:02d}.txt", "1 1\n")
    cli.start("--input=in", worker=WORKER).succeeded()

    lines = lines_of(cli, "audit", "out")

    assert "  … 3 more files" in lines
    assert "  bytes of input 92 = 92 bytes read" in lines
    assert sum(line.endswith(".txt") for line in lines) == 20
