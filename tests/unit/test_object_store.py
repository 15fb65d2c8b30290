"""The ambiguity rule: an answer of a store is not believed before the object is read back."""

from __future__ import annotations

from typing import Any

import obstore
import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import MemoryStore

from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store.access import Access
from pymr.store.object_store import ObstoreStore


@pytest.fixture
def store() -> ObstoreStore:
    return ObstoreStore(MemoryStore(), access=Access(storage_wait_s=0.2))


def answer(monkeypatch: pytest.MonkeyPatch, error: Exception, *, stored: bool) -> None:
    """Let `put` fail with `error`, after it was carried out or before."""
    put = obstore.put

    def fail(*arguments: Any, **options: Any) -> None:
        if stored:
            put(*arguments, **options)
        raise error

    monkeypatch.setattr(obstore, "put", fail)


@pytest.mark.parametrize("error", [AlreadyExistsError("412"), GenericError("connection reset")])
def test_a_put_whose_reply_was_lost_has_won(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """My bytes are there: I won, whatever the store said."""
    answer(monkeypatch, error, stored=True)

    store.put_if_absent("key", b"mine")

    assert store.get("key") == b"mine"


@pytest.mark.parametrize("error", [AlreadyExistsError("412"), GenericError("connection reset")])
def test_a_put_that_finds_other_bytes_has_lost(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Other bytes are there: I lost, whatever the store said."""
    store.put_if_absent("key", b"theirs")
    answer(monkeypatch, error, stored=False)

    with pytest.raises(ObjectExistsError):
        store.put_if_absent("key", b"mine")


def test_a_store_that_keeps_other_bytes_than_it_took_is_not_used(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A success is read back, too: it ends the run, and names the look that tells more."""
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda client, key, _, **__: put(client, key, b"other"))

    with pytest.raises(StoreError, match="this store is not safe") as caught:
        store.put_if_absent("key", b"mine")

    assert not caught.value.retryable
    assert "pymr doctor --store" in str(caught.value.hint)


def test_a_put_that_is_not_there_is_sent_again(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the store has answered: the first is lost, the second is not."""
    put, bodies = obstore.put, []

    def forget_the_first(client: Any, key: str, body: bytes, **options: Any) -> None:
        bodies.append(body)
        if len(bodies) > 1:
            put(client, key, body, **options)

    monkeypatch.setattr(obstore, "put", forget_the_first)

    store.put_if_absent("key", b"mine")

    assert bodies == [b"mine", b"mine"]
    assert store.get("key") == b"mine"


def test_a_put_that_was_not_carried_out_may_be_repeated(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there after a failure: retryable, and the same bytes may be sent again."""
    with monkeypatch.context() as patch:
        answer(patch, GenericError("connection reset\nDebug source"), stored=False)
        with pytest.raises(
            StoreUnavailableError, match=r"does not answer .`connection reset`., tried"
        ):
            store.put_if_absent("key", b"mine")

    store.put_if_absent("key", b"mine")

    assert store.get("key") == b"mine"


def test_a_put_that_cannot_be_read_back_is_undecided(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither won nor lost is claimed while the object cannot be read."""

    def fail(*_: Any) -> None:
        raise GenericError("timeout")

    answer(monkeypatch, AlreadyExistsError("412"), stored=True)
    monkeypatch.setattr(obstore, "get", fail)

    with pytest.raises(StoreUnavailableError):
        store.put_if_absent("key", b"mine")


def test_a_refusal_is_not_retried(store: ObstoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to write, trying again does not help."""
    answer(monkeypatch, PermissionDeniedError("status code: 403 Forbidden"), stored=False)

    with pytest.raises(StoreError, match="the keys have no right") as caught:
        store.put_if_absent("key", b"mine")

    assert not caught.value.retryable


def test_a_missing_object_may_be_deleted_in_any_store(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some stores answer a deletion of nothing with an error; it is none."""

    def fail(*_: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(obstore, "delete", fail)

    store.delete("none")


def test_a_listing_out_of_order_with_repeats_is_put_right(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listings come sorted and without duplicates, whatever the store does."""
    rows = [{"path": path, "size": 1} for path in ["b", "a", "b"]]
    monkeypatch.setattr(obstore, "list", lambda *_, **__: iter([rows[:2], rows[2:]]))

    assert list(store.list("")) == [("a", 1), ("b", 1)]


# -- replacing what was read ----------------------------------------------------------------


def test_an_object_is_replaced_if_it_is_as_it_was_read(store: ObstoreStore) -> None:
    """And then it has another version."""
    store.put_if_absent("key", b"one")
    body, version = store.get_versioned("key")

    store.replace_if("key", b"two", version)

    assert body == b"one"
    assert store.get_versioned("key") == (b"two", store.get_versioned("key")[1])
    assert store.get_versioned("key")[1] != version


def test_an_object_that_somebody_has_replaced_is_left_alone(store: ObstoreStore) -> None:
    """Whoever was first has won."""
    store.put_if_absent("key", b"one")
    _, version = store.get_versioned("key")
    store.replace("key", b"theirs")

    with pytest.raises(ObjectExistsError, match="`key` was replaced since it was read"):
        store.replace_if("key", b"mine", version)

    assert store.get("key") == b"theirs"


def test_nothing_replaces_what_is_not_there(store: ObstoreStore) -> None:
    """Nor can its version be read."""
    with pytest.raises(ObjectMissingError):
        store.get_versioned("key")
    with pytest.raises(ObjectMissingError):
        store.replace_if("key", b"mine", '"0"')


@pytest.mark.parametrize("error", [PreconditionError("412"), GenericError("connection reset")])
def test_a_replacement_whose_reply_was_lost_has_won(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """My bytes are there: I won, whatever the store said."""
    store.put_if_absent("key", b"one")
    _, version = store.get_versioned("key")
    answer(monkeypatch, error, stored=True)

    store.replace_if("key", b"mine", version)

    assert store.get("key") == b"mine"


def test_a_replacement_that_was_not_carried_out_may_be_repeated(
    store: ObstoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is as it was read after a failure: retryable."""
    store.put_if_absent("key", b"one")
    _, version = store.get_versioned("key")
    with monkeypatch.context() as patch:
        answer(patch, GenericError("connection reset"), stored=False)
        with pytest.raises(StoreUnavailableError):
            store.replace_if("key", b"mine", version)

    store.replace_if("key", b"mine", version)

    assert store.get("key") == b"mine"


def test_the_names_in_a_folder_are_listed(store: ObstoreStore) -> None:
    """What is deeper shows as a folder, which ends in a slash."""
    for key in ["a/one", "a/b/two", "a/b/three", "c"]:
        store.put_if_absent(key, b"")

    assert list(store.list_names("a")) == ["b/", "one"]
    assert list(store.list_names("")) == ["a/", "c"]
    assert list(store.list_names("none")) == []
