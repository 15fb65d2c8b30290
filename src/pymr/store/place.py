"""The seam to where an output lives: its objects, who owns it, and what its runs have recorded.

A folder keeps a journal and a history as files that grow, and its claim as a lock of the kernel.
An object store has neither, so there they are numbered objects, each created once:

                     a folder                        an object store
    claim            flock on CLAIM                  CLAIM, replaced if it is as it was read
    journal          one file, fsynced               journal/00000000 …, put if absent
    history          one file, appended              events/00000000 …, one each second or so
    sign of life     the lock                        alive, replaced every few seconds
    prints           one file for each attempt       one object for each attempt

A lock ends with its process, so in a folder one process works on a run at a time. A store has no
such lock: a claim there keeps other runs out, and of two processes of one run the journal decides.
Each record is put behind the last one that its writer knows, so of two writers one finds that
place taken, and is deposed.

The rest of the program sees a `Place`, and `open_place` is the only one who knows which it is;
`folder` tells what there is on this machine's disks.
The contract is tested once, on both (`tests/contract/test_place.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from pymr.store.access import Access, is_address, parse_address
from pymr.store.base import ObjectEntry, ObjectStore
from pymr.store.claim import ClaimRecord
from pymr.store.life_sign import LifeSign

# Returns those of some lines of a history that are worth keeping, in their order.
Thin = Callable[[list[bytes]], list[bytes]]


class Claim(Protocol):
    """The right to an output, until it is released."""

    def release(self) -> None:
        """Give the output up. May be called twice."""


class Journal(Protocol):
    """A journal that is open for writing. One thread at a time.

    After an error it takes nothing more: what it then holds is unknown.
    """

    def append(self, line: bytes) -> None:
        r"""Take one record, which has no `\n`; it is not durable before `sync`.

        Raises:
            ResourceError, StoreError: it cannot be written.
        """

    def sync(self) -> None:
        """Make all that was appended durable; free if nothing was.

        Raises:
            ResourceError, StoreError: it may not be durable.
            DeposedError: another process has written meanwhile: nothing of this one counts now.
                Field `epoch`: of whoever has.
        """

    def look(self) -> None:
        """Look whether this process may still write, where no lock says so.

        Raises:
            DeposedError: as `sync`.
            StoreError: nobody knows.
        """

    def close(self) -> None:
        """Close it, without a sync. May be called twice."""


class History(Protocol):
    """The events of a run, appended as lines of JSON; best effort."""

    def append(self, line: bytes) -> None:
        """Take one line, with its newline. It never raises: a warning is told once."""

    def __enter__(self) -> Self:
        """Return the history."""

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is not written yet, within a few seconds."""


class Place(Protocol):
    """An output, wherever it is. `str(place)` is the folder or the address."""

    @property
    def folder(self) -> str | None:
        """The folder that it is; None: it is in a store, and no file here is of it."""

    @property
    def objects(self) -> ObjectStore:
        """The objects of the output; keys are those of `pymr.names`."""

    def foreign(self) -> list[str]:
        """Return names at its top that are not ours, sorted; of many some.

        Ours is `_pymr`; the parts of a result are foreign where no manifest is.

        Raises:
            OutputError: it can be no output: a file, for instance, or it cannot be read.
        """

    def claim(self, record: ClaimRecord, over: str | None = None) -> Claim:
        """Claim the output for `record`.

        Of any number of runs one gets it. The run of `record` may take over what an earlier
        process of its own has held, and what the run `over` holds, which the caller knows to be
        at its end. (A folder's lock is free by then.)

        Raises:
            OutputError: another run holds it; the message and fields name that. Or it cannot be
                written.
            ResourceError, StoreError: the place refuses.
        """

    def owner(self) -> tuple[ClaimRecord | None, bool]:
        """Return who holds the output, or died holding it, and whether it shows signs of life.

        In a store the signs are for people: a process that shows none may yet go on.
        """

    def life_signs(self, run: str, epoch: int) -> AbstractContextManager[Callable[[str], object]]:
        """Return a block in which the place shows that this process works on the run.

        It gives what is told where the process can be asked, `HOST:PORT`, once that is known; the
        next sign shows it. Best effort: nothing is raised.
        """

    def last_sign(self, run: str) -> LifeSign | None:
        """Return the last sign of life of a run; None: there is none, or a lock shows it."""

    def halves(self, prefix: str) -> list[ObjectEntry]:
        """Return what interrupted writers left directly in the folder `prefix`, if it can be told.

        No listing of objects has them.
        """

    def sweep(self, prefix: str) -> None:
        """Remove what `halves` returns; only the owner of the output may."""

    def create_journal(self, run: str, epoch: int) -> Journal:
        """Return the journal of a new run; `epoch` is of this process.

        Raises:
            ObjectExistsError: there is one; a run begins its journal once.
        """

    def reopen_journal(self, run: str, epoch: int, known: int) -> Journal:
        """Return the journal of a run, to go on behind the `known` records that were read of it.

        Raises:
            DeposedError: somebody has written more since; read it again. Field `epoch`: of whoever
                has. That one has taken the run on, unless its epoch is lower than this one's.
            ObjectMissingError, CorruptDataError: as `read_journal`.
        """

    def read_journal(self, run: str) -> Iterator[bytes]:
        """Yield the records of a journal in their order.

        Raises:
            ObjectMissingError: no such journal.
            CorruptDataError: it is damaged; fields `path`, `offset`, and in a store `slot`.
        """

    def history(self, run: str, thin: Thin) -> History:
        """Return the history of a run, to append to it in a `with` block.

        `thin` leaves out lines that later ones make void; a folder keeps all.
        """

    def read_history(self, run: str) -> Iterator[bytes]:
        """Yield the lines of a history without their newlines; none if there is no history."""

    def read_history_end(self, run: str) -> Iterator[bytes]:
        """Yield at least the last line of a history, with as few requests as can be.

        For the number of its last entry: a history may be long.
        """

    def follow_history(self, run: str, wait: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the lines of a history, as `read_history`, and those that come.

        `wait` is called before each look; it returns whether more may come after it.
        """

    def runs(self) -> list[str]:
        """Return the ids of the runs that have something in the output, oldest first.

        Raises:
            StoreError: a store does not answer, or refuses.
        """


def open_place(text: str, access: Access) -> Place:
    """Return the output at `text`, a folder or an address; nothing is done there yet.

    Raises:
        ConfigError: the address cannot be used.
    """
    if is_address(text):
        from pymr.store.object_place import ObjectPlace
        from pymr.store.object_store import open_objects
        from pymr.store.signed_request import SignedRequests

        address = parse_address(text)
        exact = None
        if address.scheme == "s3" and access.access_key_id is not None:
            exact = SignedRequests(address, access)
        return ObjectPlace(open_objects(address, access), text, exact)
    from pymr.store.folder_place import FolderPlace

    return FolderPlace(text)
