"""The contract of `store/place.py`, on every implementation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pymr.errors import (
    ConfigError,
    InternalError,
    ObjectExistsError,
    ObjectMissingError,
    OutputError,
)
from pymr.store.access import Access
from pymr.store.claim import ClaimRecord
from pymr.store.folder_place import FolderPlace
from pymr.store.object_place import ObjectPlace
from pymr.store.object_store import ObstoreStore
from pymr.store.place import Journal, Place, open_place
from services import open_bucket

RUN = "0190-run-1"
LATER = "0190-run-2"


@pytest.fixture(
    params=[
        "folder",
        "memory",
        pytest.param("minio", marks=pytest.mark.services),
        pytest.param("ceph", marks=pytest.mark.services),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return FolderPlace(str(tmp_path / "out"))
    if request.param != "memory":
        objects = open_bucket(request.getfixturevalue(request.param))
        return ObjectPlace(objects, "s3://bucket/out")
    from obstore.store import MemoryStore

    return ObjectPlace(ObstoreStore(MemoryStore()), "memory://bucket/out")


def record(run: str = RUN) -> ClaimRecord:
    return ClaimRecord(run=run, name=f"name-{run}", pid=12, host="box", started=1.0)


def all_of(lines: list[bytes]) -> list[bytes]:
    return lines


def wrote(place: Place, records: list[bytes], *, run: str = RUN, epoch: int = 1) -> Journal:
    """Return a journal of which `records` are durable."""
    journal = place.create_journal(run, epoch)
    for line in records:
        journal.append(line)
    journal.sync()
    return journal


# -- the claim -------------------------------------------------------------------------------


def test_nobody_owns_a_new_output(place: Place) -> None:
    """Nor does it show signs of life."""
    assert place.owner() == (None, False)


def test_a_claim_says_whose_it_is(place: Place) -> None:
    """Whoever looks reads the record; after the release it is nobody's."""
    claim = place.claim(record())

    owner, _ = place.owner()
    assert owner is not None
    assert (owner.run, owner.pid, owner.host) == (RUN, 12, "box")
    for _ in range(2):
        claim.release()
        assert place.owner() == (None, False)


def test_another_run_is_refused_a_claimed_output(place: Place) -> None:
    """And told whose it is; the claim stays."""
    place.claim(record())

    with pytest.raises(OutputError, match=f"is claimed by run {RUN}") as caught:
        place.claim(record(LATER))

    assert caught.value.fields["pid"] == 12
    assert place.owner()[0].run == RUN  # type: ignore[union-attr]


def test_a_released_output_may_be_claimed_by_any_run(place: Place) -> None:
    """As if it were new."""
    place.claim(record()).release()

    place.claim(record(LATER))

    assert place.owner()[0].run == LATER  # type: ignore[union-attr]


@pytest.mark.parametrize("before", ["nothing", "released"])
def test_of_sixteen_runs_that_claim_at_once_one_wins(place: Place, before: str) -> None:
    """Whoever loses is told who has won."""
    if before == "released":
        place.claim(record("0190-run-0")).release()
    barrier = threading.Barrier(16)

    def claim(number: int) -> tuple[bool, str]:
        barrier.wait()
        try:
            place.claim(record(f"run-{number}"))
        except OutputError as error:
            return False, error.fields["run"]
        return True, f"run-{number}"

    with ThreadPoolExecutor(16) as threads:
        claims = list(threads.map(claim, range(16)))

    assert [has_won for has_won, _ in claims].count(True) == 1
    assert {run for _, run in claims} == {place.owner()[0].run}  # type: ignore[union-attr]


# -- the journal -----------------------------------------------------------------------------


def test_records_of_a_journal_come_back_in_order(place: Place) -> None:
    """Also those of which there are many, or that are large, and with any bytes but a newline."""
    records = [b'{"a":1}', b"", b"\xff\x00\r ", b"x" * 200_000]
    records += [b"%d" % n + b"y" * 500 for n in range(400)]

    wrote(place, records).close()

    assert list(place.read_journal(RUN)) == records


def test_a_sync_without_news_costs_nothing(place: Place) -> None:
    """And what is synced later goes behind what was before."""
    journal = wrote(place, [b"one"])
    journal.sync()
    journal.append(b"two")
    journal.sync()
    journal.sync()
    journal.close()
    journal.close()

    assert list(place.read_journal(RUN)) == [b"one", b"two"]


def test_a_journal_is_begun_once(place: Place) -> None:
    """A second one of the same run is refused; one of another run is not."""
    wrote(place, [b"one"]).close()

    with pytest.raises(ObjectExistsError):
        place.create_journal(RUN, 1)
    wrote(place, [b"other"], run=LATER).close()

    assert list(place.read_journal(RUN)) == [b"one"]


def test_a_missing_journal_is_said_to_be_missing(place: Place) -> None:
    """It can neither be read nor be gone on with."""
    with pytest.raises(ObjectMissingError):
        list(place.read_journal(RUN))
    with pytest.raises(ObjectMissingError):
        place.reopen_journal(RUN, 2, 0)


def test_a_journal_goes_on_where_it_was(place: Place) -> None:
    """Life by life, as if one process had written it."""
    wrote(place, [b"one"]).close()

    for epoch in range(2, 5):
        known = len(list(place.read_journal(RUN)))
        journal = place.reopen_journal(RUN, epoch, known)
        journal.append(b"of life %d" % epoch)
        journal.sync()
        journal.close()

    assert list(place.read_journal(RUN)) == [b"one", b"of life 2", b"of life 3", b"of life 4"]


def test_a_newline_in_a_record_is_refused(place: Place) -> None:
    """It would read back as two; nothing is taken of it, and the journal goes on."""
    journal = wrote(place, [b"one"])

    with pytest.raises(InternalError, match="newline"):
        journal.append(b"a\nb")

    journal.append(b"two")
    journal.sync()
    journal.close()
    assert list(place.read_journal(RUN)) == [b"one", b"two"]


def test_a_closed_journal_takes_nothing(place: Place) -> None:
    """That would be lost without a word."""
    journal = wrote(place, [b"one"])
    journal.close()

    with pytest.raises(InternalError, match="is closed"):
        journal.append(b"two")


# -- the history -----------------------------------------------------------------------------


def test_lines_of_a_history_come_back_without_their_newlines(place: Place) -> None:
    """Those of a later life behind those of an earlier."""
    for life in range(3):
        with place.history(RUN, all_of) as history:
            history.append(b'{"life":%d}\n' % life)
            history.append(b'{"more":%d}\n' % life)

    lines = list(place.read_history(RUN))
    assert lines == [b'{"%s":%d}' % (what, n) for n in range(3) for what in (b"life", b"more")]


def test_a_history_that_is_not_there_has_no_lines(place: Place) -> None:
    """It is no error: a history is best effort."""
    assert list(place.read_history(RUN)) == []
    assert list(place.read_history_end(RUN)) == []


def test_the_last_line_of_a_history_is_at_its_end(place: Place) -> None:
    """However many lives have written it: the next one numbers its own on from there."""
    for life in range(3):
        with place.history(RUN, all_of) as history:
            history.append(b"%d" % life + b"\n")

        assert list(place.read_history_end(RUN))[-1] == b"%d" % life


def test_a_history_is_followed_while_it_grows(place: Place) -> None:
    """What comes after the last look that finds the run at its end is not missed."""
    looks: Iterator[tuple[bytes, bool]] = iter([(b"one\n", True), (b"two\n", True), (b"", False)])

    def wait() -> bool:
        line, may_come = next(looks)
        with place.history(RUN, all_of) as history:
            if line:
                history.append(line)
        return may_come

    assert list(place.follow_history(RUN, wait)) == [b"one", b"two"]


# -- the rest --------------------------------------------------------------------------------


def test_runs_are_those_with_something_in_the_output(place: Place) -> None:
    """Oldest first; the claim and the manifest are of none."""
    assert place.runs() == []
    place.claim(record()).release()
    wrote(place, [b"one"], run=LATER).close()
    wrote(place, [b"one"]).close()

    assert place.runs() == [RUN, LATER]


def test_names_that_are_not_ours_are_told(place: Place) -> None:
    """Those at the top: files and folders, not what is under `_pymr`."""
    wrote(place, [b"one"]).close()
    assert place.foreign() == []

    place.objects.put_if_absent("notes.txt", b"")
    place.objects.put_if_absent("photos/one.jpg", b"")

    assert place.foreign() == ["notes.txt", "photos"]


def test_a_place_is_shown_as_the_user_named_it(place: Place) -> None:
    """For messages."""
    assert str(place) == place.folder or str(place) in ("memory://bucket/out", "s3://bucket/out")


def test_only_a_folder_has_files_here(place: Place) -> None:
    """Where there is no folder, no half of an object lies anywhere."""
    wrote(place, [b"one"]).close()

    assert (place.folder is not None) == isinstance(place, FolderPlace)
    assert place.halves("") == []
    place.sweep("")


def test_a_text_names_a_folder_or_an_address(tmp_path: Path) -> None:
    """Which of them it is, nobody else asks."""
    assert isinstance(open_place(str(tmp_path), Access()), FolderPlace)
    access = Access(endpoint="http://127.0.0.1:1", region="us-east-1")
    assert isinstance(open_place("s3://bucket/out", access), ObjectPlace)
    with pytest.raises(ConfigError, match="has the bucket"):
        open_place("s3://", Access())
