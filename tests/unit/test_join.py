"""The join file: who may read it, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pymr.cluster.certificate import new_authority
from pymr.cluster.join import (
    JoinFile,
    MasterFile,
    join_file,
    master_file,
    new_tokens,
    read_join_file,
    read_master_file,
    write_join_file,
)
from pymr.errors import ConfigError

AUTHORITY = new_authority("run-1")
TOKENS = new_tokens()
JOIN = join_file(AUTHORITY, TOKENS, "worker", ("10.0.0.7:50051", "big.example:50051"))


def written(folder: Path, join: JoinFile | MasterFile = JOIN) -> str:
    """Return the path of a join file."""
    path = str(folder / "join.json")
    write_join_file(path, join)
    return path


def refused(path: str) -> ConfigError:
    """Return why a file cannot be read as that of a worker."""
    with pytest.raises(ConfigError) as caught:
        read_join_file(path, "worker")
    return caught.value


def test_a_join_file_comes_back_as_it_was(tmp_path: Path) -> None:
    """With role, run, addresses, certificates and token."""
    assert read_join_file(written(tmp_path), "worker") == JOIN


def test_a_master_file_comes_back_with_its_authority(tmp_path: Path) -> None:
    """Another life of the master is trusted by the same workers."""
    path = written(tmp_path, master_file(AUTHORITY, TOKENS))

    back = read_master_file(path)

    assert back.tokens == TOKENS
    assert back.open().certificate == AUTHORITY.certificate
    assert back.open().run == "run-1"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Mode 0600, from the first byte on."""
    before = os.umask(umask)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    """It may be that of a run that still works."""
    path = tmp_path / "join.json"
    path.write_text("mine")

    with pytest.raises(ConfigError, match="exists, and is not replaced") as caught:
        write_join_file(str(path), JOIN)

    assert path.read_text() == "mine"
    assert caught.value.hint == f"rm {path}"


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """Somebody may have put it there to get at the secrets."""
    target = tmp_path / "target"
    (tmp_path / "join.json").symlink_to(target)

    with pytest.raises(ConfigError, match="exists, and is not replaced"):
        written(tmp_path)

    assert not target.exists()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Nothing is made on the way."""
    with pytest.raises(ConfigError, match=r"cannot write join file `.*`: No such file"):
        write_join_file(str(tmp_path / "no" / "join.json"), JOIN)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o777])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Its secrets may be known; the hint mends it."""
    path = written(tmp_path)
    Path(path).chmod(mode)

    error = refused(path)

    assert f"its mode is {mode:04o}, expected 0600" in error.message
    assert error.hint == f"chmod 600 {path}"
    assert error.exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another group")
def test_a_file_that_root_gave_to_the_own_group_alone_is_private(tmp_path: Path) -> None:
    """So is a Secret mounted into a pod; to another group, or for writing, it is none."""
    path = Path(written(tmp_path))
    path.chmod(0o440)
    assert read_join_file(str(path), "worker") == JOIN

    path.chmod(0o640)
    assert "is not private" in refused(str(path)).message
    path.chmod(0o444)
    assert "is not private" in refused(str(path)).message
    path.chmod(0o440)
    os.chown(path, 0, 65_531)
    assert "is not private" in refused(str(path)).message
    os.chown(path, 65_531, os.getegid())
    assert "is not private" in refused(str(path)).message


def test_a_file_through_a_link_is_read_if_it_is_private(tmp_path: Path) -> None:
    """So are secrets mounted into a container; what counts is the file."""
    path = written(tmp_path)
    (tmp_path / "link").symlink_to(path)

    assert read_join_file(str(tmp_path / "link"), "worker") == JOIN


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, and a pipe that nobody writes into."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert "is not a regular file" in refused(str(tmp_path)).message
    assert "is not a regular file" in refused(str(tmp_path / "pipe")).message


def test_a_join_file_that_is_not_there_is_refused_with_where_it_comes_from(
    tmp_path: Path,
) -> None:
    """The worker may have been started first, or elsewhere."""
    error = refused(str(tmp_path / "none"))

    assert "there is none" in error.message
    assert "pymr start --on hosts" in str(error.hint)


@pytest.mark.parametrize("body", ["", "{", "[]", '{"v": 1}', '{"v": 1, "kind": "x"}', "\udcff"])
def test_what_is_no_join_file_is_refused(tmp_path: Path, body: str) -> None:
    """And nothing of it is shown."""
    path = tmp_path / "join.json"
    path.write_bytes(body.encode(errors="surrogateescape"))
    path.chmod(0o600)

    error = refused(str(path))

    assert "is no join file" in error.message
    assert error.hint == "copy it again from the machine of the master"


def test_a_file_without_an_address_is_refused(tmp_path: Path) -> None:
    """There is nobody to join."""
    path = Path(written(tmp_path))
    path.write_text(json.dumps({**json.loads(path.read_text()), "addresses": []}))

    assert "is no join file: Expected `array` of length >= 1" in refused(str(path)).message


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """It is none of ours."""
    path = tmp_path / "join.json"
    with path.open("wb") as file:
        file.truncate(2 << 20)
    path.chmod(0o600)

    assert "is no join file: 2097152 bytes" in refused(str(path)).message


def test_the_file_of_another_role_is_refused(tmp_path: Path) -> None:
    """An operator's file on a worker's machine gives away more than it should."""
    path = written(tmp_path, join_file(AUTHORITY, TOKENS, "operator", ("h:1",)))

    assert "is for the operator of a run, expected a worker's" in refused(path).message
    with pytest.raises(ConfigError, match="is for the operator of a run, expected a master's"):
        read_master_file(path)


def test_a_master_file_is_no_join_file(tmp_path: Path) -> None:
    """Nor the other way round."""
    path = written(tmp_path, master_file(AUTHORITY, TOKENS))

    assert "is for the master of a run, expected a worker's" in refused(path).message


def test_a_later_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Both versions are named."""
    path = Path(written(tmp_path))
    path.write_text(json.dumps({**json.loads(path.read_text()), "v": 2}))

    error = refused(str(path))

    assert "has version 2, expected 1 at most" in error.message
    assert error.hint == "pip install --upgrade 'pymr[cluster]'"


def test_roles_have_tokens_of_their_own_that_nobody_can_guess() -> None:
    """256 bits each."""
    assert len({TOKENS.worker, TOKENS.operator, new_tokens().worker}) == 3
    assert all(len(token) >= 43 for token in (TOKENS.worker, TOKENS.operator))
    assert JOIN.token == TOKENS.worker


def test_no_repr_has_a_secret() -> None:
    """Whoever logs one of them gives nothing away."""
    for each in (JOIN, TOKENS, master_file(AUTHORITY, TOKENS)):
        text = f"{each!r} {each}"
        assert TOKENS.worker not in text
        assert TOKENS.operator not in text
        assert "BEGIN" not in text
    assert repr(JOIN) == "JoinFile('worker', 'run-1', 10.0.0.7:50051, big.example:50051, …)"
