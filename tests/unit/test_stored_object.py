"""Objects that are told by their digest, and lists of map outputs in them."""

from __future__ import annotations

import hashlib

import pytest

from pymr import names
from pymr.core.spec import MapSource, ReduceWork, Stored
from pymr.errors import CorruptDataError, ObjectMissingError
from pymr.store.object_store import ObstoreStore
from pymr.task.stored_object import (
    STORED_TRIES_MAX,
    get_stored,
    put_sources,
    put_stored,
    sources_of,
)

SOURCES = tuple(MapSource(task, f"_pymr/run/map-{task}", f"{task:032x}", task) for task in range(9))


class Counted(ObstoreStore):
    """A store in memory that counts what is read, and may read it wrong."""

    def __init__(self, *, damaged: int = 0) -> None:
        from obstore.store import MemoryStore

        super().__init__(MemoryStore())
        self.reads = 0
        self._damaged = damaged

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return what is there, or as many bytes of something else."""
        self.reads += 1
        found = super().get_range(key, start, length)
        return bytes(len(found)) if self.reads <= self._damaged else found


def test_what_was_stored_is_read_back() -> None:
    """Its key is made of its digest, so that the same bytes have the same key."""
    store = Counted()

    stored = put_stored(store, b"body", "a/{}".format)

    digest = hashlib.sha256(b"body").hexdigest()
    assert stored == Stored(f"a/{digest}", 4, digest)
    assert get_stored(store, stored) == b"body"
    assert put_stored(store, b"body", "a/{}".format) == stored


def test_other_bytes_under_the_key_are_refused_by_who_reads_them() -> None:
    """Whoever wrote them there; not by the one who comes second."""
    store = Counted()
    stored = put_stored(store, b"body", "a/{}".format)
    store.replace(stored.key, b"bodY")

    assert put_stored(store, b"body", "a/{}".format) == stored
    with pytest.raises(CorruptDataError, match="another digest, expected 4 with") as failed:
        get_stored(store, stored)

    assert failed.value.fields["key"] == stored.key
    assert store.reads == STORED_TRIES_MAX


def test_no_more_is_read_than_was_written() -> None:
    """An object that has grown is not read to its end."""
    store = Counted()
    stored = put_stored(store, b"body", "a/{}".format)
    store.replace(stored.key, b"body" + bytes(1000))

    assert get_stored(store, stored) == b"body"


def test_f43_what_is_damaged_on_the_way_is_read_again() -> None:
    """As often as it may be."""
    store = Counted(damaged=STORED_TRIES_MAX - 1)
    stored = put_stored(store, b"body", "a/{}".format)

    assert get_stored(store, stored) == b"body"


def test_an_object_that_is_gone_is_named() -> None:
    """Nobody waits for it."""
    with pytest.raises(ObjectMissingError, match="no object `a/b`"):
        get_stored(Counted(), Stored("a/b", 4, "digest"))


def test_the_sources_of_all_reduce_attempts_are_one_object_that_a_process_reads_once() -> None:
    """However many partitions it reduces; another list is another object."""
    store = Counted()
    stored = put_sources(store, "run", SOURCES)
    assert stored.key == names.sources_key("run", stored.sha256)

    for partition in range(5):
        assert sources_of(store, ReduceWork(partition, stored)) == SOURCES

    assert store.reads == 1
    later = put_sources(store, "run", SOURCES[1:])
    assert sources_of(store, ReduceWork(0, later)) == SOURCES[1:]
    assert later.key != stored.key


def test_sources_that_came_along_are_taken_as_they_are() -> None:
    """A runner on the same machine has no need of an object."""
    assert sources_of(Counted(), ReduceWork(1, SOURCES)) == SOURCES
