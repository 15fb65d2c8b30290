"""Few open files, few processes, and a disk that fails to read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli import PYMR, CommandLine, Outcome
from private_mounts import needs_mounts
from pymr.config.machine import FILES_MIN
from stopped_run import manifest, prepare, start, undisturbed

# Where the input is read, {times} the disk says no.
SITE = """\
import errno, os

pread = os.pread

def failing(descriptor, length, offset):
    is_input = os.readlink(f"/proc/self/fd/{descriptor}").endswith("in.txt")
    if is_input and offset and len(os.listdir("tokens")) < {times}:
        os.mkdir(f"tokens/{os.getpid()}-{len(os.listdir('tokens'))}")
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return pread(descriptor, length, offset)

os.pread = failing
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a run to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def limited(cli: CommandLine, limit: str, *arguments: str) -> Outcome:
    """Start the prepared job under a limit, spilling at each record, with many sorted runs."""
    given = " ".join(arguments)
    return cli.shell(
        f"{limit}; exec '{PYMR}' start --input=in.txt --output=out --workers=2 --mappers=4"
        f" --reducers=2 --name=words --spill=100 {given} worker.py"
    )


@pytest.mark.parametrize("files", [64, 32, 20, FILES_MIN])
def test_f22_few_open_files_are_enough_for_the_same_bytes(
    cli: CommandLine, expected: list[str], files: int
) -> None:
    """Fewer sorted runs are merged at once, by fewer workers; both is said."""
    prepare(cli)

    outcome = limited(cli, f"ulimit -n {files}")

    fan_in = max(files - 16, 2)
    notice = f"merge_fan_in is 64, going on with {fan_in}, by the open files allowed here"
    assert outcome.succeeded(notice) == expected
    assert ("workers is 2, going on with 1" in outcome.stderr) == (files < 26)
    assert manifest(cli)["ledger"]["bytes_in"] == 448


def test_f22_what_a_merge_has_open_is_frozen_when_a_run_is_planned(
    cli: CommandLine, expected: list[str]
) -> None:
    """A later process with more files goes on in the same way."""
    prepare(cli)
    cli.write("at-key-odds", "kill-runner")
    limited(cli, "ulimit -n 24", "--workers=1")

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == expected


def test_f22_a_resume_with_fewer_open_files_is_warned(
    cli: CommandLine, expected: list[str]
) -> None:
    """It may do: a merge is seldom as wide as it may be."""
    prepare(cli)
    cli.write("at-key-odds", "kill-runner")
    limited(cli, "true", "--workers=1")

    outcome = cli.shell(f"ulimit -n 30; exec '{PYMR}' resume words")

    first = outcome.stderr.splitlines()[0]
    assert first == (
        "warning: up to 64 sorted runs are merged at once, as the run was planned, and 30 open"
        " files are allowed here (ulimit -n)"
    )
    assert outcome.succeeded() == expected


def test_f22_no_run_begins_with_too_few_open_files(cli: CommandLine) -> None:
    """Exit 6, with the limit, what is needed and what to type."""
    prepare(cli)

    outcome = limited(cli, f"ulimit -n {FILES_MIN - 1}")

    outcome.refused(
        6,
        f"{FILES_MIN - 1} open files are allowed here (ulimit -n), expected at least {FILES_MIN}",
        "ulimit -n 1024",
    )
    assert not (cli.folder / "out").exists()


@needs_mounts
def test_f22_a_process_that_cannot_be_started_is_exit_6(cli: CommandLine) -> None:
    """With what the system says, and the limit to raise. Root has no such limit."""
    prepare(cli)
    user = "setpriv --reuid=64999 --regid=64999 --clear-groups --bounding-set=-all"
    try_it = cli.shell(f"{user} '{PYMR}' version")
    if try_it.code:
        pytest.skip("another user cannot read this Python")
    cli.write(
        "limited.py",
        "import resource, sys\n"
        "from pymr.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
        "sys.argv[0] = 'pymr'\n"
        "sys.exit(main())\n",
    )
    place = "/mnt/here"
    outcome = cli.shell(
        "exec unshare -m sh -ec '"
        f"mount -t tmpfs -o mode=1777 none /mnt; mkdir -m 777 {place}; cp *.* {place};"
        f" cd {place}; export HOME={place} TMPDIR={place} XDG_STATE_HOME={place} XDG_CONFIG_HOME={place};"
        f" exec {user} '{PYMR.parent}/python' limited.py start --input=in.txt --output=out"
        " worker.py'"
    )

    outcome.refused(
        6, "cannot start task process `worker-1`: Resource temporarily unavailable", "ulimit -u"
    )


@pytest.mark.parametrize("times", [1, 99])
def test_f22_a_disk_that_fails_to_read_is_tried_again(
    cli: CommandLine, expected: list[str], times: int
) -> None:
    """Four times; then exit 3, with the input, the place in it and what the system said."""
    prepare(cli)
    (cli.folder / "tokens").mkdir()
    site = cli.write("site/sitecustomize.py", SITE.replace("{times}", str(times)))

    outcome = start(cli, environ={"PYTHONPATH": str(site.parent)})

    if times == 1:
        assert outcome.succeeded("1 attempt tried again") == expected
        assert cli.run("verify", "out").code == 0
    else:
        outcome.refused(3, "cannot read `in.txt` at byte ", "Input/output error")
        assert outcome.stderr.count("tried again") == 3
        shutil.rmtree(site.parent)
        assert cli.run("resume", "words").succeeded() == expected
