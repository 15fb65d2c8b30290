"""Workers as a master knows them: which slots are free, and whose turn it is."""

from __future__ import annotations

import pytest

from pymr.cluster.message import Ask, Drain, Grant
from pymr.cluster.roster import Member, Roster
from pymr.cluster.stream import Outbox
from pymr.core.spec import Attempt, MapWork
from virtual_time import run_virtually

GRANT = Grant(epoch=1, attempt=Attempt("map", 0, 1), key="k", work=MapWork((), {}))


def member(slots: int = 3) -> Member:
    """Return a worker that has a stream, and has said that all its slots are free."""
    made = Member("h-1", "h", slots)
    made.open(Outbox())
    made.ask(Ask(slots, 0))
    return made


def test_grants_on_their_way_take_slots_until_the_worker_knows_of_them() -> None:
    """Its word about free slots is as of the last grant that it has seen."""

    async def scene() -> None:
        worker = member()
        worker.tell(GRANT)
        worker.tell(GRANT)
        assert worker.free == 1
        worker.ask(Ask(2, 1))
        assert worker.free == 1
        worker.ask(Ask(1, 2))
        assert worker.free == 1

    run_virtually(scene())


def test_only_grants_take_slots() -> None:
    """Other messages are read and done with."""

    async def scene() -> None:
        worker = member()
        worker.tell(Drain("go"))
        assert worker.free == 3

    run_virtually(scene())


@pytest.mark.parametrize(("slots", "seen"), [(1000, 0), (3, 1000)])
def test_no_worker_has_more_free_slots_than_slots(slots: int, seen: int) -> None:
    """Whatever it says: all tasks would wait in one worker."""

    async def scene() -> None:
        worker = member()
        worker.ask(Ask(slots, seen))
        worker.tell(GRANT)
        assert worker.free == 2

    run_virtually(scene())


def test_a_new_stream_begins_without_free_slots_and_keeps_those_reserved() -> None:
    """What was said on the old one is over; a grant that waits will come by the new one."""

    async def scene() -> None:
        worker = member()
        worker.reserve()
        worker.tell(GRANT)
        worker.open(Outbox())
        assert worker.free == 0
        worker.ask(Ask(3, 0))
        assert worker.free == 2
        worker.unreserve()
        assert worker.free == 3

    run_virtually(scene())


def test_who_leaves_or_has_no_stream_has_no_free_slot() -> None:
    """A grant would be lost."""

    async def scene() -> None:
        leaving, parted = member(), member()
        leaving.is_leaving = True
        parted.close()
        assert leaving.free == parted.free == 0

    run_virtually(scene())


def test_workers_with_free_slots_take_turns_and_stand_in_line_once() -> None:
    """Also when they ask again and again."""

    async def scene() -> None:
        roster = Roster()
        workers = [roster.add(host, 1) for host in ("a", "b")]
        for worker in (*workers, *workers):
            worker.open(Outbox())
            worker.ask(Ask(1, 0))
            roster.feed(worker)
        workers[0].close()
        assert roster.next() is workers[1]
        assert roster.next() is None

    run_virtually(scene())


def test_a_worker_that_was_removed_is_not_known() -> None:
    """Two of one host are two workers."""

    async def scene() -> None:
        roster = Roster()
        first, second = roster.add("a", 1), roster.add("a", 2)
        second.open(Outbox())
        assert (first.name == second.name, roster.slots) == (False, 2)
        roster.remove(second)
        assert roster.get(second.name) is None
        assert list(roster) == [first]
        assert roster.connected == []

    run_virtually(scene())
