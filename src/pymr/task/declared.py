"""The packages that a worker file declares inline (PEP 723): `# /// script`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymr.errors import WorkerFileError
from pymr.text_form import install_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# The reference implementation's pattern, PEP 723.
_SCRIPT_BLOCK = re.compile(
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
)


def declared_packages(path: Path) -> list[str]:
    """Return the packages that a worker file declares, as requirements of pip.

    Raises:
        WorkerFileError: its block is not valid.
    """
    return _dependencies(_script_block(path), path)


def check_packages(path: Path) -> None:
    """Check that the packages a worker file declares are installed here.

    Raises:
        WorkerFileError: some are missing or too old, with the command that installs them;
            or the block is not valid.
    """
    metadata = _script_block(path)
    missing = [name for name in _dependencies(metadata, path) if not _is_installed(name, path)]
    if missing:
        raise WorkerFileError(
            f"`{path}` declares packages that are not installed here: {', '.join(missing)}",
            hint=install_line(*missing),
            missing=missing,
        )
    _check_python(metadata.get("requires-python"), path)


def _script_block(path: Path) -> dict[str, Any]:
    """Return what stands in the block; nothing if there is none."""
    text = path.read_text("utf-8", "replace").replace("\r\n", "\n")
    blocks = [m for m in _SCRIPT_BLOCK.finditer(text) if m["type"] == "script"]
    if not blocks:
        return {}
    if len(blocks) > 1:
        raise WorkerFileError(f"`{path}`: {len(blocks)} `# /// script` blocks, expected one")
    return _script_metadata(blocks[0]["content"], path)


def _dependencies(metadata: dict[str, Any], path: Path) -> list[str]:
    names = metadata.get("dependencies", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WorkerFileError(f"`{path}`: `dependencies` is {names!r}, expected a list of strings")
    for name in names:
        _requirement(name, path)
    return names


def _requirement(text: str, path: Path) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise WorkerFileError(f"`{path}`: dependency `{text}`: {error}") from error


def _script_metadata(content: str, path: Path) -> dict[str, Any]:
    import tomllib

    lines = (line[2:] if line.startswith("# ") else line[1:] for line in content.splitlines())
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise WorkerFileError(f"`{path}`: the `# /// script` block: {error}") from error


def _is_installed(text: str, path: Path) -> bool:
    from importlib import metadata

    requirement = _requirement(text, path)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _check_python(wanted: object, path: Path) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if wanted is None:
        return
    seen = ".".join(map(str, sys.version_info[:3]))
    try:
        fits = isinstance(wanted, str) and SpecifierSet(wanted).contains(seen)
    except InvalidSpecifier as error:
        raise WorkerFileError(
            f"`{path}`: `requires-python` is {wanted!r}, expected such as '>=3.11'"
        ) from error
    if not fits:
        raise WorkerFileError(f"`{path}` requires Python {wanted}, this is {seen}")
