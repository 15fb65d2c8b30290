"""Whatever breaks, wherever: the run goes on to the same bytes, and leaves nothing behind.

Each fail-point with each of its kinds is one test: it is hit, the run is resumed (or started anew,
if nothing had begun), and the bytes are those of an undisturbed run. A fail-point that is not
reached fails its test.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from cli import PYMR, CommandLine, Outcome
from pymr.failpoint import POINTS, VARIABLE
from pymr.store.local import LocalStore
from pymr.task.commit import verify_output
from stopped_run import SETTINGS, go_on, manifest, objects, prepare, processes_of, start, stopped

TASK_POINTS = ("task.", "map.", "reduce.", "spill.", "object.", "attempt.")
HOSTS_POINTS = ("grant.", "completion.", "slot.", "worker.")  # tests/fault/test_hosts_crash.py
RESUME_POINTS = ("resume.", "run.")  # reached by a run that goes on
# With two workers, and spills: a few records fill the buffer.
ARGUMENTS = ("--workers=2", "--spill=200")
COMMAND = ("start", "--input=in.txt", "--output=out", *SETTINGS, *ARGUMENTS, "worker.py")
# The exit codes of what may break: user code is no part of it.
CODES = {
    "kill": {0, -signal.SIGKILL},
    "stop": {130, -signal.SIGKILL},
    "raise": {0, 2, 70},  # 2: before the worker file was loaded
    "slow": {0},
    "short": {0},
    "ENOSPC": {0, 6},
    "EIO": {0, 4, 5},  # 4: the output cannot be claimed
}
# Not at their first time: something is to be kept.
TIMES = {"journal.append": 5, "map.record": 12, "object.write": 3, "object.sync": 3}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """The rows of a run to which nothing happens, and the objects that it leaves."""
    cli = CommandLine(tmp_path_factory.mktemp("undisturbed"))
    prepare(cli)
    return start(cli, *ARGUMENTS).succeeded(), objects(cli)


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        pytest.param(point, kind, id=f"{point}-{kind}")
        for point in POINTS
        if not point.startswith(HOSTS_POINTS)
        for kind in POINTS[point]
    ],
)
def test_a_run_that_breaks_there_goes_on(
    tmp_path: Path, undisturbed: tuple[list[str], list[str]], point: str, kind: str
) -> None:
    """And what it leaves is what any run leaves."""
    cli = CommandLine(tmp_path)
    if point.startswith(RESUME_POINTS):
        stopped(cli, "key-0")
        command = ("resume", "words")
    else:
        prepare(cli)
        command = COMMAND
    token = cli.folder / "token"

    broken = run_broken(cli, command, f"{point} {kind} {TIMES.get(point, 1)} {token}")

    assert token.exists(), f"{point} was not reached\n{broken.stderr}"
    assert broken.code in CODES[kind], broken.stderr
    assert "Traceback" not in broken.stderr or kind == "raise"
    if broken.code:
        assert_nothing_half_published(cli)
    go_on(cli, *ARGUMENTS)
    rows, left = undisturbed
    assert Outcome(0, "", "", cli.folder).rows() == rows
    assert [re.sub(r"-\d+$", "-1", name) for name in objects(cli)] == left
    assert verify_output(LocalStore(str(cli.folder / "out"))) == []
    assert processes_of(cli) == []


def run_broken(cli: CommandLine, command: tuple[str, ...], armed: str) -> Outcome:
    """Run a command with a fail-point; a process that is stopped there is not waited for."""
    environ = {**cli.environ, VARIABLE: armed}
    with subprocess.Popen(
        ["env", "--default-signal", PYMR, *command],
        cwd=cli.folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as popen:
        assert popen.stderr is not None
        try:
            token = Path(armed.split()[3])
            said = b"".join(said_until_hit(popen.stderr, token))
            if token.exists() and " stop " in armed:
                is_task = armed.startswith(TASK_POINTS)
                popen.send_signal(signal.SIGINT if is_task else signal.SIGKILL)
            _, rest = popen.communicate(timeout=30)
        finally:
            popen.kill()
    return Outcome(popen.returncode, "", (said + rest).decode(), cli.folder)


def said_until_hit(stream: IO[bytes], token: Path) -> Iterator[bytes]:
    """Yield what is said until the fail-point is hit, or the command ends; bounded in time."""
    deadline = time.monotonic() + 30
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not token.exists():
            assert time.monotonic() < deadline, "it hangs"
            if selector.select(0.01):
                data = os.read(stream.fileno(), 1 << 16)
                yield data
                if not data:
                    return


def assert_nothing_half_published(cli: CommandLine) -> None:
    """There is no part, or there is a manifest that names it."""
    parts = [path.name for path in (cli.folder / "out").glob("part-*")]
    if parts:
        assert set(parts) <= {part["name"] for part in manifest(cli)["parts"]}
