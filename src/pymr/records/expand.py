"""Turns names, globs and directories into paths of files.

As a shell would: a glob is what it matches, a directory among that is its files. A name that
exists is that file, even if it has `*`, `?` or `[` in it.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pymr.errors import InputError
from pymr.names import MANIFEST
from pymr.records.spool import STANDARD_INPUT
from pymr.text_form import show_path, show_paths

NEAREST_NAMES = 3
LIKENESS = 0.6  # of two names, from 0 to 1: that of a slip of the finger, as difflib has it
NAMES_COMPARED_MAX = 1000  # with a missing name: comparing costs about 20 µs each


class Expander:
    """Finds the paths of one input after the other."""

    def __init__(self, *, recursive: bool, allow_empty: bool) -> None:
        self.hidden_skipped = 0
        self._recursive = recursive
        self._allow_empty = allow_empty
        self.folders_skipped: list[bytes] = []
        self.outputs: list[bytes] = []  # results of earlier runs, found below what was given

    def find(self, given: bytes) -> list[bytes]:
        """Return the paths that one input stands for, in their order.

        Raises:
            InputError: nothing is there, a glob matches nothing, or a directory has no file.
        """
        if given == STANDARD_INPUT:
            return [given]
        if not _exists(given):
            return self._matching(given)
        mode = _mode(given)
        if not stat.S_ISDIR(mode):
            return [given]
        found = sorted(self._files_in(given))
        if not found and not self._allow_empty:
            raise no_files_in(given, self)
        return found

    def _matching(self, pattern: bytes) -> list[bytes]:
        if b"\0" in pattern or not any(character in pattern for character in b"*?["):
            near = _nearest(pattern, LIKENESS)
            raise missing("no such input", pattern, near, otherwise=_listing(pattern))
        import glob

        matched = glob.glob(pattern, recursive=True)
        if not matched:
            near = _nearest(pattern, 0.0)
            raise missing("no input matches the glob", pattern, near, otherwise=_listing(pattern))
        explicit = os.path.basename(pattern).startswith((b".", b"_"))
        found: dict[bytes, None] = {}  # `**` matches a directory, and what is in it.
        for path in matched:
            if is_among_notes(path, pattern) or (not explicit and _is_note(path)):
                self.hidden_skipped += 1
            elif stat.S_ISDIR(_mode(path)):
                found |= dict.fromkeys(self._files_in(path))
            else:
                found[path] = None
        if not found and not self._allow_empty:
            raise no_files_in(pattern, self)
        return sorted(found)

    def _files_in(self, folder: bytes) -> Iterator[bytes]:
        """Yield the files of a directory; with `recursive`, of those in it as well."""
        open_folders: list[tuple[bytes, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
        while open_folders:
            path, above = open_folders.pop()
            seen = os.stat(path)
            identity = (seen.st_dev, seen.st_ino)
            if identity in above:
                raise InputError(
                    f"input `{show_path(path)}` is a loop of symbolic links", input=show_path(path)
                )
            if above and os.path.exists(os.path.join(path, os.fsencode(MANIFEST))):
                self.outputs.append(path)
            for entry in self._entries(path):
                if not _is_folder(entry):
                    yield entry.path
                elif self._recursive:
                    open_folders.append((entry.path, above | {identity}))
                else:
                    self.folders_skipped.append(entry.path)

    def _entries(self, folder: bytes) -> Iterator[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        self.hidden_skipped += 1
                    else:
                        yield entry
        except OSError as error:
            name = show_path(folder)
            raise InputError(
                f"cannot read the directory `{name}`: {error.strerror}", input=name
            ) from error


class LeftOut(Protocol):
    """What was left out while inputs were looked for."""

    hidden_skipped: int
    folders_skipped: list[bytes]


def no_files_in(given: bytes, left_out: LeftOut) -> InputError:
    """Return the error of a directory or glob in which there is nothing to read."""
    name = show_path(given)
    hint = "--allow-empty"
    if left_out.folders_skipped:
        hint = "--recursive reads its directories too"
    elif left_out.hidden_skipped:
        hint = "files that begin with `.` or `_` are read when named one by one"
    return InputError(f"no input files in `{name}`", hint=hint, input=name)


def note_on_outputs(folders: Sequence[bytes]) -> Iterator[str]:
    """Yield that results of earlier runs are read: next time there is one more of them."""
    if folders:
        what = "the result of a run" if len(folders) == 1 else f"results of {len(folders)} runs"
        yield f"{what} among the inputs: {show_paths(folders)}"


def notes_on(left_out: LeftOut) -> Iterator[str]:
    """Yield what the user should know about what was left out."""
    folders = left_out.folders_skipped
    if folders:
        count = "a directory" if len(folders) == 1 else f"{len(folders)} directories"
        shown = show_paths(folders)
        yield f"{count} in an input directory left out: {shown}; --recursive reads them"
    if left_out.hidden_skipped:
        count = "1 name" if left_out.hidden_skipped == 1 else f"{left_out.hidden_skipped} names"
        yield f"{count} left out that other tools write beside data (`.x`, `_x`, `x.crc`)"


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A loop of symbolic links, for instance: opening it will tell.
        return False


def is_hidden(name: bytes) -> bool:
    """Return whether other tools keep their own notes in a file of that name."""
    return name.startswith((b".", b"_")) or name.endswith(b".crc")


def is_among_notes(path: bytes, pattern: bytes) -> bool:
    """Return whether a match of a glob is in a directory of notes, which the glob does not name."""
    import fnmatch

    folders = [name for name in path.split(b"/")[:-1] if name.startswith(b"_")]
    named = [name for name in pattern.split(b"/") if name.startswith(b"_")] if folders else []
    return any(not any(fnmatch.fnmatchcase(name, each) for each in named) for name in folders)


def _is_note(path: bytes) -> bool:
    """Return whether a match of a glob is no data: `*.py` means `_x.py` too, but no marker."""
    name = os.path.basename(path.rstrip(b"/"))
    if name == b"_SUCCESS" or name.endswith(b".crc"):
        return True
    return name.startswith(b"_") and stat.S_ISDIR(_mode(path))


def _exists(path: bytes) -> bool:
    """Return whether there is anything of that name, a dangling symbolic link included."""
    try:
        os.lstat(path)
    except PermissionError as error:
        raise _unreadable(path, error) from error
    except (OSError, ValueError):
        return False
    return True


def _mode(path: bytes) -> int:
    """Return the mode of what `path` leads to.

    Raises:
        InputError: it leads nowhere.
    """
    try:
        return os.stat(path).st_mode
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: bytes, error: OSError) -> InputError:
    name = show_path(path)
    return InputError(f"cannot read `{name}`: {reason_of(path, error)}", input=name)


def reason_of(path: bytes, error: OSError) -> str:
    """Return why `path` cannot be read, for a message."""
    if error.errno == errno.ELOOP:
        return "a loop of symbolic links"
    if error.errno == errno.ENOENT and os.path.islink(path):
        return f"a symbolic link to `{show_path(os.readlink(path))}`, which does not exist"
    return error.strerror or str(error)


def missing(what: str, given: bytes, nearest: Iterable[bytes], *, otherwise: str) -> InputError:
    """Return the error of an input that is not there, and what is, of names like it.

    `otherwise` is the hint where no name is like it.
    """
    near = [show_path(path) for path in nearest]
    shown = ", ".join(f"`{path}`" for path in near)
    return InputError(
        f"{what}: `{show_path(given)}`",
        hint=f"there is {shown}" if near else otherwise,
        input=show_path(given),
        nearest=near,
    )


def _listing(given: bytes) -> str:
    """Return the command that shows what there is, in the folder of `given` or the next above."""
    folder = os.path.dirname(given)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    where = f" {shlex.quote(show_path(folder))}" if folder else ""
    return f"ls{where}   shows what there is"


def _nearest(given: bytes, likeness: float) -> Iterable[bytes]:
    """Return the paths beside `given` whose names are most like it, and at least so much."""
    from itertools import islice

    folder, wanted = os.path.split(given)
    try:
        with os.scandir(folder or b".") as entries:
            names = [entry.name for entry in islice(entries, NAMES_COMPARED_MAX)]
    except (OSError, ValueError):
        return []
    return [os.path.join(folder, name) for name in most_like(wanted, names, likeness)]


def most_like(wanted: bytes, names: Iterable[bytes], likeness: float) -> list[bytes]:
    """Return the few names that are most like the wanted one, and at least so much."""
    import difflib

    texts = [os.fsdecode(name) for name in names]
    close = difflib.get_close_matches(os.fsdecode(wanted), texts, NEAREST_NAMES, likeness)
    return [os.fsencode(name) for name in close]
