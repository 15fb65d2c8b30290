"""Tells by its first bytes that a file holds no text: archives, tables, programs.

A reader of lines would cut such files into rubbish and call it a result. They are refused
with the command that gives their text; nothing is ever extracted here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pymr.records.encoding import UTF_8

HEAD_BYTES = 512  # one block of a tar archive: its magic stands at 257
TAIL_BYTES = 4

_WHOLE_HINT = "read it in the mapper: pymr.Job(..., input=pymr.WHOLE)"
PIPED: Final = " | pymr start --input - …"  # with the other arguments


class Refusal(NamedTuple):
    """Why a file is not read as text, and the hint; `{}` stands for its quoted name."""

    reason: str
    hint: str

    def hint_for(self, name: str, *, is_object: bool) -> str:
        """Return what to type for the input `name`; no tool for archives reads from a store."""
        return _WHOLE_HINT if is_object and "{}" in self.hint else self.hint.format(name)


_ZIP = Refusal("is a zip archive", "unzip -p {}" + PIPED)
_ENCRYPTED_ZIP = Refusal("is an encrypted zip archive", "unzip -P PASSWORD -p {}" + PIPED)
_TAR = Refusal("is a tar archive", "tar -xOf {}" + PIPED)
_PARQUET = Refusal("is a Parquet file", _WHOLE_HINT)

_REFUSALS = (
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),
    (b"PK\x07\x08", _ZIP),
    (b"7z\xbc\xaf\x27\x1c", Refusal("is a 7z archive", "7z x -so {}" + PIPED)),
    (b"Rar!\x1a\x07", Refusal("is a rar archive", "unrar p -inul {}" + PIPED)),
    (b"\x04\x22\x4d\x18", Refusal("is lz4 data, which is not supported", "lz4 -dc {}" + PIPED)),
    (b"\x1f\x9d", Refusal("is compress data, which is not supported", "zcat {}" + PIPED)),
    (b"Obj\x01", Refusal("is an Avro file", _WHOLE_HINT)),
    (b"SQLite format 3\0", Refusal("is an SQLite database", _WHOLE_HINT)),
    (b"\x89HDF\r\n\x1a\n", Refusal("is an HDF5 file", _WHOLE_HINT)),
    (b"\x7fELF", Refusal("is a program (ELF)", _WHOLE_HINT)),
)

_PARQUET_MAGIC = b"PAR1"  # at both ends: text may well begin with these letters

_BYTE_ORDER_MARKS = (  # UTF-32-LE begins like UTF-16-LE, so it is asked for first
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def refusal_of(head: bytes, tail: bytes, encoding: str) -> Refusal | None:
    """Return why a file that begins and ends so is no text of `encoding`, or None."""
    if head[257:262] == b"ustar":
        return _TAR
    if head.startswith(_PARQUET_MAGIC) and tail == _PARQUET_MAGIC:
        return _PARQUET
    for magic, refusal in _REFUSALS:
        if head.startswith(magic):
            encrypted = refusal is _ZIP and head[6:7] and head[6] & 1
            return _ENCRYPTED_ZIP if encrypted else refusal
    if encoding == UTF_8:
        for mark, name in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                shown = name.upper()
                return Refusal(f"looks like {shown}; use --encoding {name}", f"--encoding {name}")
    return None
