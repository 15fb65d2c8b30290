"""The folder of a worker: its own, gone with it, and with the next one if it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pymr.cluster.work_folder import work_folder
from pymr.errors import ResourceError

KILLED = """\
import os, signal, sys
from pymr.cluster.work_folder import work_folder
with work_folder(sys.argv[1]) as folder:
    open(folder + "/spill", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_goes_with_its_worker(tmp_path: Path) -> None:
    """With all that is in it."""
    with work_folder(str(tmp_path)) as folder:
        Path(folder, "code").mkdir()

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_left_goes_and_nothing_else(tmp_path: Path) -> None:
    """Other workers live; other folders are somebody's."""
    (tmp_path / "pymr-other").mkdir()
    with work_folder(str(tmp_path)) as living:
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 3

        with work_folder(str(tmp_path)) as mine:
            left = set(tmp_path.iterdir())

    assert left == {tmp_path / "pymr-other", Path(living), Path(mine)}


def test_f15_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Before the worker joins."""
    with pytest.raises(ResourceError, match=r"no folder for spills .*: No such file"):  # noqa: SIM117
        with work_folder(str(tmp_path / "gone")):
            pass
