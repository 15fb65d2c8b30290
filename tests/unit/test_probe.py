"""What a folder can do, tried on real disks; and which file system holds a path."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pymr.errors import ResourceError, StoreError
from pymr.store.local import LocalStore
from pymr.store.probe import OPERATIONS, Mount, existing_folder, mount_of, probe_folder

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /mnt rw - nfs4 server:/export rw
25 24 0:23 / /mnt/my\040disk rw - tmpfs tmpfs rw
26 24 0:24 / /mnt/my\040disk rw - xfs /dev/sdb1 rw
garbage
"""


def refusing(number: int) -> Any:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_good_folder_does_all_and_is_left_as_it_was(tmp_path: Path) -> None:
    """Nothing fails, and nothing stays behind."""
    assert probe_folder(str(tmp_path)) == {}
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_work_is_named_and_the_rest_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without links, on which files cannot be synced."""
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))

    failed = probe_folder(str(tmp_path))

    assert list(failed) == ["fsync", "link"]
    assert isinstance(failed["link"], StoreError)
    assert failed["link"].message == f"cannot write `{tmp_path}`: {os.strerror(errno.EPERM)}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "operation"), [("link", "link"), ("replace", "rename"), ("mkdir", "write")]
)
def test_a_full_disk_is_one_of_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, operation: str
) -> None:
    """Its error has the class that a run would end with; a first failure is the only one."""
    monkeypatch.setattr(os, name, refusing(errno.ENOSPC))

    failed = probe_folder(str(tmp_path))

    assert list(failed) == [operation]
    assert isinstance(failed[operation], ResourceError)
    assert failed[operation].hint is not None


def test_a_promise_that_is_not_kept_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that replaces, and a lock that two get, are worse than an error."""
    import fcntl

    monkeypatch.setattr(os, "link", lambda _source, _target: None)
    monkeypatch.setattr(fcntl, "flock", lambda _file, _how: None)

    failed = probe_folder(str(tmp_path))

    assert list(failed) == ["link", "lock"]
    assert "expected a refusal" in failed["link"].message
    assert "expected a refusal" in failed["lock"].message


def test_only_what_was_asked_for_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spills need no links."""
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))

    assert probe_folder(str(tmp_path), ("write",)) == {}
    assert list(OPERATIONS) == ["write", "fsync", "link", "rename", "lock"]


def test_what_a_killed_probe_leaves_is_no_object(tmp_path: Path) -> None:
    """Its folder has a name that no listing of the store shows."""
    (tmp_path / ".tmp-probe-1").mkdir()

    assert list(LocalStore(str(tmp_path)).list("")) == []


def test_a_folder_that_is_not_there_is_made_in_the_nearest_above(tmp_path: Path) -> None:
    """Where a file stands in the way there is none."""
    (tmp_path / "file").touch()

    assert existing_folder(str(tmp_path)) == str(tmp_path)
    assert existing_folder(f"{tmp_path}/a/b") == str(tmp_path)
    with pytest.raises(NotADirectoryError) as error:
        existing_folder(f"{tmp_path}/file/b")
    assert error.value.filename == f"{tmp_path}/file"


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/", Mount("ext4", "/dev/vda")),
        ("/home/you", Mount("ext4", "/dev/vda")),
        ("/process", Mount("ext4", "/dev/vda")),
        ("/mnt", Mount("nfs4", "server:/export")),
        ("/mnt/my disk/out", Mount("xfs", "/dev/sdb1")),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_deepest_mount(folder: str, mount: Mount) -> None:
    """A name that only begins alike is another folder; of two mounts the last is seen."""
    assert mount_of(folder, MOUNTS) == mount


def test_without_a_list_of_mounts_none_is_known() -> None:
    """As where /proc is not mounted."""
    assert mount_of("/", "") is None
