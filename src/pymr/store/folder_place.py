"""An output that is a folder: its claim a lock, journal and history files that grow.

See `store.place` for the contract. What a folder has and a store has not is here, too: halves of
objects that crashed writers have left, and names that are not ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import BinaryIO, Final, Self

from pymr import failpoint
from pymr.errors import OutputError, StoreError
from pymr.names import CLAIM, STATE, events_key, journal_key
from pymr.store.base import ObjectEntry
from pymr.store.claim import ClaimRecord, LocalClaim, read_claim
from pymr.store.disk import make_folder, translated
from pymr.store.journal import Journal, read_journal
from pymr.store.life_sign import LifeSign
from pymr.store.local import LocalStore, is_temporary_name
from pymr.store.place import Thin
from pymr.text_form import show_path

_READ_BYTES: Final = 1 << 20
_ELSEWHERE: Final = "choose another --output"


class FolderPlace:
    """The output in the directory `root`, which is made on demand."""

    def __init__(self, root: str) -> None:
        self.objects = LocalStore(root)
        self.folder = self.objects.root

    def __str__(self) -> str:
        return self.folder

    def foreign(self) -> list[str]:
        """Return the names at its top that are not ours, sorted."""
        shown = show_path(self.folder)
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError as error:
            if os.path.islink(self.folder):
                raise OutputError(
                    f"output `{shown}` is a symbolic link to"
                    f" `{show_path(os.readlink(self.folder))}`, which does not exist",
                    hint="make that directory, or choose another --output",
                ) from error
            return []
        except OSError as error:
            if os.path.isfile(self.folder):
                raise OutputError(
                    f"output `{shown}` is a file, expected a new or empty directory",
                    hint=_ELSEWHERE,
                ) from error
            raise self._unusable(error.strerror, _ELSEWHERE) from error
        return sorted(name for name in names if name != STATE and not is_temporary_name(name))

    def claim(self, record: ClaimRecord, over: str | None = None) -> LocalClaim:
        """Claim the output; its `_pymr` folder is made on demand."""
        try:
            claim = LocalClaim.take(self.folder, record)
        except StoreError as error:
            cause = error.__cause__
            why = cause.strerror if isinstance(cause, OSError) else error.message
            raise self._unusable(why) from error
        # Better now than when the parts are shown.
        if not os.access(self.folder, os.W_OK | os.X_OK, effective_ids=True):
            claim.release()
            raise self._unusable("the directory is read-only")
        return claim

    def owner(self) -> tuple[ClaimRecord | None, bool]:
        """Return who holds the output, or died holding it, and whether it lives."""
        with translated("read", os.path.join(self.folder, CLAIM), key=CLAIM):
            return read_claim(self.folder)

    def life_signs(self, run: str, epoch: int) -> AbstractContextManager[Callable[[str], object]]:
        """Return a block in which nothing is shown: the lock does it."""
        del run, epoch
        return nullcontext(str)

    def last_sign(self, run: str) -> LifeSign | None:
        """Return None: the lock shows who lives."""
        del run
        return None

    def halves(self, prefix: str) -> list[ObjectEntry]:
        """Return what interrupted writers left directly in the folder `prefix`."""
        return self.objects.halves(prefix)

    def sweep(self, prefix: str) -> None:
        """Remove what interrupted writers left directly in the folder `prefix`."""
        self.objects.sweep(prefix)

    def create_journal(self, run: str, epoch: int) -> Journal:
        """Return the journal of a new run."""
        return Journal.create(self.path_of(journal_key(run)))

    def reopen_journal(self, run: str, epoch: int, known: int) -> Journal:
        """Return the journal of a run, to go on behind its last whole record."""
        return Journal.reopen(self.path_of(journal_key(run)))

    def read_journal(self, run: str) -> Iterator[bytes]:
        """Yield the records of a journal in their order."""
        return read_journal(self.path_of(journal_key(run)))

    def history(
        self, run: str, thin: Thin, warn: Callable[[str], object] | None = None
    ) -> FolderHistory:
        """Return the history of a run, to append to it; `warn` is told once if it cannot be."""
        del thin  # A file takes every line at once.
        return FolderHistory(self.path_of(events_key(run)), warn)

    def read_history(self, run: str) -> Iterator[bytes]:
        """Yield the lines of a history."""
        return self.follow_history(run, lambda: False)

    def read_history_end(self, run: str) -> Iterator[bytes]:
        """Yield the lines of a history: it is one file, of this machine."""
        return self.read_history(run)

    def follow_history(self, run: str, wait: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the lines of a history, and those that come."""
        path = self.path_of(events_key(run))
        file: BinaryIO | None = None
        rest, may_come = b"", True
        try:
            while may_come:
                may_come = wait()
                with translated("read", path, key=events_key(run)):
                    file = file or _opened(path)
                while file is not None and (data := file.read(_READ_BYTES)):
                    *whole, rest = (rest + data).split(b"\n")
                    yield from whole
            if rest:
                yield rest  # Of a run that was killed while it wrote.
        finally:
            if file is not None:
                file.close()

    def runs(self) -> list[str]:
        """Return the ids of the runs that have a folder in the output, oldest first."""
        try:
            with os.scandir(f"{self.folder}/{STATE}") as scan:
                return sorted(entry.name for entry in scan if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []

    def path_of(self, key: str) -> str:
        """Return the file of an object, a journal or a history."""
        return self.objects.path_of(key)

    def _unusable(self, why: str | None, hint: str | None = None) -> OutputError:
        text = f"output `{show_path(self.folder)}` cannot be used: {why}"
        return OutputError(text, hint=hint)


class FolderHistory:
    """A history file. If it can not be written, `warn` is told once and it goes on without."""

    def __init__(self, path: str, warn: Callable[[str], object] | None = None) -> None:
        self._path = path
        self._warn = warn or _warn_on_stderr
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            make_folder(os.path.dirname(self._path) or ".")
            # Unbuffered: a run that is killed leaves all but the line it was writing.
            self._file = open(self._path, "ab", buffering=0)
            if _is_torn(self._path):
                self._file.write(b"\n")
        except OSError as error:
            self._give_up(error.strerror)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, line: bytes) -> None:
        """Append one line, if the file still takes it."""
        if self._file is None:
            return
        try:
            failpoint.hit("history.append")
            written = self._file.write(line)
        except OSError as error:
            self._give_up(error.strerror)
            return
        if written < len(line):
            self._give_up("no space left")

    def _give_up(self, reason: str | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._warn(
            f"history `{show_path(self._path)}` can not be written: {reason};"
            " the run goes on without it"
        )


def _opened(path: str) -> BinaryIO | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        return open(path, "rb", buffering=0)
    return None


def _warn_on_stderr(message: str) -> None:
    sys.stderr.write(f"warning: {message}\n")


def _is_torn(path: str) -> bool:
    """Say whether the last line was cut short by a crash."""
    with open(path, "rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
