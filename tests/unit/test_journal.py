"""The journal: what was synced is read back, torn tails end it, damage stops it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pymr.errors import (
    CorruptDataError,
    InternalError,
    ObjectExistsError,
    ObjectMissingError,
    ResourceError,
    StoreError,
)
from pymr.store.journal import Journal, read_journal

RECORDS = [b'{"a":1}', b"", b"with space \xff\x00\r", b"x" * 100_000]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal"


def write(path: Path, records: list[bytes]) -> None:
    journal = Journal.create(str(path))
    for record in records:
        journal.append(record)
    journal.sync()
    journal.close()


def test_records_come_back_in_order(path: Path) -> None:
    """Any bytes but a newline are a record, an empty one too."""
    write(path, RECORDS)

    assert list(read_journal(str(path))) == RECORDS


def test_a_record_is_one_line_chained_to_the_last(path: Path) -> None:
    """The form on disk: 16 hex digits over the digits before and the payload."""
    from pymr._native import xxh3_64

    write(path, [b"one", b"two"])

    first = b"%016x" % xxh3_64(b"one")
    second = b"%016x" % xxh3_64(first + b"two")
    assert path.read_bytes() == first + b" one\n" + second + b" two\n"


def test_a_journal_is_readable_while_it_is_written(path: Path) -> None:
    """`append` writes at once: a reader sees the record before any sync or close."""
    journal = Journal.create(str(path))
    journal.append(b"one")

    assert list(read_journal(str(path))) == [b"one"]
    journal.close()


def test_every_cut_of_the_tail_keeps_the_records_before_it(path: Path) -> None:
    """Cut anywhere, a journal is a prefix of its records: a torn one never counted."""
    write(path, RECORDS[:3])
    whole = path.read_bytes()

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        records = list(read_journal(str(path)))
        assert records == RECORDS[: whole[:size].count(b"\n")]


def test_every_flipped_byte_is_seen(path: Path) -> None:
    """A change of one byte in a complete line stops the reader at that line's offset."""
    write(path, [b"one", b"two", b"three"])
    whole = path.read_bytes()
    starts = [0, *(i + 1 for i, byte in enumerate(whole[:-1]) if byte == 0x0A)]

    for position in range(len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(CorruptDataError, match="is corrupt at byte") as caught:
            list(read_journal(str(path)))
        assert caught.value.fields["offset"] == max(s for s in starts if s <= position)
        assert caught.value.fields["path"] == str(path)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2], [0, 1, 1, 2]])
def test_lines_lost_doubled_or_swapped_are_seen(path: Path, order: list[int]) -> None:
    """Each line is sound by itself; only the chain tells that one is missing."""
    write(path, [b"one", b"two", b"three"])
    lines = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(b"".join(lines[index] for index in order))

    with pytest.raises(CorruptDataError):
        list(read_journal(str(path)))


def test_a_newline_in_a_record_is_refused(path: Path) -> None:
    """A record with a newline would read back as two; nothing is written of it."""
    journal = Journal.create(str(path))

    with pytest.raises(InternalError, match="newline"):
        journal.append(b"a\nb")

    journal.append(b"next")
    assert list(read_journal(str(path))) == [b"next"]
    journal.close()


def test_a_journal_is_written_once(path: Path) -> None:
    """A second journal of the same run is refused, and the first stays."""
    write(path, [b"one"])

    with pytest.raises(ObjectExistsError):
        Journal.create(str(path))

    assert list(read_journal(str(path))) == [b"one"]


def test_a_missing_journal_is_said_to_be_missing(path: Path) -> None:
    """Reading a journal that is not there raises, rather than yielding nothing."""
    with pytest.raises(ObjectMissingError):
        list(read_journal(str(path)))


def test_a_sync_costs_one_fsync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync without news is free; the folder is not synced, unless it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").resolve())
    )
    journal = Journal.create(str(path))

    journal.sync()
    assert synced == []
    journal.append(b"one")
    journal.append(b"two")
    journal.sync()
    journal.sync()
    assert synced == [path]
    for _ in range(2):
        journal.append(b"more")
        journal.sync()
    assert synced == [path, path, path]
    journal.close()


def test_an_append_is_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record reaches the file in one call, so that a kill cannot cut it."""
    sizes = []
    write_to = os.write

    def count(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write_to(descriptor, data)

    journal = Journal.create(str(path))
    monkeypatch.setattr(os, "write", count)

    journal.append(b"x" * 1000)

    assert sizes == [1000 + 18]
    journal.close()


def test_a_short_write_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that the system cuts short is continued, not lost."""
    write_to = os.write
    journal = Journal.create(str(path))
    monkeypatch.setattr(os, "write", lambda fd, data: write_to(fd, data[:5]))

    journal.append(b"a longer record")

    assert list(read_journal(str(path))) == [b"a longer record"]
    journal.close()


@pytest.mark.parametrize(
    ("call", "number", "error_class"),
    [("write", errno.ENOSPC, ResourceError), ("fsync", errno.EIO, StoreError)],
)
def test_after_an_error_nothing_more_is_taken(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error_class: type[Exception],
) -> None:
    """What a file holds after a failed write or fsync is unknown, so it is the end of it."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    journal = Journal.create(str(path))

    def append_and_sync() -> None:
        journal.append(b"one")
        journal.sync()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(error_class):
            append_and_sync()

    with pytest.raises(InternalError, match="is closed"):
        journal.append(b"two")
    journal.close()


# -- going on --------------------------------------------------------------------------------


def test_a_reopened_journal_goes_on_with_its_chain(path: Path) -> None:
    """As if one process had written all of it."""
    write(path, RECORDS[:2])

    journal = Journal.reopen(str(path))
    for record in RECORDS[2:]:
        journal.append(record)
    journal.close()

    assert list(read_journal(str(path))) == RECORDS


def test_a_torn_record_is_cut_off_before_the_journal_goes_on(path: Path) -> None:
    """At every byte: it never counted, and must not end up in the middle of another."""
    write(path, [b"one", b"two"])
    whole = path.read_bytes()

    for size in range(len(whole) // 2 + 1, len(whole)):
        path.write_bytes(whole[:size])
        journal = Journal.reopen(str(path))
        journal.append(b"three")
        journal.close()
        assert list(read_journal(str(path))) == [b"one", b"three"]


def test_a_damaged_journal_does_not_go_on(path: Path) -> None:
    """Nothing is cut off: what the damage hides may matter."""
    write(path, [b"one", b"two"])
    damaged = path.read_bytes().replace(b"one", b"One")
    path.write_bytes(damaged)

    with pytest.raises(CorruptDataError):
        Journal.reopen(str(path))

    assert path.read_bytes() == damaged


def test_a_journal_that_is_not_there_cannot_go_on(path: Path) -> None:
    """It is not made, either."""
    with pytest.raises(ObjectMissingError):
        Journal.reopen(str(path))

    assert not path.exists()


def test_a_journal_that_may_not_be_written_is_closed_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why, and no descriptor is left open."""
    write(path, [b"one"])
    before = len(list(Path("/proc/self/fd").iterdir()))

    def refuse(_descriptor: int, _size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(StoreError, match="Input/output error"):
        Journal.reopen(str(path))

    assert len(list(Path("/proc/self/fd").iterdir())) == before
