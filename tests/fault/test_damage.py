"""Bytes that change where nobody wrote them: spills, map outputs, inputs, while a run goes on.

It costs a retry, or another run of a map task, and the result is the same; or nothing is
published. The worker of `stopped_run` does the damage, at a record or a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import CommandLine, Outcome
from memory_runs import MemoryObject, reader_of
from pymr.core.spec import Limits
from pymr.errors import CorruptDataError, IncompleteError
from pymr.shuffle.native_buffer import NativeMapBuffer
from pymr.shuffle.native_merge import NativeReduceMerge
from stopped_run import LINES, WORKER, prepare, start, undisturbed

# Flips one bit of each file; `place` is a part of its length.
FLIP = """
import glob, os
for path in glob.glob({pattern!r}, recursive=True):
    body = bytearray(open(path, "rb").read())
    body[min(int({place} * len(body)), len(body) - 1)] ^= 4
    os.chmod(path, 0o644)
    open(path, "wb").write(body)
"""
SPILLS = "out/_pymr/**/*.spill"
MAP_OUTPUT = "out/_pymr/*/map-00001-1-*"
# Blocks, then the index; the first 12 bytes are for people.
PLACES = [0.0, 0.1, 0.3, 0.5, 0.8, 1.0]
UNSTABLE = WORKER.replace("ctx.emit(word, 1)", "ctx.emit(word, os.urandom(4)[0])")
# What was damaged is whole again when the next attempt begins.
HEALED = WORKER.replace(
    "def mapper(",
    """def setup(ctx):
    if os.path.exists("whole") and not os.path.exists("misread"):
        open("misread", "w").close()  # by the attempt that begins
    elif os.path.exists("whole"):
        [path] = __import__("glob").glob("out/_pymr/*/map-00001-1-*")
        os.replace("whole", path)

def mapper(""",
).replace("mapper=mapper, ", "mapper=mapper, setup=setup, ")
KEEP_WHOLE = (
    "import glob, shutil\nshutil.copy(glob.glob('out/_pymr/*/map-00001-1-*')[0], 'whole')\n"
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a run to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def damaged(cli: CommandLine, at: str, program: str, *arguments: str, **run: Any) -> Outcome:
    """Run the job, and the program at a record or key of it."""
    prepare(cli, **run)
    cli.write("then.py", program)
    cli.write(f"at-{at}", "do")
    outcome = start(cli, *arguments)
    assert not (cli.folder / f"at-{at}").exists(), "it came nowhere near"
    return outcome


@pytest.mark.parametrize(("place", "is_read"), [(0.1, True), (0.3, True), (0.9, False)])
def test_f21_a_flipped_byte_in_a_spill_costs_a_try(
    cli: CommandLine, expected: list[str], place: float, *, is_read: bool
) -> None:
    """Its block does not have its checksum; the index of a spill is in memory, too."""
    outcome = damaged(cli, "line15", FLIP.format(pattern=SPILLS, place=place), "--spill=200")

    assert outcome.succeeded() == expected
    assert (".spill` is corrupt at byte " in outcome.stderr) == is_read
    assert ("1 attempt tried again" in outcome.stderr) == is_read
    assert cli.run("verify", "out").code == 0


def test_f21_spills_that_are_damaged_each_time_are_exit_7(
    cli: CommandLine, expected: list[str]
) -> None:
    """The disk is no good; elsewhere the run goes on."""
    always = WORKER.replace('        os.remove(f"at-{record}")', "").replace(
        'os.remove(f"at-{record}")', ""
    )
    prepare(cli, always)
    cli.write("then.py", FLIP.format(pattern=SPILLS, place=0.3))
    cli.write("at-line15", "do")

    outcome = start(cli, "--spill=200")

    said = outcome.refused(7, ".spill` is corrupt at byte ", "map-0001", "pymr resume words")
    assert said.count("tried again") == 3
    (cli.folder / "at-line15").unlink()
    assert cli.run("resume", "words").succeeded() == expected


@pytest.mark.parametrize("place", PLACES)
def test_f44_a_flipped_byte_of_a_map_output_costs_that_map_task(
    cli: CommandLine, expected: list[str], place: float
) -> None:
    """Between the phases: what is written again has the fingerprints that it had before."""
    outcome = damaged(cli, "line31", FLIP.format(pattern=MAP_OUTPUT, place=place))

    is_read = place > 0
    assert outcome.succeeded() == expected
    assert ("map-0001 is run again: sorted run" in outcome.stderr) == is_read
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize("fault", ["os.unlink(path)", "os.truncate(path, 99)"])
def test_f46_a_map_output_that_is_gone_or_cut_costs_that_map_task(
    cli: CommandLine, expected: list[str], fault: str
) -> None:
    """Whoever did it."""
    program = f"import glob, os\n[path] = glob.glob({MAP_OUTPUT!r})\nos.chmod(path, 0o644)\n{fault}"

    outcome = damaged(cli, "line31", program)

    assert outcome.succeeded("map-0001 is run again: ") == expected


def test_f43_what_one_read_got_wrong_the_next_gets_right(
    cli: CommandLine, expected: list[str]
) -> None:
    """The reduce task is tried again; the map task is not."""
    program = KEEP_WHOLE + FLIP.format(pattern=MAP_OUTPUT, place=0.2)

    outcome = damaged(cli, "line31", program, worker=HEALED)

    assert not (cli.folder / "whole").exists()
    assert outcome.succeeded() == expected
    assert "is run again" not in outcome.stderr


def test_f80_a_mapper_that_writes_something_else_after_damage_is_found_out(
    cli: CommandLine,
) -> None:
    """Exit 7 with the task and a plain explanation; nothing is published."""
    damage = f"import glob, os\n[path] = glob.glob({MAP_OUTPUT!r})\nos.unlink(path)"

    outcome = damaged(cli, "line31", damage, worker=UNSTABLE)

    outcome.refused(
        7,
        "the mapper is not deterministic: `map-0001` was run again, its output having been lost",
        "random numbers, times and the order of a set",
    )


def test_f44_no_flipped_byte_of_a_sorted_run_goes_unseen(tmp_path: Path) -> None:
    """Each bit of each byte, of blocks stored as they are and compressed: the same, or an error."""
    for values in (["v"], ["the same again"] * 4):
        target = MemoryObject()
        buffer = NativeMapBuffer(
            partitions=2, limits=Limits(block_bytes=100), spill_folder=str(tmp_path)
        )
        for number in range(20):
            for value in values:
                buffer.emit(f"key {number % 7}", value)
        digest = buffer.finish(target).footer_digest
        whole = bytes(target.data)
        expected = groups_of(whole, digest)
        seen = {"same": 0, "found": 0}
        for position in range(len(whole)):
            body = bytearray(whole)
            body[position] ^= 1 << position % 8
            try:
                found = groups_of(bytes(body), digest)
            except (CorruptDataError, IncompleteError):
                seen["found"] += 1
            else:
                assert found == expected, f"byte {position} went unseen"
                seen["same"] += 1
        assert seen["same"] <= 12, "only what is for people may be anything"
        assert seen["found"] > 100


def groups_of(data: bytes, digest: str) -> list[tuple[Any, list[Any]]]:
    """Return the groups of all partitions of a sorted run, as a reduce task reads them."""
    reader = reader_of(data, digest)
    merges = [
        NativeReduceMerge([reader], number, limits=Limits(), spill_folder="none", combine=None)
        for number in range(2)
    ]
    return [(key, list(values)) for merge in merges for key, values in merge]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("os.truncate('in.txt', 200)", "it has 200 bytes, expected 448"),
        ("os.remove('in.txt')", "it is gone, expected the file that was planned"),
        (
            "open('new', 'w').write(open('in.txt').read()); os.replace('new', 'in.txt')",
            "it was replaced (inode ",
        ),
        (
            "open('in.txt', 'r+').write('LINE'); os.utime('in.txt', (1e9, 1e9))",
            "it was written to (time of change ",
        ),
    ],
    ids=["b23-shorter", "b24-gone", "b24-replaced", "f45-written"],
)
def test_f45_b23_b24_an_input_that_changes_under_a_run_is_exit_3(
    cli: CommandLine, change: str, seen: str
) -> None:
    """Not a mix of before and after: nothing is published."""
    outcome = damaged(cli, "line10", f"import os\n{change}")

    outcome.refused(3, "input changed: `in.txt`: ", seen, "nobody writes to the input")


def test_f45_an_input_that_grows_under_a_run_is_read_as_planned(
    cli: CommandLine, expected: list[str]
) -> None:
    """What was added is not in the result, which is said."""
    outcome = damaged(cli, "line10", "open('in.txt', 'a').write('more\\n')")

    assert outcome.succeeded("grew while it was read") == expected
    assert len(LINES) == 32
