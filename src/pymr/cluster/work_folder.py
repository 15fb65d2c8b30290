"""The folder of a worker: code, spills and logs until they are sent; it goes with the worker.

A worker that was killed leaves its folder. A lock says whether its owner lives, and the next worker
of this account on this machine removes what is nobody's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pymr.errors import ResourceError
from pymr.text_form import show_path

_PREFIX: Final = "pymr-worker-"


@contextmanager
def work_folder(parent: str | None) -> Iterator[str]:
    """Make a folder below `parent` (None: where temporary files are), for the time of the block.

    Raises:
        ResourceError: it cannot be made.
    """
    try:
        parent = parent or tempfile.gettempdir()
        _remove_left(parent)
        folder, lock = _made(parent)
    except OSError as error:
        raise ResourceError(
            f"no folder for spills can be made in `{show_path(parent or '')}`: {error.strerror}",
            hint="--tmp-dir   with a folder that can be written",
            where=parent,
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(parent: str) -> tuple[str, int]:
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        lock = _locked(folder)
        if lock is not None and os.path.isdir(folder):
            return folder, lock
        if lock is not None:  # Another worker took it for one that was left.
            os.close(lock)


def _remove_left(parent: str) -> None:
    with os.scandir(parent) as entries:
        folders = [each.path for each in entries if each.name.startswith(_PREFIX)]
    for folder in folders:
        lock = _locked(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: str) -> int | None:
    """Return a descriptor that holds the lock of a folder of this account; None: it is held."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with suppress(OSError):
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
        os.close(descriptor)
    return None
