"""Turns addresses of a store into its objects, as `records.expand` does names of files.

`s3://store/key` is that object. If there is none, it is a glob if it has `*` or `[…]` in it, or
else a folder, as `s3://store/key/` always is: all objects whose keys go on behind the slash. A
store has no folders: what is called one here is what keys have in common up to a slash. An object
of no bytes that stands for one is skipped. A key is bytes and taken as it is: `?`, `#` and `%`
mean themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from pymr.core.plan import grid_step
from pymr.core.spec import InputFile
from pymr.errors import ObjectMissingError
from pymr.records.expand import (
    NAMES_COMPARED_MAX,
    is_among_notes,
    is_hidden,
    missing,
    most_like,
    no_files_in,
)
from pymr.records.object_source import locate
from pymr.records.packed_files import PackedFiles
from pymr.store.access import Access
from pymr.store.object_reader import Listed, ObjectReader, Version

_WILDCARD: Final = re.compile(rb"\*|\[[^]/]+\]")
_PUT: Final = "nothing is there: put the input there first, or give a file, --input FILE"
_NAME: Final = rb"(?!\.)[^/]+"  # as in a shell, a wildcard stands for no leading dot


class Lister:
    """Finds the objects of one address after the other."""

    def __init__(self, access: Access, *, recursive: bool, allow_empty: bool) -> None:
        self.hidden_skipped = 0
        self.folders_skipped: list[bytes] = []
        self._access = access
        self._recursive = recursive
        self._allow_empty = allow_empty
        self._left_out: set[bytes] = set()  # folders, of either kind

    def find(self, given: bytes) -> PackedFiles:
        """Return the objects that an address stands for, in the order of their keys' bytes.

        How they are compressed is not known yet.

        Raises:
            ConfigError: no store can have such an address.
            InputError: nothing is there, a glob matches nothing, or a folder has no object.
            StoreError: the store refused or failed.
        """
        if b"\0" in given:
            raise missing("no such input", given, (), otherwise=_PUT)
        objects, key = locate(given, self._access)
        begin = given[: len(given) - len(key)]
        where = _Where(objects, begin if begin.endswith(b"/") else begin + b"/", key)
        is_folder = not where.key or where.key.endswith(b"/")
        if not is_folder and (file := where.object()):
            alone = PackedFiles()
            alone.append(file)
            return alone
        left_out = self.hidden_skipped, len(self.folders_skipped)
        is_glob = not is_folder and _WILDCARD.search(where.key) is not None
        found = where.files(self._matching(where) if is_glob else self._within(where))
        is_nothing = left_out == (self.hidden_skipped, len(self.folders_skipped))
        if not found and not is_folder and is_nothing:
            what = "no input matches the glob" if is_glob else "no such input"
            raise missing(what, given, where.nearest(), otherwise=_PUT)
        if not found and not self._allow_empty:
            raise no_files_in(given, self)
        return found

    def _within(self, where: _Where) -> Iterator[Listed]:
        """Yield what is in a folder; with `recursive`, also in those in it."""
        folder = where.key if where.key.endswith(b"/") or not where.key else where.key + b"/"
        for each in where.objects.list(folder, is_deep=self._recursive):
            if each.version is None:
                self._leave_folder(where, folder, each.key[:-1])
            elif self._is_taken(where, folder, each.key, each.version.size):
                yield each

    def _matching(self, where: _Where) -> Iterator[Listed]:
        """Yield what a glob matches, and what is in the folders that it matches."""
        glob = re.compile(_translated(where.key) + rb"(?:/(?P<rest>.*))?", re.DOTALL)
        is_explicit = where.key.rpartition(b"/")[2].startswith((b".", b"_"))
        for each in where.objects.list(where.literal):
            match = glob.fullmatch(each.key)
            if match is None:
                continue
            rest: bytes | None = match["rest"]
            size = each.version.size if each.version is not None else 0
            matched = each.key if rest is None else each.key[: match.start("rest") - 1]
            if is_among_notes(each.key, where.key):
                self._leave_out(where, each.key, is_folder=False)
            elif not is_explicit and _is_note(matched, is_folder=rest is not None):
                self._leave_out(where, matched, is_folder=rest is not None)
            elif rest is None or self._is_taken(where, matched + b"/", each.key, size):
                yield each

    def _is_taken(self, where: _Where, folder: bytes, key: bytes, size: int) -> bool:
        """Say whether an object in a folder is an input; take note of what is left out."""
        names = key[len(folder) :].split(b"/")
        if not names[-1] and not size:
            return False  # It stands for a folder.
        end = len(folder)
        for index, name in enumerate(names):
            end += len(name) + bool(index)
            is_folder = index < len(names) - 1
            if is_hidden(name):
                self._leave_out(where, key[:end], is_folder=is_folder)
                return False
            if is_folder and not self._recursive:
                self._leave_folder(where, folder, key[:end])
                return False
        return True

    def _leave_out(self, where: _Where, key: bytes, *, is_folder: bool) -> None:
        if is_folder:
            path = where.begin + key
            if path in self._left_out:
                return
            self._left_out.add(path)
        self.hidden_skipped += 1

    def _leave_folder(self, where: _Where, above: bytes, folder: bytes) -> None:
        """Take note of a folder in a folder, which is not read."""
        if is_hidden(folder[len(above) :]):
            self._leave_out(where, folder, is_folder=True)
            return
        path = where.begin + folder
        if path not in self._left_out:
            self._left_out.add(path)
            self.folders_skipped.append(path)


class _Where(NamedTuple):
    """A store, what its addresses begin with, and what is looked for in it."""

    objects: ObjectReader
    begin: bytes
    key: bytes

    def object(self) -> InputFile | None:
        """Return the object of exactly that key, if there is one."""
        try:
            return self._file(self.key, self.objects.look(self.key))
        except ObjectMissingError:
            return None

    def files(self, found: Iterable[Listed]) -> PackedFiles:
        """Return objects of a listing in their order, each once: a store may not keep to that."""
        files, is_sorted, last = PackedFiles(), True, b""
        for key, version in found:
            if version is not None:
                file = self._file(key, version)
                is_sorted, last = is_sorted and file.path > last, file.path
                files.append(file)
        return files if is_sorted and self.objects.is_exact else _sorted(files)

    def nearest(self) -> list[bytes]:
        """Return the addresses beside that of the key which are most like it, if only a little.

        Not every user has a program at hand that lists a store.
        """
        folder, slash, wanted = self.key.rpartition(b"/")
        folder += slash
        keys = (each.key for each in self.objects.list(folder, is_deep=False))
        beside = (key[len(folder) :].partition(b"/")[0] for key in keys)
        names = dict.fromkeys(islice(beside, NAMES_COMPARED_MAX))
        return [self.begin + folder + name for name in most_like(wanted, names, 0.0)]

    @property
    def literal(self) -> bytes:
        """What all keys begin with that the key as a glob can match."""
        match = _WILDCARD.search(self.key)
        return self.key[: match.start()] if match else self.key

    def _file(self, key: bytes, version: Version) -> InputFile:
        size, etag = version
        return InputFile(path=self.begin + key, size=size, step=grid_step(size), etag=etag)


def _sorted(found: PackedFiles) -> PackedFiles:
    files = sorted(found.drain(), key=lambda file: file.path)
    empty = {file.path for file in files if not file.size}
    if empty:  # The library takes the slash off what stands for a folder.
        empty &= {parent for file in files for parent in _folders_of(file.path)}
    kept, last = PackedFiles(), b""
    for file in files:
        if file.path != last and file.path not in empty:
            kept.append(file)
        last = file.path
    return kept


def _folders_of(path: bytes) -> Iterator[bytes]:
    while (end := path.rfind(b"/")) > 0:
        path = path[:end]
        yield path


def _is_note(key: bytes, *, is_folder: bool) -> bool:
    """Say whether a match of a glob is no data: `*.py` means `_x.py` too, but no marker."""
    name = key.rpartition(b"/")[2]
    if name == b"_SUCCESS" or name.endswith(b".crc"):
        return True
    return name.startswith(b"_") and is_folder


def _translated(glob: bytes) -> bytes:
    """Return a glob as a regular expression; `**` stands for any folders, none included."""
    parts = []
    names = glob.split(b"/")
    for index, name in enumerate(names):
        is_last = index == len(names) - 1
        if name == b"**":
            parts.append(b"(?:" + _NAME + b"/)*" + (_NAME if is_last else b""))
            continue
        start = 0
        if _WILDCARD.match(name):
            parts.append(rb"(?!\.)")
        for wildcard in _WILDCARD.finditer(name):
            parts += re.escape(name[start : wildcard.start()]), _one(wildcard[0])
            start = wildcard.end()
        parts += re.escape(name[start:]), b"" if is_last else b"/"
    return b"".join(parts)


def _one(wildcard: bytes) -> bytes:
    """Return `*`, or a set such as `[a-z]` or `[!0-9]`, as a regular expression."""
    if wildcard == b"*":
        return b"[^/]*"
    import fnmatch

    whole = fnmatch.translate(wildcard.decode("latin-1"))  # (?s:…)\Z
    return b"(?!/)" + whole[len("(?s:") : -len(")\\Z")].encode("latin-1")
