r"""A journal in a store: numbered slots, each created once. Their order is what fences.

All slots in a row are a journal as `store.journal` has it: lines of records, each bound to all
before it. The first line of each slot is the slot's own, and no record:

    <digest> {"epoch":3,"writer":"<nonce>"}\n
    <digest> <record>\n …

So a slot that is lost, doubled, swapped, cut, changed or another run's breaks the chain.

Laws: a writer puts its next records into the slot behind the last that it knows, if nobody has.
Of any number of writers one gets a slot; each other finds it taken, and from there on can write
nothing: what it knows is old, and it is deposed. No clock and no lease decides that. The nonce
tells slots of two writers apart, which may else be the same to a byte: a put whose reply was
lost is known by its bytes.

https://en.wikipedia.org/wiki/Optimistic_concurrency_control; the log of Delta Lake is numbered
objects of the same kind (Armbrust et al., VLDB 2020, section 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple, Self

import msgspec

from pymr import failpoint
from pymr.errors import (
    CorruptDataError,
    DeposedError,
    InternalError,
    ObjectExistsError,
    ObjectMissingError,
)
from pymr.names import journal_key, journal_slot_key, new_nonce
from pymr.store.base import ObjectStore
from pymr.store.journal import DIGITS, chained, check_record
from pymr.store.numbered import Numbered
from pymr.text_form import show_path

SLOT_BYTES_MAX: Final = 64 << 10  # one put is one write for every store; more for one record


class SlotHead(msgspec.Struct, frozen=True):
    """The first line of a slot."""

    epoch: int
    writer: str


class Slot(NamedTuple):
    """A slot that was read and fits the chain."""

    number: int
    head: SlotHead
    records: list[bytes]
    digest: bytes  # which the next slot is bound to


class SlotReader:
    """The slots of the journal of a run; `place` is the output, for messages."""

    def __init__(self, objects: ObjectStore, run: str, place: str) -> None:
        self.run = run
        self.name = f"{place}/{journal_key(run)}"
        self.slots = Numbered(objects, partial(journal_slot_key, run))

    def read(self, behind: Slot | None = None) -> Iterator[Slot]:
        """Yield the slots in their order, all or those behind one that was read before.

        Raises:
            ObjectMissingError: there is none.
            CorruptDataError: the chain is broken; fields `path`, `slot`, `offset` in it.
        """
        digest, number = (b"", 0) if behind is None else (behind.digest, behind.number + 1)
        while True:
            for body in self.slots.read(number):
                slot = self.parse(body, number, digest)
                digest, number = slot.digest, number + 1
                yield slot
            if not self.slots.has_any(number + 1):
                break
            # Either it came while we looked, or it is lost.
            if self.slots.get(number) is None:
                raise self.corrupt(number, 0, "it is not there, and a later one is")
        if number == 0:
            raise ObjectMissingError(f"no journal `{show_path(self.name)}`", key=self.name)

    def parse(self, body: bytes, number: int, digest: bytes) -> Slot:
        """Return a slot, whose lines follow what has `digest`.

        Raises:
            CorruptDataError: as `read`.
        """
        offset, payloads = 0, []
        for line in body.split(b"\n")[:-1]:
            found, payload = line[:DIGITS], line[DIGITS + 1 :]
            digest = chained(digest, payload)
            if line != b"%b %b" % (digest, payload):
                shown = found.decode("ascii", "backslashreplace")
                problem = f"digest `{shown}`, expected `{digest.decode()}`"
                raise self.corrupt(number, offset, problem, found=shown, expected=digest.decode())
            payloads.append(payload)
            offset += len(line) + 1
        if offset < len(body):
            raise self.corrupt(number, offset, "its last line has no end")
        if not payloads:
            raise self.corrupt(number, offset, "it is empty")
        try:
            head = msgspec.json.decode(payloads[0], type=SlotHead)
        except msgspec.MsgspecError as error:
            raise self.corrupt(number, 0, f"its head: {error}") from error
        return Slot(number, head, payloads[1:], digest)

    def corrupt(self, number: int, offset: int, problem: str, **fields: str) -> CorruptDataError:
        """Return what says that a slot is not what was written."""
        return CorruptDataError(
            f"journal `{show_path(self.name)}` is corrupt in slot {number} at byte {offset}:"
            f" {problem}",
            hint="pymr start --overwrite   with its arguments does it anew",
            path=self.name,
            slot=number,
            offset=offset,
            **fields,
        )

    def deposed(self, slot: Slot) -> DeposedError:
        """Return what says to a writer that another has written a slot."""
        epoch = slot.head.epoch
        return DeposedError(
            f"deposed by epoch {epoch}: it has written slot {slot.number} of"
            f" journal `{show_path(self.name)}`",
            hint=f"pymr attach {self.run}   follows the process that goes on",
            epoch=epoch,
            slot=slot.number,
        )


class SlotJournal:
    """A journal that is open for writing: `create` or `reopen` one. One thread at a time.

    After an error it takes nothing more: what the store then holds is unknown.
    """

    def __init__(self, reader: SlotReader, *, epoch: int, number: int, digest: bytes) -> None:
        self._reader = reader
        self._epoch = epoch
        self._number = number  # of the next slot
        self._digest = digest
        self._writer = new_nonce()
        self._pending: deque[bytes] = deque()
        self._is_open = True

    @classmethod
    def create(cls, reader: SlotReader, epoch: int) -> Self:
        """Return the journal of a new run; the first sync puts its first slot.

        Raises:
            ObjectExistsError: there is one.
        """
        if reader.slots.get(0) is not None:
            name = show_path(reader.name)
            raise ObjectExistsError(f"journal `{name}` exists, expected none", key=reader.name)
        return cls(reader, epoch=epoch, number=0, digest=b"")

    @classmethod
    def reopen(cls, reader: SlotReader, epoch: int, known: int, behind: Slot | None = None) -> Self:
        """Return the journal, to go on behind its first `known` records, which are all of it.

        `behind`: the slot that ends with them, if it is known; what is before it is not read again.

        Raises:
            DeposedError: there are more.
            ObjectMissingError, CorruptDataError: as `SlotReader.read`.
        """
        count, slot = (0, None) if behind is None else (known, behind)
        for slot in reader.read(behind):
            count += len(slot.records)
            if count > known:
                raise reader.deposed(slot)
        assert slot is not None, "a journal without slots is missing"
        if count < known:
            problem = f"there are {count} records, of {known} that were read before"
            raise reader.corrupt(slot.number, 0, problem)
        return cls(reader, epoch=epoch, number=slot.number + 1, digest=slot.digest)

    def append(self, line: bytes) -> None:
        r"""Take one record, which has no `\n`; nothing is written before `sync`."""
        check_record(line)
        with self._guarded():
            failpoint.hit("journal.append")
            self._pending.append(line)

    def sync(self) -> None:
        """Put what was appended into slots; free if nothing was.

        Raises:
            DeposedError: a slot is another writer's.
            StoreError: it may not be durable.
        """
        while self._pending:
            with self._guarded():
                failpoint.hit("journal.sync")
                self._put_slot()

    def look(self) -> None:
        """Look whether the next slot is another writer's.

        Raises:
            DeposedError: it is.
            StoreError: it cannot be read.
        """
        body = self._reader.slots.get(self._number)
        if body is not None:
            raise self._reader.deposed(self._reader.parse(body, self._number, self._digest))

    def close(self) -> None:
        """Take nothing more, and forget what was not synced. May be called twice."""
        self._is_open = False
        self._pending.clear()

    def _put_slot(self) -> None:
        head = SlotHead(self._epoch, self._writer)
        payloads = [msgspec.json.encode(head), self._pending.popleft()]
        size = sum(map(_line_bytes, payloads))
        while self._pending and size + _line_bytes(self._pending[0]) <= SLOT_BYTES_MAX:
            size += _line_bytes(self._pending[0])
            payloads.append(self._pending.popleft())
        digest, body = self._digest, bytearray()
        for payload in payloads:
            digest = chained(digest, payload)
            body += b"%b %b\n" % (digest, payload)
        self._create(bytes(body))
        failpoint.hit("slot.put")
        self._number, self._digest = self._number + 1, digest

    def _create(self, body: bytes) -> None:
        """Create the next slot, or raise who has."""
        slots = self._reader.slots
        try:
            slots.put(self._number, body)
        except ObjectExistsError as error:
            found = slots.get(self._number) or b""
            slot = self._reader.parse(found, self._number, self._digest)
            raise self._reader.deposed(slot) from error

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if not self._is_open:
            raise InternalError(f"journal `{show_path(self._reader.name)}` is closed")
        try:
            yield
        except BaseException:
            self.close()
            raise


def _line_bytes(payload: bytes) -> int:
    return DIGITS + len(payload) + 2
