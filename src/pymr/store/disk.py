"""What the operating system says about files, as errors of ours; and the fsync of a folder.

The one border where an `OSError` of the store becomes a `PymrError`.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from pymr import failpoint
from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    ResourceError,
    StoreError,
    StoreUnavailableError,
)
from pymr.text_form import show_path

if TYPE_CHECKING:
    from collections.abc import Iterator

Verb = Literal["read", "write", "delete", "list", "sync"]

_CLASSES: Final[dict[int, type[PymrError]]] = {
    errno.EEXIST: ObjectExistsError,
    errno.ENOSPC: ResourceError,
    errno.EDQUOT: ResourceError,
    errno.EFBIG: ResourceError,
    errno.EMFILE: ResourceError,
    errno.ENFILE: ResourceError,
    errno.ENOMEM: ResourceError,
    errno.ESTALE: StoreUnavailableError,
    errno.ETIMEDOUT: StoreUnavailableError,
}
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_HINTS: Final[dict[int, str]] = {
    errno.ENOSPC: "free space on that disk, or choose another --output",
    errno.EDQUOT: "free some of your quota, or choose another --output",
    errno.EFBIG: "raise the limit of a file's size: ulimit -f unlimited",
    errno.EMFILE: "raise the limit of open files: ulimit -n 65536",
}


@contextmanager
def translated(verb: Verb, path: str, *, key: str, need: int = 0) -> Iterator[None]:
    """Raise what an `OSError` of the block means for the object `key`; `need` is in bytes.

    Raises:
        ObjectMissingError: there is nothing to read.
        ObjectExistsError: the name is taken.
        ResourceError: no space, quota, memory or descriptors; fields `need`, `where`, and
            `have` of a full disk.
        StoreUnavailableError: a network file system does not answer.
        StoreError: anything else.
    """
    try:
        yield
    except OSError as error:
        raise _translate(error, verb, path, key=key, need=need) from error


def _translate(error: OSError, verb: Verb, path: str, *, key: str, need: int) -> PymrError:
    number = error.errno or 0
    place = show_path(path)
    if verb == "read" and number in _MISSING:
        return ObjectMissingError(f"no object `{place}`", key=key)
    error_class = _CLASSES.get(number, StoreError)
    if error_class is ObjectExistsError:
        return ObjectExistsError(f"object `{place}` exists, expected none", key=key)
    message = f"cannot {verb} `{place}`: {os.strerror(number)}"
    if error_class is ResourceError:
        size = f", {need} bytes to write" if need else ""
        room, have = room_after(number, path)
        return ResourceError(
            message + size + room, hint=_HINTS.get(number), need=need, where=path, **have
        )
    return error_class(message, key=key)


def free_bytes(path: str) -> int | None:
    """Return what is free on the disk of `path`, which need not exist; None: nobody knows."""
    place = os.path.abspath(path)
    while True:
        try:
            seen = os.statvfs(place)
        except (FileNotFoundError, NotADirectoryError):
            place = os.path.dirname(place)
        except OSError:
            return None
        else:
            return seen.f_bavail * seen.f_frsize


def room_after(number: int, path: str) -> tuple[str, dict[str, int]]:
    """Return what to add to a message and to its fields if `number` says that a disk is full."""
    have = free_bytes(path) if number in FULL else None
    return ("", {}) if have is None else (f", {have} bytes free", {"have": have})


def sync_folder(folder: str) -> None:
    """Make the names in `folder` durable: one fsync. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: str) -> None:
    """Make `folder` and those above it that are missing, durably: one fsync for each new name.

    Raises OSError.
    """
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder) or "."
    make_folder(above)
    try:
        os.mkdir(folder)
    except FileExistsError as error:  # Somebody else has made it; or it is no folder.
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    failpoint.hit("folder.made")
    sync_folder(above)
