"""Compiled modules without what only linkers, debuggers and profilers read.

A dynamic loader follows the program headers of an ELF file and looks at nothing else. The table of
sections and the names of a library's own functions lie behind all that those name, in some wheels
millions of bytes of them. `strip` of binutils leaves little more, and no base image has it.
"""

from __future__ import annotations

import struct
from typing import Final

_ELF64_LITTLE: Final = b"\x7fELF\x02\x01"
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")


def without_names(body: bytes) -> bytes:
    """Return a shared object with all that a process maps of it; what is none is left as it is."""
    if not body.startswith(_ELF64_LITTLE) or len(body) < _HEADER.size:
        return body
    header = list(_HEADER.unpack_from(body))
    first, size, count = header[5], header[9], header[10]
    end = first + size * count
    if size != _PROGRAM.size or not _HEADER.size <= end <= len(body):
        return body
    for number in range(count):
        program = _PROGRAM.unpack_from(body, first + number * size)
        end = max(end, program[2] + program[5])  # its place in the file, and its size there
    if end > len(body):
        return body
    header[6] = header[12] = header[13] = 0  # no table of sections
    return _HEADER.pack(*header) + body[_HEADER.size : end]
