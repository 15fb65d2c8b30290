"""Copies one partition of many sorted runs from an object store to this machine, for a merge.

A merge reads a little of each run in turn, where a store answers many requests at once best,
each for much. So what a merge will need is fetched first, by parallel requests, into one local
file: it takes as much disk as the partition does in the store.

Laws: of each run its footer is read, and the blocks of the partition; of a footer that is kept
which concerns them. Each block is checked before it is kept. What is damaged is read again, since
that may have happened on the way; it is corrupt if it stays so. What is in memory is bounded by
`merge_bytes_max`, which the merge does not use yet, or by one block.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from pymr._native import Run
from pymr.core.spec import Limits, MapSource
from pymr.errors import CorruptDataError
from pymr.shuffle.sorted_run import (
    OTHER_BLOCK,
    ReadAt,
    SortedRunReader,
    corrupt_run,
    short_read,
)
from pymr.shuffle.spill import failure, remove_file
from pymr.store.base import ObjectStore

if TYPE_CHECKING:
    from concurrent.futures import Future

FETCHES_MAX: Final = 16  # at once
FETCH_TRIES_MAX: Final = 4  # of what is damaged: what three more reads agree on is so at rest
FETCH_TAIL_BYTES: Final = (
    16 << 10
)  # read at the end of a run: the footer of some hundred partitions
FETCH_TAIL_BYTES_MAX: Final = 256 << 10  # where footers are larger
_COPIES: Final = 2  # in memory of what is read: the client's, and ours

_Read = TypeVar("_Read")


class Fetched:
    """Runs of which one local file has the bytes, in the order of their sources.

    Those that have nothing in the partition are left out. `healed` is how often something was
    damaged on the way, and then read as it was written.
    """

    def __init__(self, runs: list[Run], healed: int, path: str) -> None:
        self.runs = runs
        self.healed = healed
        self._path = path

    def remove(self) -> None:
        """Remove the file; it may be called twice."""
        remove_file(self._path)


def fetch(
    store: ObjectStore,
    sources: Sequence[MapSource],
    partition: int,
    *,
    limits: Limits,
    folder: str,
    on_tick: Callable[[], object] = lambda: None,
) -> Fetched:
    """Fetch `partition` of `sources` into a file in `folder`, which is made when needed.

    `on_tick` is called by this thread whenever something has arrived.

    Raises:
        CorruptDataError: a source is not what was written, as often as it is read; `path` is
            its key.
        ObjectMissingError: a source is gone.
        StoreError: the store failed.
        ResourceError: the disk is full, or the folder cannot be written.
    """
    bytes_max = limits.merge_bytes_max // _COPIES
    found: list[Run | None] = [None] * len(sources)
    with _LocalFile(folder) as file:
        fetching = _Fetching(store, partition, file, max(bytes_max // FETCHES_MAX, 1))
        _do_all(
            (fetching.opening(source, found, at) for at, source in enumerate(sources)),
            bytes_max,
            on_tick,
        )
        return Fetched([run for run in found if run], fetching.healed, file.path)


class _Request(NamedTuple):
    """What one thread does: it takes `size` bytes of memory, and leads to more requests."""

    size: int
    make: Callable[[], list[_Request]]


def _do_all(first: Iterator[_Request], bytes_max: int, on_tick: Callable[[], object]) -> None:
    """Make requests, and those they lead to, at once within `bytes_max`, or one alone."""
    waiting = deque(islice(first, 1))
    # Not loaded where map outputs are files: it brings logging, too.
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    running: dict[Future[list[_Request]], int] = {}
    with ThreadPoolExecutor(FETCHES_MAX, "fetch") as pool:
        try:
            while waiting or running:
                while waiting and len(running) < FETCHES_MAX:
                    if running and sum(running.values()) + waiting[0].size > bytes_max:
                        break
                    request = waiting.popleft()
                    running[pool.submit(request.make)] = request.size
                    if not waiting:
                        waiting.extend(islice(first, 1))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    waiting.extendleft(reversed(future.result()))
                on_tick()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # The block waits for those at work.


class _Fetching:
    """One fetch; the requests are made by several threads."""

    def __init__(
        self, store: ObjectStore, partition: int, file: _LocalFile, piece_bytes: int
    ) -> None:
        self.healed = 0
        self._store = store
        self._partition = partition
        self._file = file
        self._piece_bytes = piece_bytes
        self._tail_bytes = FETCH_TAIL_BYTES  # as it turns out to be of use
        self._lock = Lock()

    def opening(self, source: MapSource, found: list[Run | None], at: int) -> _Request:
        """Return the request that puts the run of `source` at its place in `found`."""
        return _Request(self._tail_bytes, partial(self._open, source, found, at))

    def _open(self, source: MapSource, found: list[Run | None], at: int) -> list[_Request]:
        run, tail = self._whole(repeat(partial(self._read_footer, source), FETCH_TRIES_MAX))
        pieces = run.pieces(self._piece_bytes)
        if not pieces:
            return []
        start, length = pieces[0][0], sum(length for _, length in pieces)
        place = self._file.allot(length)
        found[at] = run.kept_in(self._file.folder, self._file.name, start, place)
        requests = []
        for offset, size in pieces:
            piece = _Piece(run, source.key, offset, size, place + offset - start)
            if tail.holds(offset):
                self._copy(piece, tail.read_at)
            else:
                requests.append(_Request(size, partial(self._copy, piece)))
        return requests

    def _read_footer(self, source: MapSource) -> tuple[Run, _Tail]:
        """Return what a footer says of the partition, and what else was read with it."""
        tail = _Tail(self._store, source, self._tail_bytes)
        reader = SortedRunReader(tail.read_at, source.size, source.key, source.footer_digest)
        footer, end = reader.read_footer()
        self._tail_bytes = min(max(self._tail_bytes, source.size - end), FETCH_TAIL_BYTES_MAX)
        return Run(source.key, footer, end, self._partition, tail.read_at), tail

    def _copy(self, piece: _Piece, first: ReadAt | None = None) -> list[_Request]:
        """Put a piece into the file; `first` is how it is read the first time."""
        ask = partial(self._store.get_range, piece.key)
        reads = chain([first or ask], repeat(ask, FETCH_TRIES_MAX - 1))
        data = self._whole(partial(piece.read, read_at) for read_at in reads)
        self._file.write(data, piece.place)
        return []

    def _whole(self, reads: Iterable[Callable[[], _Read]]) -> _Read:
        """Return what the first of `reads` returns that finds no damage."""
        damage: CorruptDataError | None = None
        for healed, read in enumerate(reads):
            try:
                found = read()
            except CorruptDataError as error:
                damage = error
                continue
            with self._lock:
                self.healed += healed
            return found
        assert damage is not None, "there are reads"
        raise damage


class _Tail:
    """The end of a run, read in one request; what lies before it is asked for."""

    def __init__(self, store: ObjectStore, source: MapSource, length: int) -> None:
        self._ask = partial(store.get_range, source.key)
        self._start = max(source.size - length, 0)
        self._data = self._ask(self._start, source.size - self._start)

    def holds(self, offset: int) -> bool:
        """Say whether what lies at `offset` was read."""
        return offset >= self._start

    def read_at(self, offset: int, length: int) -> bytes:
        """Return so many bytes, or as many as there are."""
        if not self.holds(offset):
            return self._ask(offset, length)
        return self._data[offset - self._start :][:length]


class _Piece(NamedTuple):
    """Some blocks of a run, and where they stand in the file."""

    run: Run
    key: str
    offset: int
    length: int
    place: int

    def read(self, read_at: ReadAt) -> bytes:
        """Return its bytes.

        Raises:
            CorruptDataError: they are not those that were written.
        """
        data = read_at(self.offset, self.length)
        if len(data) != self.length:
            raise corrupt_run(self.key, self.offset, short_read(len(data), self.length))
        damage = self.run.damage(self.offset, data)
        if damage is not None:
            raise corrupt_run(self.key, damage, OTHER_BLOCK)
        return data


class _LocalFile:
    """A new file, of which several threads write a place each; an error removes it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.name = f"{os.urandom(8).hex()}.fetched"
        self.path = os.path.join(folder, self.name)
        self._size = 0
        self._lock = Lock()
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise failure("write", folder, error) from error

    def allot(self, length: int) -> int:
        """Return a place for so many bytes."""
        with self._lock:
            place = self._size
            self._size += length
            return place

    def write(self, data: bytes, place: int) -> None:
        """Write all of `data` at `place`.

        Raises:
            ResourceError: the disk is full, for instance.
        """
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file, view, place)
                view, place = view[written:], place + written
        except OSError as error:
            raise failure("write", self.folder, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        """Close it; with an error it is removed."""
        os.close(self._file)
        if error_type is not None:
            remove_file(self.path)
