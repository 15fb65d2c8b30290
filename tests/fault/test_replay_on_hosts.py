"""Bad records of a run on hosts are tried again by workers that join; and the library's word on it.

The bytes are those of a run on one machine to which nothing has happened.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import pymr
from cli import CommandLine
from hosts_run import WAIT, HostsRun, Running, until
from pymr.errors import ConfigError
from pymr.task.commit import verify_output
from pymr.task.manifest import read_manifest
from s3_request import Server
from stopped_run import TEXT, WORKER, prepare, start

pytestmark = pytest.mark.services

# Two of four map tasks have a bad record.
BAD_TEXT = TEXT.replace("line05 even", "bad").replace("line30 odds", "bad")
STRICT = WORKER.replace(
    'note("map"', 'assert line.split()[0] != "bad" or mends(), line\n    note("map"'
)
BROKEN = STRICT.replace("import pymr\n", "import pymr\n\ndef mends():\n    return False\n", 1)
MENDED = BROKEN.replace("return False", "return True")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the rows of a run on one machine without bad records."""
    cli = CommandLine(tmp_path_factory.mktemp("expected"))
    prepare(cli, MENDED)
    cli.write("in.txt", BAD_TEXT)
    return start(cli).succeeded()


@pytest.fixture
def run(tmp_path: Path, minio: Server) -> Iterator[HostsRun]:
    with HostsRun(tmp_path, minio) as made:
        yield made


def with_bad_records(run: HostsRun) -> list[str]:
    """Have a run done that left two records out, mend its worker file, and return its rows."""
    run.cli.write("in.txt", BAD_TEXT)
    run.cli.write("worker.py", BROKEN)
    master = run.start("--skip-bad-records=5")
    worker = run.worker()
    assert (master.ends(), worker.ends()) == (0, 0), master.said
    assert "2 records skipped" in master.said
    run.cli.write("worker.py", MENDED)
    return run.rows()


def replayed(run: HostsRun, *arguments: str) -> tuple[Running, Running]:
    """Begin a replay, and return its master and its worker."""
    master = run.run("replay", "words", *arguments)
    return master, run.worker()


def test_f70_a_replay_on_hosts_gives_what_an_undisturbed_run_gives(
    run: HostsRun, expected: list[str]
) -> None:
    """Workers join it as they joined the run, and load the code as it is now."""
    rows = with_bad_records(run)
    assert rows != expected

    master, worker = replayed(run)

    assert (master.ends(), worker.ends()) == (0, 0), master.said + worker.said
    assert "words is replayed: 2 of 4 map tasks are finished and kept" in master.said
    assert "WARNING" not in master.said
    assert run.rows() == expected
    assert read_manifest(run.objects).bad_records is None
    assert verify_output(run.objects) == []
    assert not run.join_file.exists(), "it is over, and nobody joins it any more"
    assert "has no bad records" in run.cli.run("replay", "words").stderr


def test_a_run_that_is_not_done_is_not_replayed(run: HostsRun) -> None:
    """It is gone on with by `resume`, as on one machine."""
    run.cli.write("in.txt", BAD_TEXT)
    run.cli.write("worker.py", BROKEN)
    master, worker = run.start(), run.worker()
    assert (master.ends(), worker.ends()) == (1, 0), master.said + worker.said

    run.cli.run("replay", "words").refused(4, "has no result in", "pymr resume words")


def test_f70_what_is_still_bad_stays_out_on_hosts(run: HostsRun, expected: list[str]) -> None:
    """It can be replayed again, after another fix."""
    rows = with_bad_records(run)
    run.cli.write("worker.py", BROKEN + "\n# another file\n")
    master, worker = replayed(run)
    assert (master.ends(), worker.ends()) == (0, 0), master.said
    assert "2 records skipped" in master.said
    assert run.rows() == rows

    run.cli.write("worker.py", MENDED)
    master, worker = replayed(run)

    assert (master.ends(), worker.ends()) == (0, 0), master.said
    assert run.rows() == expected


def test_f70_a_replay_on_hosts_that_is_stopped_is_gone_on_with(
    run: HostsRun, expected: list[str]
) -> None:
    """The old result stands meanwhile."""
    rows = with_bad_records(run)
    run.cli.write("at-line31", "do")
    run.cli.write("then.py", WAIT)
    master, worker = replayed(run)
    until("it does not come so far", (run.cli.folder / "waits").exists, told=lambda: master.said)

    master.kill(signal.SIGKILL)
    worker.kill(signal.SIGKILL)

    assert run.rows() == rows
    (run.cli.folder / "waits").unlink()
    run.cli.write("go", "")
    master, worker = replayed(run)
    assert (master.ends(), worker.ends()) == (0, 0), master.said + worker.said
    assert run.rows() == expected
    assert read_manifest(run.objects).bad_records is None
    assert verify_output(run.objects) == []


def test_f70_a_replay_on_hosts_that_fails_leaves_the_result(run: HostsRun) -> None:
    """Its worker file is worse than before."""
    rows = with_bad_records(run)
    run.cli.write("worker.py", MENDED.replace("ctx.emit(word, 1)", "ctx.emit(word, 1 / 0)"))

    master, worker = replayed(run)

    assert master.ends() == 1, master.said
    worker.ends()
    assert run.rows() == rows
    assert verify_output(run.objects) == []
    assert read_manifest(run.objects).bad_records is not None


def in_this_process(run: HostsRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library find what the command line of the run has left."""
    monkeypatch.chdir(run.cli.folder)
    for name, value in run.cli.environ.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)


def test_the_library_names_the_command_that_goes_on_on_hosts(
    run: HostsRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function call has no workers; a result that is there is returned."""
    rows = with_bad_records(run)
    in_this_process(run, monkeypatch)

    result = pymr.resume(run.output)
    with pytest.raises(ConfigError, match="run words is one of workers that join") as refused:
        pymr.replay("words")

    assert len(list(result)) == len(rows)
    assert refused.value.hint == "pymr replay words"


def test_the_library_does_not_go_on_with_a_run_of_hosts(
    run: HostsRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pymr.run` does not begin one; what is kept of it stays."""
    run.cli.write("at-line17", "raise")
    master = run.start()
    worker = run.worker()
    assert master.ends() == 1
    worker.ends()
    in_this_process(run, monkeypatch)
    before = run.journalled()

    with pytest.raises(ConfigError, match="run words is one of workers that join") as refused:
        pymr.resume("words")

    assert refused.value.hint == "pymr resume words"
    assert run.journalled() == before
