"""The files that make up a worker: `worker.py` and the modules beside it that it imports.

Found by reading import statements, without running anything, so that an import inside a
function counts too. Of a package, with or without an `__init__.py`, every `.py` file belongs.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from pymr.errors import WorkerFileError

SOURCE_CHARACTERS_MAX = 80  # of a line in a message


def parse_worker(path: Path) -> ast.Module:
    """Return the syntax tree of a worker file.

    Raises:
        WorkerFileError: it is missing, unreadable, or not Python; with line and column.
    """
    try:
        return ast.parse(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise WorkerFileError(
            f"no such worker file: `{path}`", hint="pymr init writes one that runs"
        ) from error
    except IsADirectoryError as error:
        raise WorkerFileError(f"worker file `{path}` is a directory") from error
    except OSError as error:
        raise WorkerFileError(f"worker file `{path}`: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise not_python(path, error) from error


def not_python(path: Path, error: Exception) -> WorkerFileError:
    """Return what the compiler has against a file, with line and column."""
    match error:
        case SyntaxError():
            source = (error.text or "").strip()[:SOURCE_CHARACTERS_MAX]
            return WorkerFileError(
                f"{path}:{error.lineno or 1}:{error.offset or 1}: {error.msg}"
                + (f": `{source}`" if source else ""),
                line=error.lineno,
                column=error.offset,
            )
        case RecursionError() | MemoryError():  # both are how deep nesting ends
            return WorkerFileError(f"`{path}` is nested too deeply for Python")
        case _:  # a NUL byte, for instance
            return WorkerFileError(f"`{path}` cannot be compiled: {error}")


def find_source_files(worker: Path) -> list[Path]:
    """Return `worker` and all files beside it that it imports, the worker first, then sorted.

    Raises:
        WorkerFileError: as `parse_worker`.
    """
    folder = worker.parent
    found: dict[Path, None] = {worker: None}
    queue = [parse_worker(worker)]
    while queue:
        for name in _imported(queue.pop()):
            for neighbour in _files_of(folder, name):
                if neighbour not in found:
                    found[neighbour] = None
                    queue.append(parse_worker(neighbour))
    return [worker, *sorted(set(found) - {worker})]


def digest_of(files: list[Path], folder: Path) -> str:
    """Return the SHA-256 of names and contents; the folder's own name does not matter."""
    return digest_of_bodies(
        (path.relative_to(folder).as_posix(), path.read_bytes()) for path in files
    )


def digest_of_bodies(bodies: Iterable[tuple[str, bytes]]) -> str:
    """Return what `digest_of` does of files with these names and contents."""
    total = hashlib.sha256()
    for name, body in bodies:
        total.update(f"{name}\0{len(body)}\0".encode("utf-8", "surrogateescape"))
        total.update(body)
    return total.hexdigest()


def _imported(tree: ast.Module) -> set[str]:
    """Return the top-level names that a file imports; relative imports stay in its package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def _files_of(folder: Path, name: str) -> list[Path]:
    module, package = folder / f"{name}.py", folder / name
    if (package / "__init__.py").is_file():
        return sorted(package.rglob("*.py"))
    if module.is_file():
        return [module]
    if name in sys.stdlib_module_names or name == "pymr":  # A folder is no match for a package:
        return []  # a clone of PyMR, say, in which there are thousands of files.
    return sorted(package.rglob("*.py"))
