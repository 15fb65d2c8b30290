"""Reading a TOML file of settings, with lines in every message. Imported only if one exists.

`tomllib` says where a syntax error is, but not where a key stands. `key_lines` finds that by
looking at the lines themselves; it may miss a key inside an inline table, and a message then
has no line.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from pymr.config.value import quote
from pymr.errors import ConfigError

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"\s*([^=#\[]+?)\s*=")
_AT_LINE = re.compile(r"(.*) \(at line (\d+), column \d+\)", re.DOTALL)


def read_text(path: str, shown: str) -> str | None:
    """Return the text of the file, or None if there is none.

    Raises:
        ConfigError: it is no regular file, cannot be read, or is not UTF-8.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{shown} is not a regular file, expected a TOML file", file=shown)
        with open(path, "rb") as file:
            return file.read().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"{shown} cannot be read: {error.strerror}", hint=f"chmod u+r {shown}", file=shown
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown} line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8",
            file=shown,
            line=line,
        ) from error


def parse(text: str, shown: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ConfigError: a syntax error, or a key that stands twice.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        match = _AT_LINE.fullmatch(str(error).partition("\n")[0])
        line = int(match[2]) if match else len(lines)
        reason = match[1] if match else str(error)
        content = lines[line - 1].strip()
        if reason.startswith(("Cannot overwrite", "Cannot declare")):
            key = content.partition("=")[0].strip()
            problem = f"{quote(key)} stands there a second time, expected each key once"
        else:
            problem = (
                f"{quote(content)} is not TOML ({reason[:1].lower()}{reason[1:]}),"
                " expected such as `workers = 4`"
            )
        raise ConfigError(f"{shown} line {line}: {problem}", file=shown, line=line) from error


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, of each key; a key is its whole path of table names."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_path(key[1])), number)
    return lines


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))
