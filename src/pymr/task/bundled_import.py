"""Imports modules of a bundle under the file names that they had where the run was submitted.

So tracebacks, stacks and errors name files as their author knows them, on whichever machine they
are raised. `__file__` is where the file really is.
"""

from __future__ import annotations

import linecache
import os
import sys
import tokenize
from contextlib import suppress
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from types import CodeType

_folders: dict[str, str] = {}  # of bundles: what they were called


def load_as_submitted(folder: str, submitted: str) -> None:
    """Have the files in `folder` be called as if they stood in `submitted`, from now on."""
    if not _folders:
        sys.path_hooks.insert(0, _finder_of)
    _folders[folder] = submitted


def as_submitted(path: str) -> str:
    """Return what the file `path` is called; its lines are found by that name, too."""
    for folder, submitted in _folders.items():
        if path.startswith(folder + os.sep):
            name = submitted + path[len(folder) :]
            with suppress(OSError, ValueError, SyntaxError), tokenize.open(path) as file:
                lines = file.readlines()
                linecache.cache[name] = sum(map(len, lines)), None, lines, name
            return name
    return path


def _finder_of(folder: str) -> FileFinder:
    if any(f"{folder}{os.sep}".startswith(bundle + os.sep) for bundle in _folders):
        return FileFinder(folder, (_Loader, SOURCE_SUFFIXES))
    raise ImportError("not of a bundle", path=folder)


class _Loader(SourceFileLoader):
    """Loads a module, whose code has the name that its file had; no compiled code is kept."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module."""
        path = self.get_filename(fullname)
        return compile(self.get_data(path), as_submitted(path), "exec", dont_inherit=True)
