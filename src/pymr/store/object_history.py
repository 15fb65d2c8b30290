"""The history of a run in a store: numbered pieces, each the lines of about a second.

A thread puts them, so whoever appends never waits. Best effort: while the store takes nothing,
lines are kept up to a limit, then the oldest go. A piece that may have been put is sent again as
it was, so no line comes twice.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

from pymr import failpoint
from pymr.errors import ObjectExistsError, PymrError
from pymr.names import STATE, events_piece_key
from pymr.store.base import ObjectStore
from pymr.store.numbered import Numbered
from pymr.store.place import Thin
from pymr.text_form import show_path

PIECE_S: Final = 1.0  # between two pieces, while a run is young
PIECE_OLD_S: Final = 10.0  # … of a run that takes long: 360 pieces an hour
PENDING_BYTES_MAX: Final = 8 << 20  # lines that the store has not taken
HISTORY_END_S: Final = 10.0  # to write the rest when the run is at its end
_SHARE: Final = 0.01  # the interval grows with the run: 600 pieces in the first hour


class ObjectHistory:
    """The history of a run, to append to it in a `with` block. Any thread may append."""

    def __init__(
        self,
        objects: ObjectStore,
        run: str,
        thin: Thin,
        *,
        place: str,
        warn: Callable[[str], object] | None = None,
    ) -> None:
        self._pieces = pieces_of(objects, run)
        self._number: int | None = None  # of the next piece
        self._piece = b""  # that may have been put
        self._thin = thin
        self._name = f"{place}/{STATE}/{run}/events"
        self._warn = warn or _warn_on_stderr
        self._is_warned = False
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="history", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(HISTORY_END_S)

    def append(self, line: bytes) -> None:
        """Take one line, with its newline."""
        failpoint.hit("history.append")
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            if self._size > PENDING_BYTES_MAX:
                self._shorten()

    def _shorten(self) -> None:
        """Leave out what can be left out, then the oldest lines."""
        lines = self._thin(self._lines)
        size = sum(map(len, lines))
        first = 0
        while size > PENDING_BYTES_MAX // 2:
            size -= len(lines[first])
            first += 1
        self._lines, self._size = lines[first:], size

    def _go_on(self) -> None:
        began, is_last = time.monotonic(), False
        while not is_last:
            age_s = time.monotonic() - began
            is_last = self._ended.wait(min(max(PIECE_S, age_s * _SHARE), PIECE_OLD_S))
            try:
                self._write()
            except PymrError as error:
                self._tell(error)

    def _write(self) -> None:
        """Put what is pending; raises PymrError, and may be repeated."""
        if self._number is None:  # Behind what an earlier life has written.
            self._number = self._pieces.end()
        while self._piece or self._take():
            with suppress(ObjectExistsError):  # Another life's, that had not ended.
                self._pieces.put(self._number, self._piece)
                self._piece = b""
            self._number += 1

    def _take(self) -> bool:
        """Make a piece of all lines that came; say whether there were any."""
        with self._lock:
            lines, self._lines, self._size = self._lines, [], 0
        self._piece = b"".join(self._thin(lines))
        return bool(self._piece)

    def _tell(self, error: PymrError) -> None:
        if not self._is_warned:
            self._is_warned = True
            self._warn(
                f"history `{show_path(self._name)}` can not be written: {error.message};"
                " the run goes on, and its history when the store does"
            )


def pieces_of(objects: ObjectStore, run: str) -> Numbered:
    """Return the pieces of the history of a run."""
    return Numbered(objects, partial(events_piece_key, run))


def follow_pieces(pieces: Numbered, wait: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the lines of a history, and those that come, without their newlines.

    `wait` is called before each look; it returns whether more may come after it.
    """
    number, may_come = 0, True
    while may_come:
        may_come = wait()
        for body in pieces.read(number):
            number += 1
            yield from body.splitlines()


def _warn_on_stderr(message: str) -> None:
    sys.stderr.write(f"warning: {message}\n")
