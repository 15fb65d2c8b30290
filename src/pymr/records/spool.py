"""Copies what can be read only once, or has no size, into a file of its own."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from pymr.errors import InputError, ResourceError
from pymr.records.magic import PIPED
from pymr.store.disk import FULL
from pymr.text_form import show_path

STANDARD_INPUT = b"-"
_COPY_BYTES = 1 << 20


def spool(path: bytes, folder: str) -> bytes:
    """Copy the file `path`, or standard input (`-`), into `folder`; return the copy's name.

    A copy is made once, readable by its owner only; asked for again, it is returned.

    Raises:
        InputError: there is no standard input, or no folder to copy to.
        ResourceError: `folder` cannot be made, or no space is left in it.
        OSError: `path` cannot be read.
    """
    name = show_path(path)
    if not folder:
        raise InputError(
            f"input `{name}` has no size, so it cannot be split",
            hint=f"cat '{name}'{PIPED}",
            input=name,
        )
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"cannot make the folder `{show_path(folder)}` for a copy of input `{name}`:"
            f" {error.strerror}",
            hint="--tmp-dir with a folder that can be written to",
        ) from error
    copy = os.path.join(os.fsencode(folder), _copy_name(path))
    if os.path.exists(copy):
        return copy
    if path != STANDARD_INPUT:
        with open(path, "rb") as source:
            return _copy(source, copy, folder)
    if sys.stdin is None:
        raise InputError("input `-`: there is no standard input", hint="--input PATH", input="-")
    return _copy(sys.stdin.buffer, copy, folder)


def _copy_name(path: bytes) -> bytes:
    if path == STANDARD_INPUT:
        return b"standard-input"
    seen = os.stat(path)
    return b"file-%d-%d" % (seen.st_dev, seen.st_ino)


def _copy(source: BinaryIO, copy: bytes, folder: str) -> bytes:
    try:
        # Nobody else may read it, nor have put something in its place.
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            while data := source.read(_COPY_BYTES):
                target.write(data)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ResourceError(
            f"no space left in `{show_path(folder)}` for a copy of the input",
            hint="--tmp-dir with a directory on a larger disk",
        ) from error
    return copy
