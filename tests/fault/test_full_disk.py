"""Disks that are full, read-only or gone, of the output and of spills; the run goes on later.

Each test has a small disk of its own, `small`, in a mount namespace.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli import COUNT_WORDS, CommandLine, Outcome
from private_mounts import needs_mounts, run_mounted
from pymr.failpoint import VARIABLE
from stopped_run import (
    SETTINGS,
    WORKER,
    objects,
    prepare,
    processes_of,
    start,
    undisturbed,
)

ARGUMENTS = " ".join(("--input=in.txt", "--workers=2", *SETTINGS))
SPILLING = "--spill=64K"
# 400 KB, of which each word goes through the shuffle with its line: spills, and no combiner.
LARGE = "".join(f"line{n:05d} {'even' if n % 2 else 'odds'} {n % 97}\n" for n in range(20_000))
COPIES = WORKER.replace("ctx.emit(word, 1)", "ctx.emit(word, line * 3)").replace(
    "sum(values)", "sum(map(len, values))"
)
# At the last key of the first part the disk is filled, but for so many pages.
FILLS = """
import os
page = b"x" * 4096
def fill(free):
    with open("small/filler", "wb", buffering=0) as file:
        try:
            while file.write(page) == len(page):
                pass
        except OSError:
            pass
        file.truncate(file.tell() - free * len(page))
fill({free})
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a run to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of the large job on a disk that has room."""
    cli = CommandLine(tmp_path_factory.mktemp("copied"))
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)
    return start(cli).succeeded()


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    cli = CommandLine(tmp_path)
    (cli.folder / "small").mkdir()
    return cli


def disk(size: str) -> str:
    return f"mount -t tmpfs -o size={size} none small"


def roomy(cli: CommandLine) -> str:
    """Return the lines that go on with the run on a larger disk, and copy what it gives."""
    return f"""echo exit $?
find small -name "part-*" -o -name _SUCCESS
mount -o remount,size=64m,rw small; rm -f small/filler
'{cli.pymr}' resume words && cp -r small/out out"""


def refused_and_resumed(outcome: Outcome, *parts: str) -> list[str]:
    """Assert exit 6, without any part, and then success; return the rows."""
    assert outcome.stdout == "exit 6\n", f"{outcome.stdout}{outcome.stderr}"
    return outcome.succeeded(*parts)


@needs_mounts
def test_f14_a_full_disk_of_spills_is_exit_6_and_another_one_helps(
    cli: CommandLine, copied: list[str]
) -> None:
    """It is told where, what is free, and what to type."""
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)

    outcome = run_mounted(
        cli,
        disk("128k"),
        f"exec '{cli.pymr}' start {ARGUMENTS} {SPILLING} --output=out --tmp-dir=small worker.py",
    )

    said = outcome.refused(6, "cannot write a spill in `small/", "No space left", " bytes free")
    assert "choose another folder with --tmp-dir" in said
    assert processes_of(cli) == []
    rows = cli.run("resume", "words", "--tmp-dir=roomy").succeeded()
    assert rows == copied


@needs_mounts
def test_f14_a_full_disk_of_the_output_is_exit_6_and_room_helps(
    cli: CommandLine, copied: list[str]
) -> None:
    """What is finished is kept: it is told how many bytes were to be written and are free."""
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)
    command = f"'{cli.pymr}' start {ARGUMENTS} --output=small/out worker.py || {roomy(cli)}"

    outcome = run_mounted(cli, disk("1m"), command)

    rows = refused_and_resumed(outcome, "No space left on device, ", " bytes to write, ")
    assert rows == copied


@needs_mounts
def test_f14_a_disk_with_less_room_than_the_input_is_warned_of(cli: CommandLine) -> None:
    """Before any work: it may do, if the mapper emits less. A combiner makes it less."""
    prepare(cli)
    cli.write("in.txt", LARGE)
    cli.write("few.py", COUNT_WORDS)
    start = f"'{cli.pymr}' start {ARGUMENTS}"

    outcome = run_mounted(
        cli,
        disk("300k"),
        f"{start} --output=small/out worker.py || true; rm -r small/out;"
        f" {start} --output=small/out few.py",
    )

    place, is_little = cli.folder / "small/out", "is on a disk with 307 kB free, less than the"
    first, *others = outcome.stderr.splitlines()
    assert first == f"warning: --output `{place}` {is_little} 358 kB of the input: it may fill up"
    assert [line for line in others if is_little in line] == []


@needs_mounts
@pytest.mark.parametrize("free", [0, 1, 2, 4])
def test_f102_a_disk_that_fills_up_at_the_end_shows_nothing_or_all(
    cli: CommandLine, expected: list[str], free: int
) -> None:
    """Whatever does not fit: a part, a decision, the manifest. With room the run goes on."""
    prepare(cli)
    cli.write("then.py", FILLS.replace("{free}", str(free)))
    cli.write("at-key-odds", "do")
    command = f"'{cli.pymr}' start {ARGUMENTS} --output=small/out worker.py && exit 0\n{roomy(cli)}"

    outcome = run_mounted(cli, disk("512k"), f"{command}\ncp -r small/out out")

    if outcome.stdout:
        assert refused_and_resumed(outcome, "No space left on device") == expected
        assert cli.run("verify", "out").code == 0
    assert outcome.code == 0
    assert outcome.stdout or free, "with so little room nothing can be done"
    assert processes_of(cli) == []


@pytest.mark.parametrize("point", ["journal.append", "publish.sync"])
def test_f102_a_journal_and_a_publication_without_room_say_where(
    cli: CommandLine, tmp_path: Path, expected: list[str], point: str
) -> None:
    """Exit 6, and what was decided before is kept."""
    prepare(cli)
    armed = f"{point} ENOSPC {5 if point == 'journal.append' else 1} {tmp_path / 'token'}"

    outcome = start(cli, environ={VARIABLE: armed})

    place = "out" if point == "publish.sync" else "journal"
    outcome.refused(6, "No space left on device", " bytes free", place, "pymr resume words")
    assert cli.run("resume", "words").succeeded() == expected


@needs_mounts
@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("mount -t tmpfs -o ro none small", "Read-only file system"),
        ("rmdir small; touch small", ""),
    ],
    ids=["read-only", "a file"],
)
def test_f15_a_folder_of_spills_that_cannot_be_used_is_refused_at_once(
    cli: CommandLine, mount: str, why: str
) -> None:
    """Before any task, with its path and why; nothing is left in the output."""
    prepare(cli)

    outcome = run_mounted(
        cli, mount, f"exec '{cli.pymr}' start {ARGUMENTS} --output=out --tmp-dir=small worker.py"
    )

    why = why or "`small` is no folder"
    outcome.refused(6, "--tmp-dir `small` cannot be used: ", why, "choose another --tmp-dir")
    assert not (cli.folder / "out").exists()
    assert not (cli.folder / "calls").exists()


def test_f15_a_resume_looks_at_the_folder_of_spills_too(
    cli: CommandLine, expected: list[str]
) -> None:
    """It may be another one, or have changed since."""
    prepare(cli)
    cli.write("at-line25", "kill-runner")
    start(cli, "--tmp-dir=small")
    shutil.rmtree(cli.folder / "small")
    cli.write("small", "")

    cli.run("resume", "words").refused(6, "cannot be used: ", "small` is no folder")

    assert cli.run("resume", "words", "--tmp-dir=other").succeeded() == expected


@needs_mounts
def test_f15_a_disk_of_spills_that_becomes_read_only_is_exit_6(
    cli: CommandLine, copied: list[str]
) -> None:
    """In the middle of the run; with another one it goes on."""
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)
    cli.write("then.py", "import os\nos.system('mount -o remount,ro small')")
    cli.write("at-line15000", "do")

    outcome = run_mounted(
        cli,
        disk("64m"),
        f"exec '{cli.pymr}' start {ARGUMENTS} --workers=1 {SPILLING} --output=out"
        " --tmp-dir=small worker.py",
    )

    outcome.refused(6, "cannot write a spill in `small/", "Read-only file system", "--tmp-dir")
    rows = cli.run("resume", "words", "--tmp-dir=other").succeeded()
    assert rows == copied


def test_f15_a_folder_of_spills_that_vanishes_costs_a_try(
    cli: CommandLine, copied: list[str]
) -> None:
    """It is made again."""
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)
    cli.write("then.py", "import shutil\nshutil.rmtree('small')")
    cli.write("at-line15000", "do")

    outcome = start(cli, SPILLING, "--tmp-dir=small")

    assert outcome.succeeded("1 attempt tried again") == copied
    assert list((cli.folder / "small").iterdir()) == []


@needs_mounts
def test_f103_an_output_on_another_disk_than_spills_and_temporary_files(
    cli: CommandLine, expected: list[str]
) -> None:
    """Nothing is moved from one to the other."""
    prepare(cli)
    command = (
        f"'{cli.pymr}' start {ARGUMENTS} --spill=64K --tmp-dir=spills --output=small/out worker.py"
    )

    outcome = run_mounted(cli, disk("8m"), f"{command}; cp -r small/out out")

    assert outcome.succeeded() == expected
    assert objects(cli)
    assert cli.run("verify", "out").code == 0


@needs_mounts
def test_f103_an_output_on_an_overlay(cli: CommandLine, expected: list[str]) -> None:
    """As containers have it."""
    prepare(cli)
    mounts = f"{disk('8m')}; mkdir small/upper small/work small/lower merged; mount -t overlay"
    mounts += " -o lowerdir=small/lower,upperdir=small/upper,workdir=small/work none merged"
    command = f"'{cli.pymr}' start {ARGUMENTS} --output=merged/out worker.py"

    outcome = run_mounted(cli, mounts, f"{command}; cp -r merged/out .")

    assert outcome.succeeded() == expected
    assert cli.run("verify", "out").code == 0


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("loop-1", "Too many levels of symbolic links"),
        ("loop-1/out", "Too many levels of symbolic links"),
        ("worker.py", "is a file, expected a new or empty directory"),
        ("in.txt/out", "Not a directory"),
        ("closed", "cannot be used"),
        ("closed/out", "Permission denied"),
    ],
)
def test_f104_an_output_that_cannot_be_is_refused_before_any_work(
    cli: CommandLine, output: str, why: str
) -> None:
    """Exit 4, with what the system says."""
    prepare(cli)
    (cli.folder / "loop-1").symlink_to("loop-2")
    (cli.folder / "loop-2").symlink_to("loop-1")
    (cli.folder / "closed").mkdir(mode=0o555)

    outcome = start(cli, f"--output={output}", without_override=True)

    outcome.refused(4, f"output `{output}` ", why)
    assert not (cli.folder / "calls").exists()


@needs_mounts
def test_f104_a_read_only_output_is_refused_before_any_work(cli: CommandLine) -> None:
    """Exit 4."""
    prepare(cli)

    outcome = run_mounted(
        cli,
        "mount -t tmpfs -o ro none small",
        f"exec '{cli.pymr}' start {ARGUMENTS} --output=small/out worker.py",
    )

    outcome.refused(4, "output `small/out` cannot be used: Read-only file system")
    assert not (cli.folder / "calls").exists()


@needs_mounts
def test_f83_a_mapper_that_emits_without_end_ends_with_the_disk(cli: CommandLine) -> None:
    """Exit 6, with what is free and what to type; nothing of it stays."""
    endless = WORKER.replace(
        "    for word", "    while True: ctx.emit(os.urandom(8), line)\n    for word"
    )
    prepare(cli, endless)
    mounts = f"{disk('2m')}; mkdir small/spills"
    command = (
        f"'{cli.pymr}' start {ARGUMENTS} {SPILLING} --output=out --tmp-dir=small/spills worker.py"
    )

    outcome = run_mounted(
        cli, mounts, f"code=0; {command} || code=$?; find small/spills; exit $code"
    )

    outcome.refused(6, "cannot write a spill in `small/spills/", "No space left", " bytes free")
    assert outcome.stdout == "small/spills\n"
    assert processes_of(cli) == []


@needs_mounts
def test_a_result_is_not_copied_onto_a_full_disk(cli: CommandLine) -> None:
    """Exit 6, with the part that had no room; nothing of it is left there."""
    prepare(cli, COPIES)
    cli.write("in.txt", LARGE)
    start(cli).succeeded()

    outcome = run_mounted(
        cli,
        disk("128k"),
        f"'{cli.pymr}' cp words small/copy; code=$?; ls -A small/copy; exit $code",
    )

    assert (outcome.code, outcome.stdout) == (6, ""), outcome.stderr
    assert "cannot write `small/copy/part-00000.tsv`: No space left on device" in outcome.stderr
    assert "hint: free space there, or name another folder" in outcome.stderr


@needs_mounts
def test_a_result_is_not_copied_into_what_can_only_be_read(cli: CommandLine) -> None:
    """Exit 4, as for a run: it is no fault of PyMR."""
    prepare(cli)
    cli.write("in.txt", LARGE)
    start(cli).succeeded()

    outcome = run_mounted(
        cli, "mount -t tmpfs -o ro none small", f"exec '{cli.pymr}' cp words small"
    )

    assert outcome.code == 4, outcome.stderr
    assert "cannot write `small/part-00000.tsv`: Read-only file system" in outcome.stderr
