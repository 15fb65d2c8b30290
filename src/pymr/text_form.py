"""How bytes of the outside world look in a message: escaped, and never longer than asked.

A file name or a record may hold newlines, terminal escapes, or bytes that are no text. What
stands here is the only way from such bytes to a message, a log or a page.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

NAMES_SHOWN_MAX = 3  # of many files in one message

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def show_bytes(data: bytes, limit: int = 200) -> str:
    """Return `data` as printable text: at most `limit` of its bytes, then `…` if there are more.

    What is not printable UTF-8 is escaped as in a Python literal, a backslash included, so
    that two different values never look the same.
    """
    if len(data) <= limit:
        return _printable(data.decode("utf-8", "surrogateescape"))
    cut = next((cut for cut in range(limit, max(limit - 4, 0), -1) if _begins(data[cut])), limit)
    return _printable(data[:cut].decode("utf-8", "surrogateescape")) + "…"


def show_path(path: bytes | str) -> str:
    """Return a file name for a message, whole, with everything unprintable escaped."""
    name = os.fsencode(path)
    return show_bytes(name, len(name))


def show_paths(paths: Sequence[bytes | str]) -> str:
    """Return the first few file names for a message, and how many more there are."""
    shown = ", ".join(f"`{show_path(path)}`" for path in paths[:NAMES_SHOWN_MAX])
    rest = len(paths) - NAMES_SHOWN_MAX
    return f"{shown} and {rest} more" if rest > 0 else shown


def show_text(text: str) -> str:
    """Return a text of any origin on one line, safe for a terminal: unprintable is escaped.

    A backslash stays as it is, since parts of a message may have been escaped before.
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\\" else _character(c) for c in text)


def show_lines(data: bytes) -> bytes:
    """Return a text as it is, but for what a terminal would take for a command."""
    text = data.decode("utf-8", "replace")
    return "".join(c if c in "\n\t\\" or c.isprintable() else _character(c) for c in text).encode()


def _begins(byte: int) -> bool:
    """Return whether a character of UTF-8 may begin with that byte."""
    return byte & 0xC0 != 0x80  # noqa: PLR2004 - 10xxxxxx goes on with a character


def _printable(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte that is no UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def install_line(*requirements: str) -> str:
    """Return the line of a shell that installs packages for the Python that runs here."""
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])
