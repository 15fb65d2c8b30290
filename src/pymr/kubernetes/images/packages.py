"""The packages that go into a worker's image: as its worker file declares them, or a file does.

A file of requirements is what pip reads, without its options: what they name lies outside of the
image, and an index may have a password in its address.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from pymr.errors import ConfigError
from pymr.task.declared import declared_packages
from pymr.text_form import show_path, show_text

REQUIREMENTS_BYTES_MAX: Final = 1 << 20
_HASH: Final = re.compile(r"\s--hash=[a-z0-9]+:[0-9a-f]+")
_COMMENT: Final = re.compile(r"(^|\s)#.*")


class Packages(msgspec.Struct, frozen=True):
    """Requirements, one a line, in order; `pinned` if each is a version with its hashes."""

    lines: tuple[str, ...] = ()
    pinned: bool = True


def read_packages(worker: str | None, requirements: str | None) -> Packages:
    """Return what `requirements` lists, or else what the worker file declares.

    Raises:
        ConfigError: one of the files cannot be used.
    """
    if requirements is not None:
        return _read_file(Path(requirements))
    if worker is None:
        return Packages()
    try:
        lines = declared_packages(Path(worker))
    except OSError as error:
        raise ConfigError(f"cannot read `{show_path(worker)}`: {error.strerror}") from error
    return Packages(tuple(sorted(lines)), pinned=not lines)


def _read_file(path: Path) -> Packages:
    shown = show_path(str(path))
    try:
        with path.open("rb") as file:
            body = file.read(REQUIREMENTS_BYTES_MAX + 1)
        text = body.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigError(f"cannot read `{shown}`: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"`{shown}` is no text in UTF-8, expected requirements") from error
    if len(body) > REQUIREMENTS_BYTES_MAX:
        raise ConfigError(f"`{shown}` is larger than {REQUIREMENTS_BYTES_MAX:,} bytes")
    lines, number, pinned = [], 1, True
    for whole in re.split(r"(?<!\\)\n", text):
        line = " ".join(_COMMENT.sub("", whole).replace("\\\n", " ").split())
        if line:
            _check(line, shown, number)
            pinned = pinned and _HASH.search(line) is not None
            lines.append(line)
        number += 1 + whole.count("\n")
    if not pinned and any(_HASH.search(line) for line in lines):
        bare = next(line for line in lines if not _HASH.search(line))
        raise ConfigError(
            f"`{shown}` has hashes, but none for `{show_text(bare)}`; expected all or none",
            hint=f"uv pip compile --generate-hashes {shown}",
        )
    return Packages(tuple(sorted(lines)), pinned)


def _check(line: str, shown: str, number: int) -> None:
    from packaging.requirements import InvalidRequirement, Requirement

    bare = _HASH.sub("", line)
    if line.startswith("-"):
        raise ConfigError(
            f"`{shown}` line {number}: `{show_text(bare)}` is an option of pip, expected packages"
            " only: an image has no files of this machine",
            hint="PIP_INDEX_URL=URL pymr …   for another index",
        )
    try:
        Requirement(bare)
    except InvalidRequirement as error:
        raise ConfigError(
            f"`{shown}` line {number}: `{show_text(bare)}` is no requirement, expected such as"
            " `numpy>=2`"
        ) from error
