"""Finds the inputs of a run: names, globs, directories and addresses become a list of files.

Laws:
- the list is in input order: as given, and what a glob or directory stands for sorted by the
  bytes of the names;
- everything that can be known to be wrong is said before any work, all unreadable files at
  once;
- names are bytes; a name that exists is that file, even if it looks like a glob.

A file costs one `stat`, one short read and no more, so 100,000 files take seconds. An object of
a store costs its row of a listing and one short read, two if it is compressed, many at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from pymr.core.plan import GRID_STEP_MAX, grid_step
from pymr.core.spec import InputFile
from pymr.errors import ConfigError, InputError, OutputError, StoreError
from pymr.records.compression import compression_of, compression_promised_by, piped
from pymr.records.encoding import is_transcoded
from pymr.records.expand import Expander, note_on_outputs, notes_on, reason_of
from pymr.records.look import Look, decoded_head, look_at_file, look_at_objects
from pymr.records.magic import PIPED, refusal_of
from pymr.records.packed_files import PackedFiles
from pymr.records.spool import STANDARD_INPUT, spool
from pymr.store.access import AMBIENT, Access, is_address
from pymr.text_form import NAMES_SHOWN_MAX, show_path, show_paths

if TYPE_CHECKING:
    from pymr.records.listing import Lister

REASONS_SHOWN_MAX = 100  # of unreadable files, in one message
_TOOLS = {"gzip": "gzip", "bz2": "bzip2", "xz": "xz", "zstd": "zstd"}


# Equal for the same file, or object, by whatever name.
Identity = tuple[int, int] | bytes
Found = tuple[list[bytes], list[PackedFiles]]  # names of files; objects of listings
UNPACKED_MAX = 100_000  # inputs that are kept as they are: 30 MB


class DiscoverRules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be an input."""

    recursive: bool = False  # go into the directories of directories
    allow_empty: bool = False  # a directory or glob may hold no file
    allow_duplicates: bool = False  # the same file may be read twice
    encoding: str = "utf-8"  # its one name, as for TextRules
    input_format: str = "text"  # text | lines | whole: `whole` may be any bytes
    spool_folder: str = ""  # made when needed, for standard input and files without a size
    output: str | None = None  # absolute directory, or address: no input may lie in it
    access: Access = AMBIENT  # opens the stores of addresses


class Discovery(msgspec.Struct, frozen=True):
    """The inputs of a run, in input order."""

    files: Sequence[InputFile]
    hidden_skipped: int = 0  # `.x`, `_x` and `x.crc` in directories and globs
    warnings: tuple[str, ...] = ()


def discover(inputs: Sequence[str | bytes], rules: DiscoverRules) -> Discovery:
    """Return the files that `inputs` name.

    Raises:
        ConfigError: no input.
        InputError: an input is missing, cannot be read, is given twice, or is no text.
        OutputError: an input lies in the output directory.
        StoreError: the store of an input refused or failed.
    """
    if not inputs:
        raise ConfigError("no input given", hint="--input PATH, or --input - for standard input")
    expander = Expander(recursive=rules.recursive, allow_empty=rules.allow_empty)
    lister: Lister | None = None
    output = _OutputGuard(rules.output)
    found: list[Found] = []  # files, objects, files, …
    for given in map(os.fsencode, inputs):
        output.check(given)
        if not _is_address(given):
            found.append((expander.find(given), []))
            continue
        lister = lister or _new_lister(rules)
        if not found or found[-1][0]:
            found.append(([], []))
        found[-1][1].append(lister.find(given))  # Neighbours are looked at together.
    finder = _Finder(rules, output)
    finder.add_all(found)
    return Discovery(
        files=tuple(finder.files) if len(finder.files) <= UNPACKED_MAX else finder.files,
        hidden_skipped=expander.hidden_skipped + (lister.hidden_skipped if lister else 0),
        warnings=(
            *notes_on(expander),
            *note_on_outputs(expander.outputs),
            *(notes_on(lister) if lister else ()),
            *finder.warnings(),
        ),
    )


def refuse_missing(inputs: Sequence[str | bytes], rules: DiscoverRules) -> None:
    """Refuse inputs of this machine that are not there, before a store can be asked for others.

    Raises:
        InputError: one is missing.
    """
    expander = Expander(recursive=rules.recursive, allow_empty=rules.allow_empty)
    for given in map(os.fsencode, inputs):
        if not _is_address(given):
            expander.find(given)


def _new_lister(rules: DiscoverRules) -> Lister:
    from pymr.records.listing import Lister

    return Lister(rules.access, recursive=rules.recursive, allow_empty=rules.allow_empty)


class _Finder:
    """Looks at one file after the other."""

    def __init__(self, rules: DiscoverRules, output: _OutputGuard) -> None:
        self.files = PackedFiles()
        self._rules = rules
        self._is_text = rules.input_format != "whole"
        self._transcoded = self._is_text and is_transcoded(rules.encoding)
        self._seen: dict[Identity, bytes] = {}
        self._output = output
        self._unreadable: list[tuple[bytes, OSError]] = []
        self._refused: list[tuple[bytes, StoreError]] = []
        self._may_repeat = False
        self._has_bytes = False
        self._notes: dict[str, list[bytes]] = {}

    def add_all(self, found: list[Found]) -> None:
        self._may_repeat = sum(len(listed) for _, listed in found) > 1
        for paths, listed in found:
            self._add_files(paths)
            self._add_objects(chain.from_iterable(objects.drain() for objects in listed))
        if self._unreadable:
            raise _unreadable(self._unreadable)
        if self._refused:
            raise _refused(self._refused)

    def _add_files(self, paths: Iterable[bytes]) -> None:
        for path in paths:
            self._output.check(path)
            try:
                self.files.append(self._find(path))
            except OSError as error:
                self._unreadable.append((path, error))

    def _add_objects(self, objects: Iterable[InputFile]) -> None:
        for file, look, decoded, refused in look_at_objects(objects, self._rules.access):
            self._output.check(file.path)
            if refused is not None:
                self._refused.append((file.path, refused))
            else:
                if self._may_repeat:  # One listing has each but once.
                    self._refuse_duplicate(file.path, file.path)
                self.files.append(self._described(file, look, lambda _: decoded))  # noqa: B023

    def warnings(self) -> list[str]:
        warnings = [_note(text, paths) for text, paths in self._notes.items()]
        if not self._has_bytes:
            warnings.append("all inputs are empty: there are no records")
        return warnings

    def _find(self, path: bytes) -> InputFile:
        spooled = path == STANDARD_INPUT
        real = spool(path, self._rules.spool_folder) if spooled else path
        seen = os.stat(real)
        if not stat.S_ISREG(seen.st_mode):
            raise _not_regular(path, seen.st_mode)
        self._refuse_duplicate(path, (seen.st_dev, seen.st_ino))
        look, seen = look_at_file(real)
        if look.head and not seen.st_size:  # As in /proc: its size is not known before it is read.
            self._note("has no size: a copy of what it holds now is read", path)
            spooled = True
            real = spool(path, self._rules.spool_folder)
            look, seen = look_at_file(real)
        file = InputFile(
            path=path,
            size=seen.st_size,
            step=grid_step(seen.st_size),
            mtime_ns=seen.st_mtime_ns,
            inode=seen.st_ino,
            spool=real if spooled else None,
        )
        return self._described(file, look, lambda file: decoded_head(file, self._rules.access))

    def _described(
        self, file: InputFile, look: Look, decode: Callable[[InputFile], bytes]
    ) -> InputFile:
        """Return `file` as it is read; `decode` returns its first bytes, decompressed."""
        self._has_bytes = self._has_bytes or file.size > 0
        compression = compression_of(look.head)
        if compression or self._transcoded:
            file = msgspec.structs.replace(
                file, step=GRID_STEP_MAX, stream=True, compression=compression
            )
        elif not self._is_text:  # A whole file is one record: its one cell can not be split.
            file = msgspec.structs.replace(file, step=max(file.size, 1))
        if file.spool is None and file.size:
            self._compare_suffix(file.path, compression)
        if compression:
            look = Look(decode(file), b"")
        if self._is_text:
            self._refuse(file, look)
        return file

    def _refuse_duplicate(self, path: bytes, identity: Identity) -> None:
        first = self._seen.get(identity)
        if first is None:
            self._seen[identity] = path
            return
        if self._rules.allow_duplicates:
            return
        name, other = show_path(path), show_path(first)
        raise InputError(
            f"input `{name}` is given twice"
            if path == first
            else f"inputs `{other}` and `{name}` are the same file",
            hint="--allow-duplicates reads it twice",
            input=name,
        )

    def _compare_suffix(self, path: bytes, compression: str | None) -> None:
        promised = compression_promised_by(path)
        if promised == compression:
            return
        if compression:
            self._note(f"is {compression} data by its first bytes: it is decompressed", path)
        else:
            self._note(f"is not {promised} data, as its name says: it is read as it is", path)

    def _refuse(self, file: InputFile, look: Look) -> None:
        name = show_path(file.path)
        if file.compression and (inner := compression_of(look.head)):
            tool = f"{_TOOLS[file.compression]} -dc"
            raise InputError(
                f"input `{name}` is {inner} data inside {file.compression} data",
                hint=f"{piped(file, tool)}{PIPED}",
                input=name,
                is_no_text=True,
            )
        refusal = refusal_of(look.head, look.tail, self._rules.encoding)
        if refusal:
            inside = f" inside {file.compression} data" if file.compression else ""
            raise InputError(
                f"input `{name}` {refusal.reason}{inside}",
                hint=refusal.hint_for(_quote(name), is_object=file.etag is not None),
                input=name,
                is_no_text=True,
            )

    def _note(self, text: str, path: bytes) -> None:
        self._notes.setdefault(text, []).append(path)


class _OutputGuard:
    """Refuses inputs in the output directory, symbolic links followed."""

    def __init__(self, output: str | None) -> None:
        self._is_address = output is not None and is_address(output)
        self._output: bytes | None = None
        if output is not None:
            named = os.fsencode(output)
            self._output = named.rstrip(b"/") if self._is_address else os.path.realpath(named)
        self._folders: dict[bytes, bytes] = {}  # real names of folders

    def check(self, path: bytes) -> None:
        if self._output is None or path == STANDARD_INPUT or b"\0" in path:
            return
        if _is_address(path) != self._is_address:
            return
        real = path.rstrip(b"/") if self._is_address else self._real(path)
        if real == self._output:
            relation = "is the output"
        elif real.startswith(self._output.rstrip(b"/") + b"/"):
            relation = f"lies in the output `{show_path(self._output)}`"
        else:
            return
        name = show_path(path)
        raise OutputError(
            f"input `{name}` {relation}", hint="--output with another directory", input=name
        )

    def _real(self, path: bytes) -> bytes:
        folder, name = os.path.split(path)
        if name in (b"", b".", b"..") or os.path.islink(path):
            return os.path.realpath(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        return os.path.join(real, name)


def _is_address(given: bytes) -> bool:
    return is_address(os.fsdecode(given))


def _not_regular(path: bytes, mode: int) -> InputError:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    name = show_path(path)
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    hint = "--input PATH, or --input - for standard input"
    if stat.S_ISFIFO(mode) and not path.startswith((b"/dev/", b"/proc/")):  # Those are a process's.
        hint = f"cat {_quote(name)}{PIPED}"
    return InputError(f"input `{name}` is not a regular file but {kind}", hint=hint, input=name)


def _unreadable(found: list[tuple[bytes, OSError]]) -> InputError:
    shown = [
        f"`{show_path(path)}`: {reason_of(path, error)}"
        for path, error in found[:REASONS_SHOWN_MAX]
    ]
    return InputError(
        _cannot_read(shown, len(found)), inputs=[show_path(path) for path, _ in found]
    )


def _refused(found: list[tuple[bytes, StoreError]]) -> StoreError:
    """Return the error of objects that their store does not give away."""
    first = found[0][1]
    if len(found) == 1:
        return first
    shown = [error.message for _, error in found[:REASONS_SHOWN_MAX]]
    return type(first)(
        _cannot_read(shown, len(found)),
        hint=first.hint,
        inputs=[show_path(path) for path, _ in found],
    )


def _cannot_read(shown: list[str], found: int) -> str:
    """Return the message on inputs that cannot be read, of which some are shown."""
    more = [f"and {found - len(shown)} more"] if found > len(shown) else []
    count = "an input" if found == 1 else f"{found} inputs"
    return f"cannot read {count}: {'; '.join([*shown, *more])}"


def _note(text: str, paths: list[bytes]) -> str:
    return f"{show_paths(paths)}{':' if len(paths) > NAMES_SHOWN_MAX else ''} {text}"


def _quote(name: str) -> str:
    import shlex

    return shlex.quote(name)
