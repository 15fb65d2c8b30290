"""What a client of a store makes of each fault between it and a real store."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fault_proxy import Fault, FaultProxy, open_through
from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    StoreUnavailableError,
)
from pymr.store.object_store import ObstoreStore
from pymr.store.object_writer import PART_BYTES, PARTS_IN_FLIGHT_MAX
from s3_request import Server
from services import PIECE, unfinished_uploads, write_object

pytestmark = pytest.mark.services


# -- failures that pass ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable")]
)
def test_a_tenth_of_all_requests_may_fail(
    store: ObstoreStore, proxy: FaultProxy, status: int, code: str
) -> None:
    """Each verb gives what it gives without failures, and the tries are counted."""
    fault = proxy.break_(Fault("status", share=0.1, status=status, code=code))

    for number in range(30):
        store.put_if_absent(f"a/{number:02}", b"%d" % number)
        store.replace(f"b/{number:02}", b"%d" % number)
        assert store.get(f"a/{number:02}") == b"%d" % number
        assert store.size(f"b/{number:02}") == len(str(number))
    body = write_object(store, "large", 30)

    assert store.get_ranges("large", [5, 9_000_000], [7, 20]) == [body[5:12], body[9_000_000:][:20]]
    assert [entry.key for entry in store.list("a")] == [f"a/{n:02}" for n in range(30)]
    store.delete_folder("a")
    assert list(store.list("a")) == []
    assert fault.hits >= store.counts.retried > 0
    assert (store.counts.slowed > 0) == (status == 503)


def test_a_store_that_asks_for_fewer_gets_fewer_requests_at_once(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """Half as many each time, and more again as they succeed."""
    store.put_if_absent("key", b"x")
    most = store._requests.gate.limit
    proxy.break_(Fault("status", times=3, status=503, code="SlowDown"))

    store.get("key")
    fewest = store._requests.gate.limit
    for _ in range(200):
        store.get("key")

    assert fewest == most // 8
    assert fewest < store._requests.gate.limit <= most


def test_a_store_that_comes_back_within_the_wait_has_cost_time_only(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """All that is asked for meanwhile waits, and is done."""
    store.put_if_absent("before", b"x")
    outage = proxy.break_(Fault("cut"))

    with ThreadPoolExecutor(4) as pool:
        read = pool.submit(store.get, "before")
        put = pool.submit(store.put_if_absent, "during", b"y")
        listing = pool.submit(lambda: list(store.list("")))
        upload = pool.submit(write_object, store, "large", 20)
        while outage.hits < 12:
            threading.Event().wait(0.01)
        proxy.heal()

        assert read.result() == b"x"
        put.result()
        listing.result()
        assert upload.result() == store.get("large")
    assert store.get("during") == b"y"
    assert store.counts.waited_s > 0


def test_a_store_that_is_away_for_longer_is_named(
    proxy: FaultProxy, server: Server, bucket: str
) -> None:
    """Exit 5 with the endpoint and how long it was tried; retryable, for a resume."""
    store = open_through(proxy, server, bucket, storage_wait_s=0.5)
    assert list(store.list("")) == [], "it answers"
    proxy.break_(Fault("cut"))

    with pytest.raises(StoreUnavailableError, match=r"does not answer.*, tried for") as caught:
        store.get("key")

    assert proxy.endpoint in str(caught.value)
    assert "(`IncompleteMessage`)" in str(caught.value)
    assert caught.value.retryable
    assert caught.value.exit_code == 5
    assert "--storage-wait" in str(caught.value.hint)


# -- answers that cannot be believed -------------------------------------------------------


def test_f39_a_put_that_lands_later_is_harmless(
    store: ObstoreStore, proxy: FaultProxy, direct: ObstoreStore
) -> None:
    """It has the same bytes as the one that was sent again, or finds those of the winner."""
    proxy.break_(Fault("land_later", method="PUT", times=2))
    store.put_if_absent("mine", b"mine")
    store.put_if_absent("contested", b"first")
    with pytest.raises(ObjectExistsError):
        store.put_if_absent("contested", b"second")

    assert proxy.land() == 0, "a put-if-absent that lands late finds its object there"
    assert direct.get("mine") == b"mine"
    assert direct.get("contested") == b"first"


def test_f40_the_winner_whose_reply_is_lost_has_won(
    store: ObstoreStore, proxy: FaultProxy, direct: ObstoreStore
) -> None:
    """It reads its own bytes back, in one request; nobody else wins."""
    proxy.break_(Fault("lose_reply", method="PUT", times=1))

    store.put_if_absent("slot", b"mine")

    assert len([request for request in proxy.seen if request.startswith("PUT")]) == 1
    with pytest.raises(ObjectExistsError):
        direct.put_if_absent("slot", b"theirs")
    assert direct.get("slot") == b"mine"


def test_f40_a_replacement_whose_reply_is_lost_has_won(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """The same for a replace that depends on what was read."""
    store.put_if_absent("claim", b"old")
    _, version = store.get_versioned("claim")
    proxy.break_(Fault("lose_reply", method="PUT", times=1))

    store.replace_if("claim", b"mine", version)

    assert store.get("claim") == b"mine"


@pytest.mark.parametrize("kind", ["status", "lose_reply", "cut", "land_later"])
def test_f40_f41_of_racing_puts_one_wins_whatever_is_answered(
    server: Server, proxy: FaultProxy, bucket: str, kind: str
) -> None:
    """A third of all puts is answered by a conflict or by nothing, done or not."""
    proxy.break_(
        Fault(kind, share=0.3, method="PUT", status=409, code="ConditionalRequestConflict")
    )
    stores = [open_through(proxy, server, bucket) for _ in range(4)]

    def put(slot: int, number: int) -> bool:
        try:
            stores[number].put_if_absent(f"slot/{slot}", b"%d" % number)
        except ObjectExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for slot in range(15):
            won = list(pool.map(put, [slot] * 4, range(4)))
            proxy.land()
            assert won.count(True) == 1
            assert stores[0].get(f"slot/{slot}") == b"%d" % won.index(True)


def test_f41_a_conflict_that_stored_nothing_is_tried_again(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """The library calls it `exists`; the object is read back, is not there, and is put."""
    fault = proxy.break_(
        Fault("status", method="PUT", times=2, status=409, code="ConditionalRequestConflict")
    )

    store.put_if_absent("slot", b"mine")

    assert (store.get("slot"), fault.hits) == (b"mine", 2)


# -- bytes on the way ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["truncate", "lose_reply"])
def test_f42_an_answer_that_is_cut_short_is_asked_for_again(
    store: ObstoreStore, proxy: FaultProxy, kind: str
) -> None:
    """No verb that reads takes half of an answer for the whole."""
    body = write_object(store, "large", 3)
    store.put_if_absent("small", b"x")
    fault = proxy.break_(Fault(kind, share=0.5, method="GET"))

    for start in range(0, 3 << 20, 1 << 18):
        assert store.get_range("large", start, 1 << 18) == body[start : start + (1 << 18)]
    assert store.get("large") == body
    assert store.get_ranges("large", [0, 99], [10, 10]) == [body[:10], body[99:109]]
    assert [entry.key for entry in store.list("")] == ["large", "small"]
    assert fault.hits > 0


@pytest.mark.parametrize("mebibytes", [1, 20])
def test_a_byte_that_changes_on_the_way_up_is_noticed_by_the_store(
    store: ObstoreStore, proxy: FaultProxy, direct: ObstoreStore, mebibytes: int
) -> None:
    """Each request names the digest of its body; what differs is refused, and sent again."""
    fault = proxy.break_(Fault("flip_upload", method="PUT", times=2))

    try:
        body = write_object(store, "object", mebibytes)
    except StoreUnavailableError:  # of parts the library sends none again that was refused
        assert mebibytes > 8
        body = write_object(store, "object", mebibytes)

    assert direct.get("object") == body
    assert fault.hits > 0


def test_f47_a_listing_out_of_order_with_repeats_is_put_right(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """And one of more than a page has all keys, however often a page fails."""
    keys = [f"k/{number:04}" for number in range(1_203)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.replace(key, b"x"), keys))

    def shuffled(body: bytes) -> bytes:
        entries = re.findall(rb"<Contents>.*?</Contents>", body, re.DOTALL)
        head, _, rest = body.partition(entries[0])
        return (
            head
            + b"".join([*reversed(entries), entries[0]])
            + rest[rest.rindex(b"</Contents>") + 11 :]
        )

    proxy.break_(Fault("edit", method="GET", target="list-type=2", edit=shuffled))
    assert [entry.key for entry in store.list("k")] == keys

    proxy.heal()
    proxy.break_(
        Fault("truncate", method="GET", target="list-type=2.*(token|start-after)", times=2)
    )
    assert [entry.key for entry in store.list("k")] == keys


# -- uploads in parts ------------------------------------------------------------------------


def test_f52_a_completion_whose_reply_is_lost_is_found_by_the_objects_size(
    store: ObstoreStore, proxy: FaultProxy, direct: ObstoreStore
) -> None:
    """The store says `no such upload` to the next try, and the object is there."""
    lost = proxy.break_(Fault("lose_reply", method="POST", target="uploadId", times=1))

    body = write_object(store, "large", 20)

    assert direct.get("large") == body
    assert lost.hits == 1


def test_f52_an_upload_that_cannot_be_completed_may_be_tried_again(
    store: ObstoreStore, proxy: FaultProxy, server: Server, bucket: str
) -> None:
    """Nothing of it shows, no part of it is left, and it is worth another attempt."""
    proxy.break_(Fault("status", method="POST", target="uploadId", status=404, code="NoSuchUpload"))

    with pytest.raises(PymrError) as caught:
        write_object(store, "large", 20)

    assert caught.value.retryable
    with pytest.raises(ObjectMissingError):
        store.get("large")
    assert unfinished_uploads(server, bucket) == 0


@pytest.mark.parametrize("mebibytes", [12, 30])
def test_an_upload_that_is_dropped_leaves_no_parts(
    store: ObstoreStore, server: Server, bucket: str, mebibytes: int
) -> None:
    """Neither an object nor what is paid for and not seen."""
    with store.create("dropped") as writer:
        for _ in range(mebibytes):
            writer.write(PIECE)

    assert list(store.list("")) == []
    assert unfinished_uploads(server, bucket) == 0


def test_an_upload_holds_few_parts_at_once(store: ObstoreStore, proxy: FaultProxy) -> None:
    """However slow the store is, the writer waits: three parts go up, two wait, one is filled."""
    proxy.break_(Fault("slow", method="PUT", latency_s=0.5))
    written = 0
    with store.create("large") as writer:
        for _ in range(64):
            writer.write(PIECE)
            written += len(PIECE)
            stored = sum("partNumber" in request for request in proxy.answered) * PART_BYTES
            assert written - stored <= (PARTS_IN_FLIGHT_MAX + 3) * PART_BYTES
        writer.commit()

    assert store.size("large") == 64 << 20


def test_a_copy_that_one_request_cannot_do_goes_through_here(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """As S3 refuses it over 5 GiB: the bytes are read and uploaded in parts."""
    body = write_object(store, "large", 20)
    proxy.break_(
        Fault("status", method="PUT", target="/target$", status=400, code="InvalidRequest")
    )

    store.copy("large", "target")

    assert store.get("target") == body


def test_f55_a_slow_store_is_no_broken_one(
    server: Server, bucket: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests take longer than the limit of silence, and bytes move: nothing is sent again."""
    monkeypatch.setattr("pymr.store.object_client.SILENCE_S", 2.0)
    store = open_through(proxy, server, bucket)
    body = os.urandom(3 << 20)
    store.replace("key", body)
    proxy.break_(Fault("slow", method="GET", bytes_per_s=1e6))

    assert store.get("key") == body

    assert store.counts.retried == 0
