"""What an output in a store has and a folder has not: several processes that work on one run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pymr.errors import (
    CorruptDataError,
    DeposedError,
    InternalError,
    OutputError,
    PymrError,
)
from pymr.names import CLAIM, alive_key, events_piece_key, journal_slot_key
from pymr.store.claim import ClaimRecord
from pymr.store.object_place import ObjectPlace
from pymr.store.object_store import ObstoreStore
from pymr.store.slot_journal import SLOT_BYTES_MAX, SlotJournal
from services import open_bucket

RUN = "0190-run-1"
LATER = "0190-run-2"


@pytest.fixture(
    params=[
        "memory",
        pytest.param("minio", marks=pytest.mark.services),
        pytest.param("ceph", marks=pytest.mark.services),
    ]
)
def place(request: pytest.FixtureRequest) -> ObjectPlace:
    if request.param != "memory":
        objects = open_bucket(request.getfixturevalue(request.param))
        return ObjectPlace(objects, "s3://bucket/out")
    from obstore.store import MemoryStore

    return ObjectPlace(ObstoreStore(MemoryStore()), "s3://bucket/out")


def record(run: str = RUN, pid: int = 12) -> ClaimRecord:
    return ClaimRecord(run=run, name=f"name-{run}", pid=pid, host="box", started=1.0)


def put(journal: SlotJournal, *records: bytes) -> None:
    for line in records:
        journal.append(line)
    journal.sync()


def slots(place: ObjectPlace) -> list[bytes]:
    folder = journal_slot_key(RUN, 0).rpartition("/")[0]
    return [place.objects.get(entry.key) for entry in place.objects.list(folder)]


# -- the claim -------------------------------------------------------------------------------


def test_a_run_takes_over_what_an_earlier_process_of_its_own_holds(place: ObjectPlace) -> None:
    """It may have died; if not, the journal decides between the two."""
    place.claim(record(pid=1))

    place.claim(record(pid=2))

    assert place.owner()[0].pid == 2  # type: ignore[union-attr]


def test_a_run_that_is_at_its_end_gives_way(place: ObjectPlace) -> None:
    """Whoever knows that says so; another run's claim is not meant by it."""
    place.claim(record())

    with pytest.raises(OutputError):
        place.claim(record(LATER), over="0190-run-0")
    place.claim(record(LATER), over=RUN)

    assert place.owner()[0].run == LATER  # type: ignore[union-attr]


def test_of_sixteen_that_take_over_one_run_one_wins(place: ObjectPlace) -> None:
    """All know that it is at its end."""
    place.claim(record())
    barrier = threading.Barrier(16)

    def claim(number: int) -> bool:
        barrier.wait()
        with suppress(OutputError):
            place.claim(record(f"run-{number}"), over=RUN)
            return True
        return False

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(claim, range(16))) == 1


def test_who_looks_while_another_claims_has_lost() -> None:
    """Between its look and its write: what it replaces is not what it has seen."""
    from obstore.store import MemoryStore

    class Watched(ObstoreStore):
        between: list[Callable[[], object]]

        def get_versioned(self, key: str) -> tuple[bytes, str]:
            found = super().get_versioned(key)
            if self.between:
                self.between.pop()()
            return found

    objects = Watched(MemoryStore())
    objects.between = []
    place = ObjectPlace(objects, "s3://bucket/out")
    place.claim(record()).release()

    objects.between = [lambda: place.claim(record(LATER))]
    with pytest.raises(OutputError, match=f"claimed by run {LATER}"):
        place.claim(record())

    assert place.owner()[0].run == LATER  # type: ignore[union-attr]


def test_who_was_taken_over_releases_nothing(place: ObjectPlace) -> None:
    """The claim is another's by then: of another process, or of another run."""
    first = place.claim(record(pid=1))
    second = place.claim(record(pid=2))

    first.release()
    assert place.owner()[0].pid == 2  # type: ignore[union-attr]

    second.release()
    place.claim(record(LATER))
    second.release()
    first.release()
    assert place.owner()[0].run == LATER  # type: ignore[union-attr]


def test_a_claim_that_is_none_is_left_alone(place: ObjectPlace) -> None:
    """Nobody knows whose it is."""
    place.objects.put_if_absent(CLAIM, b"not ours")

    with pytest.raises(OutputError, match="that is no claim"):
        place.claim(record())

    assert place.objects.get(CLAIM) == b"not ours"


# -- two that write one journal ----------------------------------------------------------------


def test_f64_f65_who_finds_its_next_slot_taken_is_deposed(place: ObjectPlace) -> None:
    """And told by which epoch; what it had not synced did not happen, and it takes nothing more."""
    old = place.create_journal(RUN, 1)
    put(old, b"planned")
    old.look()
    new = place.reopen_journal(RUN, 2, 1)
    put(new, b"resumed by 2")

    with pytest.raises(DeposedError, match=r"^deposed by epoch 2"):
        old.look()
    with pytest.raises(DeposedError, match=r"^deposed by epoch 2: .* slot 1 of") as caught:
        put(old, b"committed by 1")

    assert caught.value.fields["epoch"] == 2
    with pytest.raises(InternalError, match="is closed"):
        old.append(b"more")
    put(new, b"committed by 2")
    assert list(place.read_journal(RUN)) == [b"planned", b"resumed by 2", b"committed by 2"]


def test_f65_of_two_masters_of_one_epoch_one_wins(place: ObjectPlace) -> None:
    """Also when both write the same: the bytes of their slots differ."""
    put(place.create_journal(RUN, 0), b"planned")
    barrier = threading.Barrier(8)

    def take_on(_: int) -> bool:
        journal = place.reopen_journal(RUN, 1, 1)
        barrier.wait()
        with suppress(DeposedError):
            put(journal, b"resumed by 1")
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take_on, range(8))) == 1
    assert list(place.read_journal(RUN)) == [b"planned", b"resumed by 1"]


def test_who_knows_less_than_there_is_cannot_go_on(place: ObjectPlace) -> None:
    """An old master wrote between the read and the reopening: what is known is to be read again."""
    old = place.create_journal(RUN, 1)
    put(old, b"planned")
    known = len(list(place.read_journal(RUN)))
    put(old, b"committed")

    with pytest.raises(DeposedError) as caught:
        place.reopen_journal(RUN, 2, known)

    assert caught.value.fields["epoch"] == 1


def test_a_journal_that_was_read_is_not_read_again_to_go_on(place: ObjectPlace) -> None:
    """Each slot is a request, and a long run has thousands; what has come since is seen."""
    old = place.create_journal(RUN, 1)
    put(old, b"planned")
    put(old, b"committed")
    known = len(list(place.read_journal(RUN)))
    for number in range(2):
        place.objects.delete(journal_slot_key(RUN, number))

    new = place.reopen_journal(RUN, 2, known)
    put(old, b"committed by 1")

    with pytest.raises(DeposedError):
        put(new, b"resumed by 2")
    with pytest.raises(DeposedError):
        place.reopen_journal(RUN, 2, known)


def test_who_knows_more_than_there_is_has_lost_something(place: ObjectPlace) -> None:
    """Decisions that were read are gone: nothing goes on there."""
    put(place.create_journal(RUN, 1), b"planned")

    with pytest.raises(CorruptDataError, match="1 records, of 2 that were read before"):
        place.reopen_journal(RUN, 2, 2)


def test_a_sync_fills_slots_up_to_their_limit(place: ObjectPlace) -> None:
    """What is larger by itself has one of its own."""
    sizes = [SLOT_BYTES_MAX // 3] * 5 + [SLOT_BYTES_MAX * 3, 1]

    put(place.create_journal(RUN, 1), *(b"x" * size for size in sizes))

    found = [len(body) for body in slots(place)]
    assert len(found) == 5
    assert [size <= SLOT_BYTES_MAX for size in found] == [True, True, True, False, True]


# -- damage ------------------------------------------------------------------------------------


def lose(place: ObjectPlace, number: int) -> None:
    place.objects.delete(journal_slot_key(RUN, number))


def swap(place: ObjectPlace, number: int) -> None:
    one, other = (journal_slot_key(RUN, n) for n in (number, number + 1))
    bodies = place.objects.get(one), place.objects.get(other)
    place.objects.replace(one, bodies[1])
    place.objects.replace(other, bodies[0])


def cut(place: ObjectPlace, number: int) -> None:
    key = journal_slot_key(RUN, number)
    place.objects.replace(key, place.objects.get(key)[:-1])


def cut_a_line(place: ObjectPlace, number: int) -> None:
    key = journal_slot_key(RUN, number)
    place.objects.replace(key, b"".join(place.objects.get(key).splitlines(keepends=True)[:-1]))


def empty(place: ObjectPlace, number: int) -> None:
    place.objects.replace(journal_slot_key(RUN, number), b"")


def change(place: ObjectPlace, number: int) -> None:
    key = journal_slot_key(RUN, number)
    place.objects.replace(key, place.objects.get(key).replace(b"record", b"reCord"))


def take_another(place: ObjectPlace, number: int) -> None:
    put(place.create_journal(LATER, 1), b"a")
    place.objects.replace(
        journal_slot_key(RUN, number), place.objects.get(journal_slot_key(LATER, 0))
    )


@pytest.mark.parametrize("damage", [lose, swap, cut, cut_a_line, empty, change, take_another])
def test_f66_damage_of_any_slot_but_the_last_stops(
    place: ObjectPlace, damage: Callable[[ObjectPlace, int], None]
) -> None:
    """The chain over all slots breaks; nothing goes on there, and nothing is changed."""
    journal = place.create_journal(RUN, 1)
    for number in range(4):
        put(journal, b"record %d" % number, b"record")
    damage(place, 1)
    before = slots(place)

    with pytest.raises(CorruptDataError, match=r"is corrupt in slot [12] at byte \d+") as caught:
        list(place.read_journal(RUN))
    with pytest.raises(CorruptDataError):
        place.reopen_journal(RUN, 2, 8)

    assert caught.value.fields["path"] == f"s3://bucket/out/_pymr/{RUN}/journal"
    assert slots(place) == before


def test_f66_every_flipped_byte_of_a_slot_is_seen(place: ObjectPlace) -> None:
    """Of its head, too; digests are told as they are and as they should be."""
    put(place.create_journal(RUN, 1), b"record")
    key = journal_slot_key(RUN, 0)
    whole = place.objects.get(key)

    for position in range(len(whole)):
        flipped = bytes([whole[position] ^ 1])
        place.objects.replace(key, whole[:position] + flipped + whole[position + 1 :])
        with pytest.raises(CorruptDataError) as caught:
            list(place.read_journal(RUN))
        assert caught.value.fields["slot"] == 0


def test_a_slot_that_cannot_be_read_deposes_nobody_by_name(place: ObjectPlace) -> None:
    """A foreign object lies where the next slot goes: damage, and no other master."""
    journal = place.create_journal(RUN, 1)
    put(journal, b"planned")
    place.objects.put_if_absent(journal_slot_key(RUN, 1), b"foreign")

    with pytest.raises(CorruptDataError, match="in slot 1"):
        put(journal, b"committed")


# -- signs of life -------------------------------------------------------------------------------


def test_who_works_on_a_run_shows_signs_of_life(place: ObjectPlace) -> None:
    """With its epoch and address, for views; at its end the sign goes."""
    place.claim(record())
    assert place.owner()[1] is False

    with place.life_signs(RUN, 3) as can_be_asked:
        wait_for(lambda: place.owner()[1])
        sign = place.last_sign(RUN)
        assert sign is not None
        assert (sign.epoch, sign.address) == (3, None)
        can_be_asked("127.0.0.1:7077")
        wait_for(lambda: (place.last_sign(RUN) or sign).address == "127.0.0.1:7077")

    assert place.last_sign(RUN) is None
    assert place.owner()[1] is False


def test_an_old_sign_of_life_is_none(place: ObjectPlace) -> None:
    """Its writer has died; the claim is still its run's."""
    place.claim(record())
    place.objects.replace(alive_key(RUN), b'{"epoch":1,"pid":1,"host":"box","time":1.0}')

    owner, is_alive = place.owner()

    assert owner is not None
    assert not is_alive


def test_who_goes_on_keeps_its_sign_of_life(place: ObjectPlace) -> None:
    """The end of an earlier process takes no sign away but its own."""
    with place.life_signs(RUN, 1):
        wait_for(lambda: place.last_sign(RUN) is not None)
        place.objects.replace(alive_key(RUN), b'{"epoch":2,"pid":1,"host":"box","time":1.0}')

    sign = place.last_sign(RUN)
    assert sign is not None
    assert sign.epoch == 2


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does; the time limit of the test ends it."""
    event = threading.Event()
    while not condition():
        event.wait(0.01)


# -- the history -------------------------------------------------------------------------------


def test_a_history_leaves_out_what_it_is_told_to(place: ObjectPlace) -> None:
    """Of each piece."""
    with place.history(RUN, lambda lines: lines[-1:]) as history:
        for number in range(100):
            history.append(b"%d\n" % number)

    assert list(place.read_history(RUN))[-1] == b"99"
    assert len(list(place.read_history(RUN))) < 100


def test_two_lives_may_write_one_history(place: ObjectPlace) -> None:
    """A life that had not ended: each of its lines is there once, wherever."""
    with place.history(RUN, lambda lines: lines) as first:
        first.append(b"first\n")
        wait_for(lambda: list(place.read_history(RUN)) == [b"first"])
        place.objects.put_if_absent(events_piece_key(RUN, 1), b"second\n")
        first.append(b"third\n")

    assert list(place.read_history(RUN)) == [b"first", b"second", b"third"]


def test_a_store_that_fails_costs_the_history_only() -> None:
    """It is told once, and what was kept is written when the store takes it again, once."""
    from obstore.store import MemoryStore

    class Failing(ObstoreStore):
        left = 3

        def put_if_absent(self, key: str, body: bytes) -> None:
            self.left -= 1
            if self.left == 1:  # It is there, and the reply is lost.
                super().put_if_absent(key, body)
            if self.left >= 0:
                raise PymrError("out of reach")
            super().put_if_absent(key, body)

    warnings: list[str] = []
    place = ObjectPlace(Failing(MemoryStore()), "s3://bucket/out")
    history = place.history(RUN, lambda lines: lines, warnings.append)

    with history:
        for number in range(3):
            history.append(b"%d\n" % number)
            wait_for(lambda number=number: place.objects.left <= 2 - number)  # type: ignore[attr-defined, misc]

    assert list(place.read_history(RUN)) == [b"0", b"1", b"2"]
    assert len(warnings) == 1
    assert "can not be written: out of reach" in warnings[0]
