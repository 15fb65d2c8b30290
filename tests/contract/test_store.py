"""The contract of `store/base.py`, on every implementation."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pymr.errors import ObjectExistsError, ObjectMissingError, StoreError
from pymr.store.base import ObjectStore
from pymr.store.local import LocalStore
from pymr.store.object_store import ObstoreStore
from services import open_bucket


@pytest.fixture(
    params=[
        "local",
        "memory",
        pytest.param("minio", marks=pytest.mark.services),
        pytest.param("ceph", marks=pytest.mark.services),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(str(tmp_path / "root"))
    if request.param == "memory":
        from obstore.store import MemoryStore

        return ObstoreStore(MemoryStore())
    return open_bucket(request.getfixturevalue(request.param))


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    """A put object has the bytes, the size and the listing it was given."""
    store.put_if_absent("a/b", b"hello")

    assert store.get("a/b") == b"hello"
    assert store.size("a/b") == 5
    assert list(store.list("")) == [("a/b", 5)]


def test_an_existing_object_is_not_put_again(store: ObjectStore) -> None:
    """The second put of other bytes is refused, and the first one's bytes stay."""
    store.put_if_absent("key", b"first")

    with pytest.raises(ObjectExistsError, match="key` exists, expected none"):
        store.put_if_absent("key", b"second")

    assert store.get("key") == b"first"
    assert keys(store) == ["key"]


def test_of_sixteen_concurrent_puts_exactly_one_wins(store: ObjectStore) -> None:
    """However puts race, one succeeds, and its bytes are what everybody reads."""
    for turn in range(20):
        barrier = threading.Barrier(16)

        def put(number: int, turn: int = turn, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            try:
                store.put_if_absent(f"race/{turn}", b"%d" % number)
            except ObjectExistsError:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(put, range(16)))

        assert won.count(True) == 1
        assert store.get(f"race/{turn}") == b"%d" % won.index(True)


def test_a_writer_shows_nothing_before_its_commit(store: ObjectStore) -> None:
    """An object that is being written is not there, in no listing, and then it is whole."""
    with store.create("a/new") as writer:
        writer.write(b"x" * 3_000_000)
        writer.write(b"y")
        assert keys(store) == []
        with pytest.raises(ObjectMissingError):
            store.get("a/new")

        writer.commit()

    assert store.get("a/new") == b"x" * 3_000_000 + b"y"


def test_an_abandoned_writer_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    """Leaving the block without a commit, by an error or not, drops what was written."""
    with store.create("a/dropped") as writer:
        writer.write(b"x" * 3_000_000)
    with suppress(ZeroDivisionError), store.create("a/failed") as writer:
        writer.write(b"x")
        raise ZeroDivisionError

    assert keys(store) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_writer_does_not_overwrite(store: ObjectStore) -> None:
    """A writer to a key that is taken fails at its commit and leaves the bytes."""
    store.put_if_absent("key", b"first")

    with store.create("key") as writer:
        writer.write(b"second")
        with pytest.raises(ObjectExistsError):
            writer.commit()

    assert store.get("key") == b"first"
    assert keys(store) == ["key"]


def test_a_writer_takes_any_buffer(store: ObjectStore) -> None:
    """A buffer that the caller changes after `write` does not change the object."""
    buffer = bytearray(b"abc")
    with store.create("key") as writer:
        writer.write(memoryview(buffer)[:2])
        buffer[:] = b"xyz"
        writer.commit()

    assert store.get("key") == b"ab"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """Zero bytes are not the same as no object."""
    with store.create("empty") as writer:
        writer.commit()

    assert store.get("empty") == b""
    assert store.size("empty") == 0
    assert store.get_range("empty", 0, 5) == b""


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 10, b"0123456789"),
        (3, 4, b"3456"),
        (3, 0, b""),
        (8, 5, b"89"),
        (10, 5, b""),
        (99, 5, b""),
    ],
)
def test_a_range_is_cut_where_the_object_ends(
    store: ObjectStore, start: int, length: int, expected: bytes
) -> None:
    """A range has its bytes, fewer at the end, and none after it."""
    store.put_if_absent("digits", b"0123456789")

    assert store.get_range("digits", start, length) == expected


def test_a_listing_is_in_key_order_and_by_folder(store: ObjectStore) -> None:
    """Keys come in the order of their text; a folder is not every key that starts alike."""
    for key in ["b", "a/z", "a.txt", "a/b/c", "a-b", "ab/x", "a/b.c", "a0"]:
        store.put_if_absent(key, b"")

    assert keys(store) == ["a-b", "a.txt", "a/b.c", "a/b/c", "a/z", "a0", "ab/x", "b"]
    assert keys(store, "a") == ["a/b.c", "a/b/c", "a/z"]
    assert keys(store, "a/") == ["a/b.c", "a/b/c", "a/z"]
    assert keys(store, "none") == []


def test_a_missing_object_is_said_to_be_missing(store: ObjectStore) -> None:
    """Reading what is not there, or is a folder, raises ObjectMissingError with the key."""
    store.put_if_absent("folder/object", b"")

    for key in ["none", "folder", "folder/object/below"]:
        for read in (
            store.get,
            store.size,
            lambda key: store.get_range(key, 0, 1),
            lambda key: store.copy(key, "target"),
        ):
            with pytest.raises(ObjectMissingError, match="no object") as caught:
                read(key)
            assert caught.value.fields["key"] == key
    assert keys(store) == ["folder/object"]


def test_replace_creates_and_replaces(store: ObjectStore) -> None:
    """After a replace the new bytes stand, whether or not there were old ones."""
    store.replace("key", b"old")
    assert store.get("key") == b"old"

    store.replace("key", b"new")

    assert store.get("key") == b"new"
    assert keys(store) == ["key"]


def test_readers_of_a_replaced_object_see_old_or_new(store: ObjectStore) -> None:
    """While an object is replaced again and again, each read is one whole version."""
    versions = [bytes([digit]) * 100_000 for digit in b"abcdefgh"]
    store.replace("key", versions[0])
    stopped = threading.Event()

    def read_on() -> set[bytes]:
        seen = set()
        while not stopped.is_set():
            seen.add(store.get("key"))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read_on) for _ in range(2)]
        for version in versions * 5:
            store.replace("key", version)
        stopped.set()
        seen = readers[0].result() | readers[1].result()

    assert seen <= set(versions)


def test_a_copy_has_the_bytes_and_outlives_its_source(store: ObjectStore) -> None:
    """A copy replaces its target, may be repeated, and stays when the source is deleted."""
    store.put_if_absent("source", b"bytes")
    store.put_if_absent("deep/target", b"old")

    for _ in range(2):
        store.copy("source", "deep/target")
    store.sync("deep")
    store.sync("")
    store.delete("source")

    assert store.get("deep/target") == b"bytes"
    assert keys(store) == ["deep/target"]


def test_replacing_a_copy_leaves_its_source(store: ObjectStore) -> None:
    """Source and copy are two objects: a replace of one does not show in the other."""
    store.put_if_absent("source", b"bytes")
    store.copy("source", "target")

    store.replace("target", b"other")

    assert store.get("source") == b"bytes"


def test_deleting_may_be_repeated(store: ObjectStore) -> None:
    """A deleted object is gone; deleting it again, or what never was, is no error."""
    store.put_if_absent("a/key", b"x")

    for key in ["a/key", "a/key", "none", "a/key/below"]:
        store.delete(key)

    assert keys(store) == []


def test_a_folder_is_deleted_but_for_what_is_named(store: ObjectStore) -> None:
    """`delete_folder` removes all below the folder, and nothing beside it."""
    for key in ["a/b/1", "a/b/2", "a/c/3", "ab/4"]:
        store.put_if_absent(key, b"")

    store.delete_folder("a", but={"a/b/2"})
    assert keys(store) == ["a/b/2", "ab/4"]

    for _ in range(2):
        store.delete_folder("a")
    assert keys(store) == ["ab/4"]


def test_a_big_object_comes_back_whole(store: ObjectStore) -> None:
    """40 MB in uneven pieces are the same 40 MB, also in a range of the middle."""
    piece = bytes(range(256)) * 4001
    with store.create("big") as writer:
        for _ in range(40):
            writer.write(piece)
        writer.commit()

    assert store.size("big") == 40 * len(piece)
    assert store.get("big") == piece * 40
    assert store.get_range("big", len(piece) * 20 - 1, 3) == piece[-1:] + piece[:2]


@pytest.mark.parametrize("key", ["", "/abs", "a//b", "a/", "../up", "a/../b", ".", "a/.", "n\0l"])
def test_a_key_that_is_no_plain_path_is_refused(store: ObjectStore, key: str) -> None:
    """No key leads out of the store: manifests and their keys may come from anywhere."""
    calls = [
        lambda: store.put_if_absent(key, b""),
        lambda: store.replace(key, b""),
        lambda: store.create(key),
        lambda: store.get(key),
        lambda: store.get_range(key, 0, 1),
        lambda: store.size(key),
        lambda: store.copy(key, "target"),
        lambda: store.copy("source", key),
        lambda: store.delete(key),
        lambda: store.delete_folder(key),
    ]
    store.put_if_absent("source", b"")

    for call in calls:
        with pytest.raises(StoreError, match="not a plain relative path"):
            call()
    assert keys(store) == ["source"]


def test_a_store_names_its_place(store: ObjectStore) -> None:
    """`str(store)` is for messages, so it is not the default of an object."""
    assert " at 0x" not in str(store)
