"""How what a store refuses is told, and how often it is asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fault_proxy import Fault, FaultProxy, open_through
from pymr.errors import StoreError, StoreFullError
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from s3_request import Server
from services import access_to

pytestmark = pytest.mark.services


# -- refusals ------------------------------------------------------------------------------


def test_f48_keys_that_expire_are_read_anew(
    server: Server, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    """While the file has none that hold, requests wait; then they go on."""
    file = tmp_path / "credentials"
    section = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    file.write_text(section.format(server.access_key_id, server.secret_access_key))
    store = open_through(proxy, server, bucket, credentials_file=str(file))
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
    server: Server, bucket: str, changes: dict[str, str], message: str, hint: str
) -> None:
    """At once, by the check before the first task: what is wrong, and the next command."""
    keys = {name: value for name, value in changes.items() if "access" in name}
    endpoint = server.endpoint.replace("http:", f"{changes.get('scheme', 'http')}:")
    address = Address("s3", changes.get("bucket", bucket), "out")
    store = open_objects(address, access_to(server, endpoint=endpoint, **keys))

    for ask in (store.check, lambda: store.get("key"), lambda: store.put_if_absent("key", b"")):
        with pytest.raises(StoreError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert endpoint in str(caught.value)
        assert address.bucket in str(caught.value)
        assert hint in str(caught.value.hint)
        assert caught.value.exit_code == 5
        assert server.secret_access_key not in f"{caught.value!r} {caught.value.__cause__}"


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
def test_f54_a_store_without_room_is_not_asked_again(
    store: ObstoreStore, proxy: FaultProxy, status: int, code: str
) -> None:
    """Exit 6 at the first answer."""
    full = proxy.break_(Fault("status", method="PUT", status=status, code=code))

    with pytest.raises(StoreFullError, match="has no room left") as caught:
        store.put_if_absent("key", b"x")

    assert (full.hits, caught.value.exit_code) == (1, 6)


def test_only_what_was_given_reaches_the_store(
    server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment of a process says of another store is mixed into nothing."""
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "AWS_SESSION_TOKEN": "another",
        "AWS_REGION": "another",
        "AWS_ALLOW_HTTP": "false",
    }.items():
        monkeypatch.setenv(name, value)

    store = open_objects(Address("s3", bucket, "out"), access_to(server, storage_wait_s=1.0))
    store.put_if_absent("key", b"x")

    assert store.get("key") == b"x"


def test_who_reads_pays_if_it_says_so(server: Server, bucket: str, proxy: FaultProxy) -> None:
    """The header that such buckets want is sent, and signed, so the store takes it."""
    store = open_through(proxy, server, bucket, is_requester_paying=True)

    store.put_if_absent("key", b"x")

    assert store.get("key") == b"x"
    assert all("x-amz-request-payer: requester" in head.lower() for head in proxy.heads)
