"""What this account keeps of a run on hosts, and what of it goes when the run is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymr.cluster.run_files import RunFiles


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    files = RunFiles("r1")
    files.make_folder()
    return files


def test_only_the_log_of_a_run_that_is_over_stays(files: RunFiles, tmp_path: Path):
    """Secrets are of no use any more, and the join file goes with them."""
    join = tmp_path / "run.join"
    for path in (files.secrets, files.operator, files.spec, files.log, join):
        Path(path).write_text('{"run": "r1"}')

    files.forget(str(join))
    files.forget(str(join))

    assert [path.name for path in Path(files.log).parent.iterdir()] == ["r1.log"]
    assert not join.exists()


def test_the_join_file_of_a_background_master_is_found_by_what_that_was_told(
    files: RunFiles, tmp_path: Path
):
    """Whoever cancels its run knows no path."""
    join = tmp_path / "run.join"
    join.write_text('{"run": "r1"}')
    Path(files.spec).write_text(f'{{"join_file": "{join}", "v": 1}}')

    files.forget()

    assert not join.exists()


def test_a_join_file_that_has_become_another_runs_stays(files: RunFiles, tmp_path: Path):
    """Its path was given by a user, who may have given it twice."""
    join = tmp_path / "run.join"
    join.write_text('{"run": "r2"}')

    files.forget(str(join))

    assert join.exists()


def test_the_folder_is_for_its_owner_alone(files: RunFiles):
    """It holds secrets."""
    assert Path(files.secrets).parent.stat().st_mode & 0o077 == 0
