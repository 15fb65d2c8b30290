"""Finds the input files of a run: names, globs and directories become a list of files.

Laws:
- the list is in input order: as given, and what a glob or directory stands for sorted by the
  bytes of the names;
- everything that can be known to be wrong is said before any work, all unreadable files at
  once;
- names are bytes; a name that exists is that file, even if it looks like a glob.

A file costs one `stat`, one short read and no more, so 100,000 files take seconds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

import msgspec

from pymr.core.plan import GRID_STEP_MAX, grid_step
from pymr.core.spec import InputFile
from pymr.errors import ConfigError, InputError, OutputError
from pymr.records.compression import (
    compression_of,
    compression_promised_by,
    open_stream,
)
from pymr.records.encoding import is_transcoded
from pymr.records.expand import Expander, reason_of
from pymr.records.magic import HEAD_BYTES, TAIL_BYTES, refusal_of
from pymr.records.spool import STANDARD_INPUT, spool
from pymr.text_form import NAMES_SHOWN_MAX, show_path, show_paths

REASONS_SHOWN_MAX = 100  # of unreadable files, in one message
_TOOLS = {"gzip": "gzip", "bz2": "bzip2", "xz": "xz", "zstd": "zstd"}


class DiscoverRules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be an input."""

    recursive: bool = False  # go into the directories of directories
    allow_empty: bool = False  # a directory or glob may hold no file
    allow_duplicates: bool = False  # the same file may be read twice
    encoding: str = "utf-8"  # its one name, as for TextRules
    input_format: str = "text"  # text | lines | whole: `whole` may be any bytes
    spool_folder: str = ""  # made when needed, for standard input and files without a size
    output: str | None = None  # absolute directory of the output: no input may lie in it


class Discovery(msgspec.Struct, frozen=True):
    """The inputs of a run, in input order."""

    files: tuple[InputFile, ...]
    hidden_skipped: int = 0  # `.x`, `_x` and `x.crc` in directories and globs
    warnings: tuple[str, ...] = ()


def discover(inputs: Sequence[str | bytes], rules: DiscoverRules) -> Discovery:
    """Return the files that `inputs` name.

    Raises:
        ConfigError: no input.
        InputError: an input is missing, cannot be read, is given twice, or is no text.
        OutputError: an input lies in the output directory.
    """
    if not inputs:
        raise ConfigError("no input given", hint="--input PATH, or --input - for standard input")
    expander = Expander(recursive=rules.recursive, allow_empty=rules.allow_empty)
    output = _OutputGuard(rules.output)
    for given in map(os.fsencode, inputs):
        output.check(given)
        expander.add(given)
    finder = _Finder(rules, output)
    finder.add_all(expander.paths)
    return Discovery(
        files=tuple(finder.files),
        hidden_skipped=expander.hidden_skipped,
        warnings=(*expander.warnings(), *finder.warnings()),
    )


class _Finder:
    """Looks at one file after the other."""

    def __init__(self, rules: DiscoverRules, output: _OutputGuard) -> None:
        self.files: list[InputFile] = []
        self._rules = rules
        self._is_text = rules.input_format != "whole"
        self._transcoded = self._is_text and is_transcoded(rules.encoding)
        self._seen: dict[tuple[int, int], bytes] = {}
        self._output = output
        self._unreadable: list[tuple[bytes, OSError]] = []
        self._notes: dict[str, list[bytes]] = {}

    def add_all(self, paths: list[bytes]) -> None:
        for path in paths:
            self._output.check(path)
            try:
                self.files.append(self._find(path))
            except OSError as error:
                self._unreadable.append((path, error))
        if self._unreadable:
            raise _unreadable(self._unreadable)

    def warnings(self) -> list[str]:
        warnings = [_note(text, paths) for text, paths in self._notes.items()]
        if not any(file.size for file in self.files):
            warnings.append("all inputs are empty: there are no records")
        return warnings

    def _find(self, path: bytes) -> InputFile:
        spooled = path == STANDARD_INPUT
        real = spool(path, self._rules.spool_folder) if spooled else path
        seen = os.stat(real)
        if not stat.S_ISREG(seen.st_mode):
            raise _not_regular(path, seen.st_mode)
        self._refuse_duplicate(path, seen)
        head, tail, seen = _look(real)
        if head and not seen.st_size:  # As in /proc: its size is not known before it is read.
            self._note("has no size: a copy of what it holds now is read", path)
            spooled = True
            real = spool(path, self._rules.spool_folder)
            head, tail, seen = _look(real)
        return self._describe(path, real if spooled else None, head, tail, seen)

    def _describe(
        self, path: bytes, copy: bytes | None, head: bytes, tail: bytes, seen: os.stat_result
    ) -> InputFile:
        compression = compression_of(head)
        stream = bool(compression) or self._transcoded
        size = seen.st_size
        # A whole file is one record: its one cell can not be split.
        plain_step = grid_step(size) if self._is_text else max(size, 1)
        file = InputFile(
            path=path,
            size=size,
            step=GRID_STEP_MAX if stream else plain_step,
            stream=stream,
            compression=compression,
            mtime_ns=seen.st_mtime_ns,
            inode=seen.st_ino,
            spool=copy,
        )
        if not copy and size:
            self._compare_suffix(path, compression)
        if compression:
            head, tail = _decoded_head(file), b""
        if self._is_text:
            self._refuse(file, head, tail)
        return file

    def _refuse_duplicate(self, path: bytes, seen: os.stat_result) -> None:
        identity = (seen.st_dev, seen.st_ino)
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

    def _refuse(self, file: InputFile, head: bytes, tail: bytes) -> None:
        name = show_path(file.path)
        if file.compression and (inner := compression_of(head)):
            tool = _TOOLS[file.compression]
            raise InputError(
                f"input `{name}` is {inner} data inside {file.compression} data",
                hint=f"{tool} -dc {_quote(name)} | pymr start --input - worker.py",
                input=name,
                is_no_text=True,
            )
        refusal = refusal_of(head, tail, self._rules.encoding)
        if refusal:
            inside = f" inside {file.compression} data" if file.compression else ""
            raise InputError(
                f"input `{name}` {refusal.reason}{inside}",
                hint=refusal.hint.format(_quote(name)),
                input=name,
                is_no_text=True,
            )

    def _note(self, text: str, path: bytes) -> None:
        self._notes.setdefault(text, []).append(path)


def _look(path: bytes) -> tuple[bytes, bytes, os.stat_result]:
    """Return the first and last bytes of a file, and what is known of it."""
    # Not to wait: a file of /proc, or what took the place of a file, might let us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        head = os.pread(descriptor, HEAD_BYTES, 0)
        seen = os.fstat(descriptor)
        tail = b""
        if head.startswith(b"PAR1"):
            tail = os.pread(descriptor, TAIL_BYTES, max(0, seen.st_size - TAIL_BYTES))
        return head, tail, seen
    finally:
        os.close(descriptor)


def _decoded_head(file: InputFile) -> bytes:
    stream = open_stream(file)
    try:
        head = b""
        while len(head) < HEAD_BYTES and (data := stream.read(HEAD_BYTES - len(head))):
            head += data
        return head
    finally:
        stream.close()


class _OutputGuard:
    """Refuses inputs in the output directory, symbolic links followed."""

    def __init__(self, output: str | None) -> None:
        self._output = os.path.realpath(os.fsencode(output)) if output else None
        self._folders: dict[bytes, bytes] = {}  # real names of folders

    def check(self, path: bytes) -> None:
        if self._output is None or path == STANDARD_INPUT or b"\0" in path:
            return
        real = self._real(path)
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


def _not_regular(path: bytes, mode: int) -> InputError:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    name = show_path(path)
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    return InputError(
        f"input `{name}` is not a regular file but {kind}",
        hint=f"cat {_quote(name)} | pymr start --input - worker.py",
        input=name,
    )


def _unreadable(found: list[tuple[bytes, OSError]]) -> InputError:
    shown = [
        f"`{show_path(path)}`: {reason_of(path, error)}"
        for path, error in found[:REASONS_SHOWN_MAX]
    ]
    if len(found) > REASONS_SHOWN_MAX:
        shown.append(f"and {len(found) - REASONS_SHOWN_MAX} more")
    count = "an input" if len(found) == 1 else f"{len(found)} inputs"
    return InputError(
        f"cannot read {count}: {'; '.join(shown)}",
        inputs=[show_path(path) for path, _ in found],
    )


def _note(text: str, paths: list[bytes]) -> str:
    return f"{show_paths(paths)}{':' if len(paths) > NAMES_SHOWN_MAX else ''} {text}"


def _quote(name: str) -> str:
    import shlex

    return shlex.quote(name)
