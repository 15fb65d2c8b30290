"""What a folder can really do, found by doing it, and on what kind of disk it lies.

A probe works in a folder of its own with a name that no listing of ours shows, and removes it.
It tries what the local store and its claim rely on, each with the error that a run would end with.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from pymr.errors import PymrError, StoreError
from pymr.names import new_nonce
from pymr.store.disk import sync_folder, translated

BODY: Final = b"PyMR looks whether a folder can be used.\n"
_TEMPORARY: Final = ".tmp-probe-"  # as `store.local` begins what a crash may leave


class Mount(NamedTuple):
    """The file system that holds a path."""

    kind: str  # ext4, tmpfs, nfs4 …
    source: str  # /dev/sda1, server:/export, tmpfs …


def probe_folder(folder: str, operations: tuple[str, ...] = ()) -> dict[str, PymrError]:
    """Return what does not work in `folder`, which exists: operation → the error of it.

    `operations` are among OPERATIONS; without any, all are tried. What follows from another
    failure is not tried: a folder that cannot be written fails in that alone.
    """
    place = os.path.join(folder, f"{_TEMPORARY}{new_nonce()}")
    failed: dict[str, PymrError] = {}
    try:
        for operation in operations or tuple(OPERATIONS):
            try:
                with translated("write", folder, key=operation):
                    OPERATIONS[operation](place)
            except PymrError as error:
                failed[operation] = error
                if operation == "write":
                    break
    finally:
        _remove_all(place)
    return failed


def _write(place: str) -> None:
    os.mkdir(place)
    with open(f"{place}/written", "xb") as file:
        file.write(BODY)
    with open(f"{place}/written", "rb") as file:
        if file.read() != BODY:
            raise StoreError("what was written is not what is read back", key="write")


def _fsync(place: str) -> None:
    with open(f"{place}/synced", "xb") as file:
        file.write(BODY)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(place)


def _link(place: str) -> None:
    """A second name for a file, refused where the name is taken: how an object appears."""
    _make(f"{place}/linked")
    os.link(f"{place}/linked", f"{place}/taken")
    try:
        os.link(f"{place}/linked", f"{place}/taken")
    except FileExistsError:
        return
    raise StoreError("a link took the place of a file, expected a refusal", key="link")


def _rename(place: str) -> None:
    """A file in the place of another, in one step: how a manifest is replaced."""
    _make(f"{place}/old")
    _make(f"{place}/new")
    os.replace(f"{place}/new", f"{place}/old")


def _lock(place: str) -> None:
    """A lock that a second opening of the file is refused: how an output is claimed."""
    import fcntl

    with open(f"{place}/locked", "xb") as first, open(f"{place}/locked", "rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise StoreError("a lock that is held was given again, expected a refusal", key="lock")


OPERATIONS: Final[dict[str, Callable[[str], None]]] = {
    "write": _write,
    "fsync": _fsync,
    "link": _link,
    "rename": _rename,
    "lock": _lock,
}


def _make(path: str) -> None:
    with open(path, "xb"):
        pass


def _remove_all(place: str) -> None:
    with suppress(OSError):
        for name in os.listdir(place):
            os.unlink(f"{place}/{name}")
        os.rmdir(place)


def existing_folder(path: str) -> str:
    """Return `path`, or the nearest folder above it that is there: where it would be made.

    Raises:
        NotADirectoryError: a file stands in the way; its `filename` names it.
    """
    place = os.path.abspath(path)
    while not os.path.isdir(place):
        if os.path.lexists(place):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)
        place = os.path.dirname(place)
    return place


def mount_of(folder: str, mounts: str) -> Mount | None:
    """Return the file system of `folder`, whose links are resolved; None: it is not known.

    `mounts` is the text of /proc/self/mountinfo. Of mounts over one another the last is seen.
    """
    found, depth = None, -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(rest) < 2:  # noqa: PLR2004 - proc_pid_mountinfo(5)
            continue
        point = _unescaped(fields[4])
        if _lies_in(folder, point) and len(point) >= depth:
            found, depth = Mount(rest[0], _unescaped(rest[1])), len(point)
    return found


def _lies_in(folder: str, point: str) -> bool:
    return folder == point or folder.startswith(point.rstrip("/") + "/")


def _unescaped(field: str) -> str:
    r"""Return a field of mountinfo, in which blanks are octal: `\040`."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        field = field.replace(code, chr(int(code[1:], 8)))
    return field
