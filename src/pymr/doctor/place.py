"""The folders that a run writes in: the output, that of spills, that of the list of runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from pymr.doctor.finding import Area, Finding
from pymr.errors import PymrError, ResourceError, StoreError
from pymr.observe.quantity import show_size
from pymr.store.probe import OPERATIONS, Mount, existing_folder, mount_of, probe_folder
from pymr.store.registry import state_folder
from pymr.text_form import show_path

MiB, GiB = 1 << 20, 1 << 30
FREE_BYTES_MIN = 64 * MiB  # the spill of one map task, as buffers are by default
FREE_BYTES_WISHED = 1 * GiB  # below, an input of any size worth a run may fill the disk
FREE_FILES_WISHED = 1_000  # a run makes two or three for each task

# A lock or a link there may be a promise of this machine alone.
_REMOTE = ("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.s3fs")
_IN_MEMORY = ("tmpfs", "ramfs")


class Purpose(NamedTuple):
    """What a folder is for, and so what it must be able to do."""

    area: str
    operations: tuple[str, ...]
    elsewhere: str  # what the user types to have it somewhere else
    error: type[PymrError]
    is_kept: bool  # what is written there is wanted after a reboot


OUTPUT = Purpose("output", tuple(OPERATIONS), "choose another --output", StoreError, is_kept=True)
TEMPORARY = Purpose(
    "temporary", ("write",), "choose another --tmp-dir", ResourceError, is_kept=False
)


def examine_place(path: str, purpose: Purpose) -> Iterator[Finding]:
    """Yield how the folder at `path` is, which need not exist yet."""
    area = Area(purpose.area)
    shown = show_path(path)
    try:
        folder = existing_folder(path)
    except NotADirectoryError as error:
        text = f"`{show_path(error.filename)}` is no folder"
        yield area.broken("folder", text, purpose.elsewhere, purpose.error)
        return
    is_there = folder == os.path.abspath(path)
    yield area.ok("folder", shown if is_there else f"{shown}, to be made in {show_path(folder)}")
    yield file_system(mount_of(os.path.realpath(folder), _mounts()), purpose)
    yield from _space(area, folder, purpose)
    yield from _operations(area, folder, purpose)


def examine_registry() -> Iterator[Finding]:
    """Yield whether runs can be remembered: without that they are found by their output only."""
    area = Area("list of runs")
    path = state_folder()
    try:
        failed = probe_folder(existing_folder(path), ("write",))
        why = failed["write"].message if failed else None
    except NotADirectoryError as error:
        why = f"`{show_path(error.filename)}` is no folder"
    if why is None:
        yield area.ok("folder", show_path(path))
    else:
        yield area.warning(
            "folder",
            f"{why}: runs are found by their output, not by name",
            "set XDG_STATE_HOME to a folder that can be written",
        )


def file_system(mount: Mount | None, purpose: Purpose) -> Finding:
    """Return what kind of disk a folder lies on."""
    area = Area(purpose.area)
    if mount is None:
        return area.ok("file system", "unknown")
    text = f"{mount.kind} ({show_path(mount.source)})"
    if mount.kind in _IN_MEMORY:
        loss = (
            "a result there is gone at a reboot"
            if purpose.is_kept
            else "what is there takes memory"
        )
        return area.warning("file system", f"{text} is in memory: {loss}", purpose.elsewhere)
    if mount.kind.startswith(_REMOTE):
        return area.warning(
            "file system",
            f"{text} is on another machine, expected a local disk",
            purpose.elsewhere,
        )
    return area.ok("file system", text)


def _space(area: Area, folder: str, purpose: Purpose) -> Iterator[Finding]:
    try:
        seen = os.statvfs(folder)
    except OSError as error:
        yield area.warning("free space", f"cannot be told: {error.strerror}", purpose.elsewhere)
        return
    # Some file systems count no files.
    yield from space(
        seen.f_bavail * seen.f_frsize, seen.f_favail if seen.f_files else None, purpose
    )


def space(free_bytes: int, free_files: int | None, purpose: Purpose) -> Iterator[Finding]:
    """Yield whether there is room on a disk; `free_files` None: it does not matter."""
    area = Area(purpose.area)
    remedy = f"free space on that disk, or {purpose.elsewhere}"
    text = show_size(free_bytes)
    if free_bytes < FREE_BYTES_MIN:
        text += f", expected at least {show_size(FREE_BYTES_MIN)}"
        yield area.broken("free space", text, remedy, ResourceError)
    elif free_bytes < FREE_BYTES_WISHED:
        yield area.warning("free space", f"{text} is little", remedy)
    else:
        yield area.ok("free space", text)
    if free_files is not None and free_files < FREE_FILES_WISHED:
        yield area.warning("free files", f"{free_files:,} more can be made", remedy)


def _operations(area: Area, folder: str, purpose: Purpose) -> Iterator[Finding]:
    failed = probe_folder(folder, purpose.operations)
    for operation, error in failed.items():
        error_class = ResourceError if isinstance(error, ResourceError) else purpose.error
        remedy = error.hint or purpose.elsewhere
        yield area.broken(operation, error.message, remedy, error_class)
    if not failed:
        done = ", ".join(purpose.operations)
        yield area.ok("operations", f"{done}: tried, and it works")


def _mounts() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
