"""An output in a store: its claim an object, its journal and history numbered objects.

See `store.place` for the contract.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from pymr.names import STATE, alive_key
from pymr.store.access import parse_address
from pymr.store.base import ObjectEntry, VersionedStore
from pymr.store.claim import ClaimRecord
from pymr.store.life_sign import LifeSign, LifeSigns, read_sign
from pymr.store.object_claim import ObjectClaim, read_stored_claim
from pymr.store.object_history import ObjectHistory, follow_pieces, pieces_of
from pymr.store.place import Thin
from pymr.store.signed_request import SignedRequests, Upload
from pymr.store.slot_journal import Slot, SlotJournal, SlotReader


class ObjectPlace:
    """The output at `address`, whose objects are `objects`."""

    def __init__(
        self, objects: VersionedStore, address: str, exact: SignedRequests | None = None
    ) -> None:
        """`exact` finds uploads that were not completed; without it none are found."""
        self.objects = objects
        self.folder = None
        self._address = address.rstrip("/")
        self._read: dict[str, tuple[int, Slot]] = {}  # records of journals that were read to an end
        self._exact = exact

    def __str__(self) -> str:
        return self._address

    def foreign(self) -> list[str]:
        """Return the names at its top that are not ours, sorted."""
        names = (name.removesuffix("/") for name in self.objects.list_names(""))
        return [name for name in names if name != STATE]

    def claim(self, record: ClaimRecord, over: str | None = None) -> ObjectClaim:
        """Claim the output; the claims of its own run and of the run `over` give way."""
        return ObjectClaim.take(self.objects, self._address, record, over)

    def owner(self) -> tuple[ClaimRecord | None, bool]:
        """Return who holds the output, and whether it has shown a sign of life lately."""
        found = read_stored_claim(self.objects, self._address)
        if found is None or found.claim.released:
            return None, False
        sign = self.last_sign(found.claim.run)
        return found.claim, sign is not None and sign.is_fresh(time.time()) and not sign.is_over()

    def life_signs(self, run: str, epoch: int) -> LifeSigns:
        """Return a block in which the place shows that this process works on the run."""
        host = os.uname().nodename
        sign = LifeSign(epoch=epoch, pid=os.getpid(), host=host, time=0.0)
        return LifeSigns(self.objects, run, sign)

    def last_sign(self, run: str) -> LifeSign | None:
        """Return the last sign of life of a run, if there is one."""
        return read_sign(self.objects, alive_key(run))

    def halves(self, prefix: str) -> list[ObjectEntry]:
        """Return the uploads that were not completed, as far as the store tells; of no size."""
        top = len(self._below(""))
        return [
            ObjectEntry(os.fsdecode(upload.key[top:]), 0) for upload in self._unfinished(prefix)
        ]

    def sweep(self, prefix: str) -> None:
        """Drop what `halves` returns."""
        for upload in self._unfinished(prefix):
            assert self._exact is not None, "it has found them"
            with suppress(OSError):
                self._exact.abort(upload)

    def _unfinished(self, prefix: str) -> list[Upload]:
        if self._exact is None:
            return []
        below = self._below(prefix)
        with suppress(OSError):
            found = self._exact.uploads(below)
            return [upload for upload in found if b"/" not in upload.key[len(below) :]]
        return []  # Not every store tells of them.

    def _below(self, prefix: str) -> bytes:
        """Return what the keys begin with that lie in the folder `prefix` of the output."""
        top = parse_address(self._address).prefix
        return "".join(f"{part}/" for part in (top, prefix) if part).encode()

    def create_journal(self, run: str, epoch: int) -> SlotJournal:
        """Return the journal of a new run."""
        return SlotJournal.create(self._slots(run), epoch)

    def reopen_journal(self, run: str, epoch: int, known: int) -> SlotJournal:
        """Return the journal of a run, to go on behind the `known` records that were read of it."""
        count, last = self._read.get(run, (0, None))
        behind = last if count == known else None
        return SlotJournal.reopen(self._slots(run), epoch, known, behind)

    def read_journal(self, run: str) -> Iterator[bytes]:
        """Yield the records of a journal in their order."""
        count, last = 0, None
        for slot in self._slots(run).read():
            yield from slot.records
            count, last = count + len(slot.records), slot._replace(records=[])
        if last is not None:
            self._read[run] = count, last

    def history(
        self, run: str, thin: Thin, warn: Callable[[str], object] | None = None
    ) -> ObjectHistory:
        """Return the history of a run, to append to it; `warn` is told once if it cannot be."""
        return ObjectHistory(self.objects, run, thin, place=self._address, warn=warn)

    def read_history(self, run: str) -> Iterator[bytes]:
        """Yield the lines of a history."""
        return self.follow_history(run, lambda: False)

    def read_history_end(self, run: str) -> Iterator[bytes]:
        """Yield the lines of the last piece of a history."""
        pieces = pieces_of(self.objects, run)
        end = pieces.end()
        last = pieces.get(end - 1) if end else None
        return iter((last or b"").splitlines())

    def follow_history(self, run: str, wait: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the lines of a history, and those that come."""
        return follow_pieces(pieces_of(self.objects, run), wait)

    def runs(self) -> list[str]:
        """Return the ids of the runs that have something in the output, oldest first."""
        names = self.objects.list_names(STATE)
        return [name.removesuffix("/") for name in names if name.endswith("/")]

    def _slots(self, run: str) -> SlotReader:
        return SlotReader(self.objects, run, self._address)
