"""Copies what can be read only once, or has no size, into a file of its own."""

from __future__ import annotations

import errno
import os
import sys
from typing import BinaryIO

from pymr.errors import InputError, ResourceError
from pymr.text_form import show_path

STANDARD_INPUT = b"-"
_COPY_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def spool(path: bytes, folder: str) -> bytes:
    """Copy the file `path`, or standard input (`-`), into `folder`; return the copy's name.

    Standard input is copied once: asked for again, the first copy is returned.

    Raises:
        InputError: there is no standard input, or no folder to copy to.
        ResourceError: no space is left in `folder`.
        OSError: `path` cannot be read.
    """
    name = show_path(path)
    if not folder:
        raise InputError(
            f"input `{name}` has no size, so it cannot be split",
            hint=f"cat '{name}' | pymr start --input - worker.py",
            input=name,
        )
    os.makedirs(folder, mode=0o700, exist_ok=True)  # its content is nobody else's to read
    if path != STANDARD_INPUT:
        copy = os.path.join(os.fsencode(folder), b"copy-%d" % os.stat(path).st_ino)
        with open(path, "rb") as source:
            return _copy(source, copy, folder)
    copy = os.path.join(os.fsencode(folder), b"standard-input")
    if os.path.exists(copy):
        return copy
    if sys.stdin is None:
        raise InputError("input `-`: there is no standard input", hint="--input PATH", input="-")
    return _copy(sys.stdin.buffer, copy, folder)


def _copy(source: BinaryIO, copy: bytes, folder: str) -> bytes:
    try:
        with open(copy, "wb") as target:
            while data := source.read(_COPY_BYTES):
                target.write(data)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise ResourceError(
            f"no space left in `{show_path(folder)}` for a copy of the input",
            hint="--tmp-dir with a directory on a larger disk",
        ) from error
    return copy
