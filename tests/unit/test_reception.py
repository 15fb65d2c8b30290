"""How workers are let in: where the join file goes, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymr.cluster.address import HostPort
from pymr.cluster.master_spec import MasterSpec
from pymr.cluster.start import reception_of, secrets_of
from pymr.errors import ConfigError

RUN = "01a2-1"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def listen(join_file: Path, host: str) -> list[str]:
    """Have the master of a run listen at `host`; return what it says."""
    secrets_of(RUN)
    said = list[str]()
    spec = MasterSpec(
        output="s3://bucket/out",
        run=RUN,
        secrets=str(join_file.parents[1] / "state" / "pymr" / "masters" / f"{RUN}.json"),
        listen=str(HostPort(host, 0)),
        join_file=str(join_file),
        workers=1,
        worker_wait_s=1,
    )
    reception_of(spec, said.append).listening(HostPort(host, 7077))
    return said


def test_a_folder_of_another_machine_is_told_before_a_file_of_ours(tmp_path: Path) -> None:
    """A run that is resumed elsewhere may have begun where there was such a folder."""
    there = tmp_path / "elsewhere" / "run.join"

    with pytest.raises(ConfigError) as caught:
        listen(there, "127.0.0.1")

    assert f"`{there}` cannot be written: `{there.parent}` is no folder" in caught.value.message
    assert caught.value.hint == f"mkdir -p {there.parent}   or another --join-file"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_master_that_others_cannot_reach_says_so(tmp_path: Path, host: str) -> None:
    """It listens at this machine alone where nothing else was asked for."""
    (tmp_path / "folder").mkdir()

    _, line = listen(tmp_path / "folder" / "run.join", host)

    assert line == f"but none can reach {HostPort(host, 7077)}: --listen 0.0.0.0:0 is for them"


def test_a_master_that_others_reach_says_what_to_type_there(tmp_path: Path) -> None:
    """With the join file, which is to be copied."""
    (tmp_path / "folder").mkdir()

    [line] = listen(tmp_path / "folder" / "run.join", "192.0.2.1")

    assert line.startswith("on the other machines:   pymr worker --join-file ")
