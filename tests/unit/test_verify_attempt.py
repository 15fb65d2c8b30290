"""An attempt counts only if its object is what its receipt says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pymr import names
from pymr.core.spec import Attempt, EdgeSum, MapFooter, Receipt, SplitReceipt
from pymr.errors import CorruptDataError
from pymr.shuffle.sorted_run import SortedRunWriter
from pymr.store import ending
from pymr.store.base import ObjectStore
from pymr.store.local import LocalStore
from pymr.task.commit import verify_attempt, verify_kept


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "out"))


SPLITS = (SplitReceipt(input=0, start=0, end=10, bytes=10, records=2, digest=2**127),)


def map_output(store: ObjectStore, extra: bytes | None = None, **changes: Any) -> Receipt:
    """Write a sorted run of two partitions; return its receipt."""
    key = names.attempt_key("r1", "map", 0, 1, "nonce")
    with store.create(key) as writer:
        sorted_run = SortedRunWriter(writer.write, 2, 1 << 10)
        sorted_run.add(0, b"\x01", b"\x01")
        sorted_run.add(1, b"\x01", b"\x01")
        sorted_run.add(1, b"\x02", b"\x01")
        digest = sorted_run.finish(msgspec.json.encode(SPLITS) if extra is None else extra)
        writer.commit()
    fields = {
        "attempt": Attempt("map", 0, 1),
        "key": key,
        "size": sorted_run.size,
        "footer_digest": digest,
        "code_digest": "ab",
    }
    return Receipt(**(fields | changes))


def part_receipt(store: ObjectStore, **changes: Any) -> Receipt:
    store.put_if_absent("part", b"a\t1\n")
    fields = {"attempt": Attempt("reduce", 0, 1), "key": "part", "size": 4, "code_digest": "ab"}
    return Receipt(**(fields | changes))


def test_the_footer_of_a_map_output_is_handed_to_the_books(store: LocalStore) -> None:
    """Sums per partition and receipts per split come from the object, not from the report."""
    footer = verify_attempt(store, map_output(store))

    assert [partition.records for partition in footer.partitions] == [1, 2]
    assert isinstance(footer.partitions[0], EdgeSum)
    assert footer.splits == SPLITS


@pytest.mark.parametrize("changes", [{"size": 5}, {"footer_digest": "00" * 16}])
def test_a_map_output_other_than_reported_is_refused(
    store: LocalStore, changes: dict[str, Any]
) -> None:
    """A receipt that does not fit the object is not believed (and can be tried again)."""
    with pytest.raises(CorruptDataError) as caught:
        verify_attempt(store, map_output(store, **changes))

    assert caught.value.retryable


def test_a_footer_that_is_longer_than_what_is_read_first_is_read(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many partitions, for instance: the rest of it takes one more request."""
    monkeypatch.setattr(ending, "END_BYTES", 40)

    footer = verify_attempt(store, map_output(store))

    assert [partition.records for partition in footer.partitions] == [1, 2]


@pytest.mark.parametrize("added", [-1, 1, 70_000])
def test_a_map_output_of_another_size_is_refused(store: LocalStore, added: int) -> None:
    """Also if its end, where the receipt says that it is, is a footer."""
    told = map_output(store)
    path = Path(str(store), told.key)
    path.write_bytes((path.read_bytes() + bytes(max(0, added)))[: told.size + added])

    with pytest.raises(CorruptDataError, match=f"has {told.size + added} bytes"):
        verify_attempt(store, told)


@pytest.mark.parametrize("extra", [b"", b"[1]", b"{", b"[]x"])
def test_split_receipts_that_are_none_are_refused(store: LocalStore, extra: bytes) -> None:
    """A sound footer with something else in place of the split receipts is corrupt."""
    with pytest.raises(CorruptDataError, match="split receipts"):
        verify_attempt(store, map_output(store, extra))


def test_an_attempt_without_an_object_is_refused(store: LocalStore) -> None:
    """A report is worth nothing without its object."""
    receipt = map_output(store)
    store.delete(receipt.key)

    with pytest.raises(CorruptDataError, match="is missing"):
        verify_attempt(store, receipt)


def test_a_part_is_known_by_its_size(store: LocalStore) -> None:
    """A part has no footer; the receipt of a map-only attempt brings its split receipts."""
    receipt = part_receipt(store, splits=SPLITS)

    assert verify_attempt(store, receipt) == MapFooter((), SPLITS)
    with pytest.raises(CorruptDataError, match="it has 4 bytes, expected 5"):
        verify_attempt(store, msgspec.structs.replace(receipt, size=5))


def test_a_part_of_an_earlier_process_is_read_to_its_end(store: LocalStore) -> None:
    """Nobody reads it again before it is published: every byte is what was committed."""
    digest = hashlib.sha256(b"a\t1\n").hexdigest()
    receipt = part_receipt(store, splits=SPLITS, sha256=digest)

    assert verify_kept(store, receipt) == MapFooter((), SPLITS)
    store.replace("part", b"a\t2\n")
    with pytest.raises(CorruptDataError, match="part `part` is corrupt: its SHA-256"):
        verify_kept(store, receipt)


def test_a_map_output_of_an_earlier_process_is_known_by_its_footer(store: LocalStore) -> None:
    """Its blocks are checked by those who read them."""
    receipt = map_output(store)

    assert verify_kept(store, receipt) == verify_attempt(store, receipt)
    store.delete(receipt.key)
    with pytest.raises(CorruptDataError, match="is missing"):
        verify_kept(store, receipt)
