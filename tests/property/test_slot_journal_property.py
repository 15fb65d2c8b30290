"""Any number of writers of one journal in a store that fails in any way: one order of records."""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pymr.errors import (
    DeposedError,
    InternalError,
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store import slot_journal
from pymr.store.slot_journal import SlotJournal, SlotReader

KINDS = ("take on", "append", "append", "append", "sync", "sync", "sync", "crash", "land")
# What may become of a put: it is answered; the answer is lost; it is never carried out, or later.
FAULTS = ("none", "none", "none", "none", "none", "none", "answer lost", "lost", "late", "late")
steps = st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9))


class FaultyStore:
    """As the contract of a store allows it to be: what failed may have happened, or yet happen."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.late: list[tuple[str, bytes]] = []
        self.fault = "none"

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        if key not in self.objects:
            raise ObjectMissingError(f"no object `{key}`")
        return self.objects[key]

    def size(self, key: str) -> int:
        """Return its size."""
        return len(self.get(key))

    def put_if_absent(self, key: str, body: bytes) -> None:
        """Create the object; the fault strikes once."""
        fault, self.fault = self.fault, "none"
        if fault == "late":
            self.late.append((key, body))
        if fault in ("lost", "late"):
            raise StoreUnavailableError("no answer")
        if self.objects.setdefault(key, body) != body:
            raise ObjectExistsError(f"object `{key}` exists")
        if fault == "answer lost":
            raise StoreUnavailableError("no answer")


class Writer:
    """One process that works on the run."""

    def __init__(self, number: int, journal: SlotJournal) -> None:
        self.number = number
        self.journal = journal
        self.pending: list[bytes] = []


class Writers:
    """Each record is `writer:n`, so the journal tells who has written what."""

    def __init__(self) -> None:
        self.store = FaultyStore()
        self.reader = SlotReader(self.store, "run", "s3://bucket/out")  # type: ignore[arg-type]
        self.writers: list[Writer] = []
        self.count = 0
        self.synced: set[bytes] = set()
        self.seen: list[bytes] = []

    def step(self, kind: str, which: int, value: int) -> None:
        """Do one thing, with one of the newest writers."""
        if kind == "take on" or not self.writers:
            self.take_on()
            return
        writer = self.writers[-1 - which % min(3, len(self.writers))]
        match kind:
            case "append":
                self.append(writer, value * 10)
            case "sync":
                self.sync(writer, FAULTS[value])
            case "crash":
                self.writers.remove(writer)
            case "land":
                self.land()

    def take_on(self) -> Writer:
        """Begin another life, whatever the others do."""
        self.count += 1
        if self.store.objects:
            known = len(self.records())
            journal = SlotJournal.reopen(self.reader, self.count, known)
        else:
            journal = SlotJournal.create(self.reader, self.count)
        writer = Writer(self.count, journal)
        self.writers.append(writer)
        return writer

    def append(self, writer: Writer, size: int) -> None:
        """Append a record, each another."""
        self.count += 1
        line = b"%d:%d:" % (writer.number, self.count) + b"x" * size
        with suppress(InternalError):  # Closed after an error.
            writer.journal.append(line)
            writer.pending.append(line)

    def sync(self, writer: Writer, fault: str) -> bool:
        """It returns, and then all is durable; or it does not, and the writer is at its end."""
        self.store.fault = fault
        pending, writer.pending = writer.pending, []
        try:
            writer.journal.sync()
        except DeposedError:
            event("deposed")
            return False
        except StoreError:
            event(f"failed, {fault}")
            return False
        self.synced.update(pending)
        event("synced into several slots" if len(pending) > 2 else "synced")
        return True

    def land(self) -> None:
        """A put that was given up arrives."""
        if self.store.late:
            key, body = self.store.late.pop(0)
            found = self.store.objects.setdefault(key, body)
            event("came late, and was in time" if found == body else "came too late")

    def records(self) -> list[bytes]:
        """Return what a reader finds; it raises if the chain is broken."""
        try:
            return [record for slot in self.reader.read() for record in slot.records]
        except ObjectMissingError:
            return []

    def check(self) -> None:
        """Nothing that is there changes; what was synced is there, each record once."""
        found = self.records()
        assert found[: len(self.seen)] == self.seen
        assert len(set(found)) == len(found)
        assert self.synced <= set(found)
        authors = [number for number, _ in groupby(line.split(b":")[0] for line in found)]
        assert len(set(authors)) == len(authors), "a writer went on behind another"
        self.seen = found


@pytest.fixture(autouse=True, scope="module")
def _small_slots():
    """Let a few records fill a slot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slot_journal, "SLOT_BYTES_MAX", 200)
        yield


@given(st.lists(steps, min_size=10, max_size=60))
def test_a_journal_is_one_order_whatever_its_writers_do(history: list) -> None:
    """Safety: after each step. Two of them at once, puts that come late, answers that are lost."""
    writers = Writers()

    for step in history:
        writers.step(*step)
        writers.check()


@given(st.lists(steps, min_size=10, max_size=60))
def test_whatever_has_happened_a_later_life_goes_on(history: list) -> None:
    """Liveness: an old put that lands first is in its way once, and then never again."""
    writers = Writers()
    for step in history:
        writers.step(*step)

    for _ in range(len(writers.store.late) + 1):
        writer = writers.take_on()
        writers.land()
        writers.append(writer, 1)
        if writers.sync(writer, "none"):
            break

    writers.check()
    assert writers.records()[-1].startswith(b"%d:" % writer.number)
