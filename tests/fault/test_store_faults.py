"""What a client of a store makes of each fault between it and a real MinIO."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fault_proxy import Fault, FaultProxy
from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    ResourceError,
    StoreError,
    StoreUnavailableError,
)
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from pymr.store.object_writer import PART_BYTES
from s3_request import Server, send
from services import access_to, new_bucket

pytestmark = pytest.mark.services
PIECE = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def bucket(minio: Server) -> str:
    return new_bucket(minio)


@pytest.fixture
def proxy(minio: Server) -> Iterator[FaultProxy]:
    with FaultProxy(minio.endpoint) as running:
        yield running


@pytest.fixture
def direct(minio: Server, bucket: str) -> ObstoreStore:
    """Give the store without the proxy."""
    return open_objects(Address("s3", bucket, "out"), access_to(minio))


@pytest.fixture
def store(minio: Server, bucket: str, proxy: FaultProxy) -> ObstoreStore:
    return open_through(proxy, minio, bucket)


def open_through(proxy: FaultProxy, server: Server, bucket: str, **access: object) -> ObstoreStore:
    changes = {"endpoint": proxy.endpoint, "storage_wait_s": 30.0, **access}
    return open_objects(Address("s3", bucket, "out"), access_to(server, **changes))


def write(store: ObstoreStore, key: str, mebibytes: int) -> bytes:
    with store.create(key) as writer:
        for _ in range(mebibytes):
            writer.write(PIECE)
        writer.commit()
    return PIECE * mebibytes


def uploads(server: Server, bucket: str) -> int:
    return send(server, "GET", f"/{bucket}", {"uploads": "", "prefix": "out"}).count(b"<UploadId>")


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
    body = write(store, "large", 30)

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
        upload = pool.submit(write, store, "large", 20)
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
    proxy: FaultProxy, minio: Server, bucket: str
) -> None:
    """Exit 5 with the endpoint and how long it was tried; retryable, for a resume."""
    store = open_through(proxy, minio, bucket, storage_wait_s=0.5)
    proxy.break_(Fault("cut"))

    with pytest.raises(StoreUnavailableError, match=r"does not answer.*, tried for") as caught:
        store.get("key")

    assert proxy.endpoint in str(caught.value)
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
    minio: Server, proxy: FaultProxy, bucket: str, kind: str
) -> None:
    """A third of all puts is answered by a conflict or by nothing, done or not."""
    proxy.break_(
        Fault(kind, share=0.3, method="PUT", status=409, code="ConditionalRequestConflict")
    )
    stores = [open_through(proxy, minio, bucket) for _ in range(4)]

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
    body = write(store, "large", 3)
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
        body = write(store, "object", mebibytes)
    except StoreUnavailableError:  # of parts the library sends none again that was refused
        assert mebibytes > 8
        body = write(store, "object", mebibytes)

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


# -- refusals ------------------------------------------------------------------------------


def test_f48_keys_that_expire_are_read_anew(
    minio: Server, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    """While the file has none that hold, requests wait; then they go on."""
    file = tmp_path / "credentials"
    section = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    file.write_text(section.format(minio.access_key_id, minio.secret_access_key))
    store = open_through(proxy, minio, bucket, credentials_file=str(file))
    store.put_if_absent("before", b"x")
    expired = proxy.break_(Fault("status", status=403, code="ExpiredToken"))

    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(store.put_if_absent, "after", b"y")
        while expired.hits < 5:
            threading.Event().wait(0.01)
        assert not put.done()
        proxy.heal()
        put.result()

    assert store.get("after") == b"y"


def test_f48_a_denial_is_not_tried_without_end(store: ObstoreStore, proxy: FaultProxy) -> None:
    """Three times; then what was asked for is named, with the store's own words."""
    store.put_if_absent("key", b"x")
    for code in ("AccessDenied", "ExpiredToken", "SignatureDoesNotMatch"):
        denied = proxy.break_(Fault("status", status=403, code=code, words="so there"))

        with pytest.raises(StoreError, match=rf"/out/key at .*`{code}`: so there") as caught:
            store.get("key")

        assert (denied.hits, caught.value.exit_code, caught.value.retryable) == (3, 5, False)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"bucket": "no-such-bucket"}, "there is no bucket `no-such-bucket`", "s3 mb s3://no-such"),
        ({"access_key_id": "nobody"}, "does not know the access key", "AWS_ACCESS_KEY_ID"),
        ({"secret_access_key": "wrong"}, "secret key does not fit", "AWS_SECRET_ACCESS_KEY"),
        ({"scheme": "https"}, "does not speak TLS there", "--endpoint http://"),
    ],
)
def test_f49_a_store_that_is_addressed_wrongly_is_told_in_one_line(
    minio: Server, bucket: str, changes: dict[str, str], message: str, hint: str
) -> None:
    """At once, by the check before the first task: what is wrong, and the next command."""
    endpoint = minio.endpoint.replace("http:", f"{changes.pop('scheme', 'http')}:")
    address = Address("s3", changes.pop("bucket", bucket), "out")
    store = open_objects(address, access_to(minio, endpoint=endpoint, **changes))

    for ask in (store.check, lambda: store.get("key"), lambda: store.put_if_absent("key", b"")):
        with pytest.raises(StoreError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert endpoint in str(caught.value)
        assert address.bucket in str(caught.value)
        assert hint in str(caught.value.hint)
        assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("refusal", "message", "hint"),
    [
        (Fault("status", status=301, code="PermanentRedirect"), "another region", "--region"),
        (
            Fault(
                "status",
                status=400,
                code="AuthorizationHeaderMalformed",
                words="the region is wrong; expecting 'eu-west-9'",
            ),
            "another region",
            "--region eu-west-9",
        ),
        (Fault("status", status=403, code="RequestTimeTooSkewed"), "clocks", "set-ntp true"),
    ],
    ids=lambda value: value.code if isinstance(value, Fault) else "",
)
def test_f49_a_wrong_region_or_clock_is_told_in_one_line(
    store: ObstoreStore, proxy: FaultProxy, refusal: Fault, message: str, hint: str
) -> None:
    """As stores answer that are strict about it; MinIO is not."""
    proxy.break_(refusal)

    with pytest.raises(StoreError, match=message) as caught:
        store.check()

    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("status", "code", "words", "message"),
    [
        (403, "InvalidObjectState", "", "the object is archived"),
        (
            400,
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption",
            "SSE-C",
        ),
        (403, "AccessDenied", "requester pays", "no right"),
    ],
)
def test_b90_an_object_that_cannot_be_read_is_told_with_the_stores_code(
    store: ObstoreStore, proxy: FaultProxy, status: int, code: str, words: str, message: str
) -> None:
    """Archived, encrypted by its owner, or paid for by its reader: exit 5 and a hint."""
    proxy.break_(Fault("status", status=status, code=code, words=words))

    with pytest.raises(StoreError, match=message) as caught:
        store.get("key")

    assert f"`{code}`" in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("status", "code"),
    [(507, "XMinioStorageFull"), (400, "QuotaExceeded"), (400, "XMinioAdminBucketQuotaExceeded")],
)
def test_a_store_without_room_is_not_asked_again(
    store: ObstoreStore, proxy: FaultProxy, status: int, code: str
) -> None:
    """Exit 6 at the first answer."""
    full = proxy.break_(Fault("status", method="PUT", status=status, code=code))

    with pytest.raises(ResourceError, match="has no room left") as caught:
        store.put_if_absent("key", b"x")

    assert (full.hits, caught.value.exit_code) == (1, 6)


# -- uploads in parts ------------------------------------------------------------------------


def test_f52_a_completion_whose_reply_is_lost_is_found_by_the_objects_size(
    store: ObstoreStore, proxy: FaultProxy, direct: ObstoreStore
) -> None:
    """The store says `no such upload` to the next try, and the object is there."""
    lost = proxy.break_(Fault("lose_reply", method="POST", target="uploadId", times=1))

    body = write(store, "large", 20)

    assert direct.get("large") == body
    assert lost.hits == 1


def test_f52_an_upload_that_cannot_be_completed_may_be_tried_again(
    store: ObstoreStore, proxy: FaultProxy, minio: Server, bucket: str
) -> None:
    """Nothing of it shows, no part of it is left, and it is worth another attempt."""
    proxy.break_(Fault("status", method="POST", target="uploadId", status=404, code="NoSuchUpload"))

    with pytest.raises(PymrError) as caught:
        write(store, "large", 20)

    assert caught.value.retryable
    with pytest.raises(ObjectMissingError):
        store.get("large")
    assert uploads(minio, bucket) == 0


@pytest.mark.parametrize("mebibytes", [12, 30])
def test_an_upload_that_is_dropped_leaves_no_parts(
    store: ObstoreStore, minio: Server, bucket: str, mebibytes: int
) -> None:
    """Neither an object nor what is paid for and not seen."""
    with store.create("dropped") as writer:
        for _ in range(mebibytes):
            writer.write(PIECE)

    assert list(store.list("")) == []
    assert uploads(minio, bucket) == 0


def test_an_upload_holds_few_parts_at_once(store: ObstoreStore, proxy: FaultProxy) -> None:
    """However slow the store is, the writer waits: what it wrote ahead is bounded."""
    proxy.break_(Fault("slow", method="PUT", latency_s=0.5))
    written = 0
    with store.create("large") as writer:
        for _ in range(64):
            writer.write(PIECE)
            written += len(PIECE)
            arrived = sum("partNumber" in request for request in proxy.seen) * PART_BYTES
            assert written - arrived <= 5 * PART_BYTES
        writer.commit()

    assert store.size("large") == 64 << 20


def test_a_copy_that_one_request_cannot_do_goes_through_here(
    store: ObstoreStore, proxy: FaultProxy
) -> None:
    """As S3 refuses it over 5 GiB: the bytes are read and uploaded in parts."""
    body = write(store, "large", 20)
    proxy.break_(
        Fault("status", method="PUT", target="/target$", status=400, code="InvalidRequest")
    )

    store.copy("large", "target")

    assert store.get("target") == body


def test_f55_a_slow_store_is_no_broken_one(
    minio: Server, bucket: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests take longer than the limit of silence, and bytes move: nothing is sent again."""
    monkeypatch.setattr("pymr.store.object_client.SILENCE_S", 1.0)
    store = open_through(proxy, minio, bucket)
    body = os.urandom(3 << 20)
    store.replace("key", body)
    proxy.break_(Fault("slow", method="GET", bytes_per_s=1e6))

    assert store.get("key") == body

    assert store.counts.retried == 0
