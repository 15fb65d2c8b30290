"""An object is read in pieces, the next one ahead, and in one version only."""

from __future__ import annotations

import random

import obstore
import pytest
from obstore.store import MemoryStore

from pymr.core.spec import InputFile
from pymr.errors import InputError
from pymr.records import object_source
from pymr.records.object_source import ObjectSource
from pymr.store.access import Access
from pymr.store.object_errors import Place
from pymr.store.object_reader import ObjectReader
from pymr.store.object_retry import Requests

DATA = bytes(range(256)) * 40
PIECE = 1000


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Give a store that is found at any address, and pieces that are small."""
    client = MemoryStore()
    place = Place("memory", "memory", "objects", "")
    reader = ObjectReader(client, place, Requests(place, 1.0))
    monkeypatch.setattr(object_source, "open_reader", lambda *_: reader)
    monkeypatch.setattr(object_source, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(object_source, "UNEXPECTED_BYTES", 100)
    return client


def planned(store: MemoryStore, data: bytes = DATA) -> InputFile:
    """Put an object, and return the input that it is."""
    obstore.put(store, "in/a", data)
    etag = obstore.head(store, "in/a")["e_tag"] or ""
    return InputFile(b"memory://objects/in/a", len(data), 64, etag=etag)


def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list to which each range that is asked for is added."""
    ranges: list[tuple[int, int]] = []
    read = ObjectReader.read

    def note(self: ObjectReader, key: bytes, start: int, length: int, etag: str) -> object:
        ranges.append((start, length))
        return read(self, key, start, length, etag)

    monkeypatch.setattr(ObjectReader, "read", note)
    return ranges


@pytest.mark.parametrize("step", [1, 7, 999, 1000, 1001, 2500, 9999])
def test_a_range_that_is_expected_is_read_in_pieces(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each byte of it is asked for once, and none beyond, however it is read."""
    ranges = asked(monkeypatch)
    with ObjectSource(planned(store), Access()) as source:
        source.expect(500, 9700)
        seen = [source.read_at(at, min(step, 9700 - at)) for at in range(500, 9700, step)]

    assert b"".join(seen) == DATA[500:9700]
    assert sorted(ranges) == [(at, min(PIECE, 9700 - at)) for at in range(500, 9700, PIECE)]


def test_reads_anywhere_are_those_of_the_object(store: MemoryStore) -> None:
    """In any order, within what is expected and without."""
    chance = random.Random(7)
    with ObjectSource(planned(store), Access()) as source:
        source.expect(2000, 6000)
        for _ in range(300):
            start = chance.randrange(len(DATA))
            length = chance.randrange(1, min(3000, len(DATA) - start) + 1)
            assert source.read_at(start, length) == DATA[start : start + length]


@pytest.mark.parametrize("is_gone", [True, False])
def test_another_version_is_never_read(store: MemoryStore, *, is_gone: bool) -> None:
    """Not even of what was not fetched yet; the error names both."""
    file = planned(store)
    with ObjectSource(file, Access()) as source:
        source.expect(0, len(DATA))
        source.read_at(0, 10)
        if is_gone:
            obstore.delete(store, "in/a")
        else:
            obstore.put(store, "in/a", DATA[::-1])

        with pytest.raises(InputError, match="input changed: `memory://objects/in/a`") as caught:
            source.read_at(5 * PIECE, 10)

    assert caught.value.exit_code == 3
    assert ("it is gone" if is_gone else f"expected ETag {file.etag}") in caught.value.message


def test_an_upload_is_named_as_the_user_names_it(store: MemoryStore) -> None:
    """The address is nobody's concern."""
    file = planned(store)
    obstore.delete(store, "in/a")
    mine = InputFile(file.path, file.size, file.step, etag=file.etag, shown=b"/mine/a\n")

    with ObjectSource(mine, Access()) as source, pytest.raises(InputError, match=r"/mine/a\\n"):
        source.read_at(0, 1)
