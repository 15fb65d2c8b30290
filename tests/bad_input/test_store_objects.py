"""Objects of a store that are many, odd, or made by other tools."""

from __future__ import annotations

import gzip
import subprocess
import sys
import textwrap

import pytest

from pymr.errors import ObjectChangedError, StoreError
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from s3_request import Server, send
from services import access_to, new_bucket, open_bucket

LISTING = """
    import re
    import obstore
    from obstore.store import MemoryStore
    from pymr.store.object_store import ObstoreStore

    def pages(*_, **__):
        for page in range(1000):
            yield [
                {"path": f"logs/2026/11/26/host-{page:04}/{row:04}.log.gz", "size": row,
                 "e_tag": f'"{page:028x}{row:04x}"'}
                for row in range(1, 1001)
            ]

    obstore.list = pages
    store = ObstoreStore(MemoryStore())
    keys = sum(1 for _ in store.list("logs"))
    versions = sum(len(entry.version) == 34 for entry in store.list_versions("logs"))
    peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
    print(keys, versions, int(peak[1]) // 1024)
"""


def test_b88_a_listing_of_a_million_keys_needs_little_memory() -> None:
    """At most 200 MiB for all of the process, with and without versions."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LISTING)], capture_output=True, text=True, check=True
    )

    keys, versions, peak_mib = map(int, done.stdout.split())
    assert (keys, versions) == (1_000_000, 1_000_000)
    assert peak_mib <= 200


@pytest.mark.services
def test_marks_of_folders_are_no_inputs(minio: Server) -> None:
    """Consoles keep an empty object whose key ends in `/`; a real empty object is one."""
    bucket = new_bucket(minio)
    store = open_objects(Address("s3", bucket, "in"), access_to(minio))
    for key in ("in/", "in/sub/", "in/lone/"):
        send(minio, "PUT", f"/{bucket}/{key}")
    store.replace("sub/object", b"x")
    store.replace("empty", b"")

    assert [entry.key for entry in store.list_versions("")] == ["empty", "sub/object"]


@pytest.mark.services
def test_b91_bytes_are_as_they_were_stored(minio: Server) -> None:
    """A `Content-Encoding` undoes no compression on the way."""
    bucket = new_bucket(minio)
    body = gzip.compress(b"line\n" * 1000)
    headers = {"content-encoding": "gzip", "content-type": "text/plain"}
    send(minio, "PUT", f"/{bucket}/object", body=body, headers=headers)

    store = open_objects(Address("s3", bucket, ""), access_to(minio))

    assert store.get("object") == body
    assert store.get_range("object", 3, 10) == body[3:13]


@pytest.mark.services
def test_b92_a_version_is_a_token_and_no_digest(minio: Server) -> None:
    """An object that was uploaded in parts has an ETag with `-N`; it names the version as any."""
    store = open_bucket(minio)
    body = bytes(20 << 20)
    with store.create("object") as writer:
        writer.write(body)
        writer.commit()
    size, version = store.describe("object")
    assert "-" in version

    assert store.get_range("object", 5, 3, version) == bytes(3)
    store.replace_if("object", b"other", version)

    assert size == len(body)
    with pytest.raises(ObjectChangedError, match="`object` is not as it was read"):
        store.get_range("object", 0, 3, version)


@pytest.mark.services
@pytest.mark.parametrize(
    "key", ["a?b#c", "100%25", "ünï cödé", "a\\b", "x=1&y=[2]", "--flag", "'\"$`"]
)
def test_a_key_is_literal(minio: Server, key: str) -> None:
    """What means something in a URL or a shell is a character of a key."""
    store = open_bucket(minio)

    store.put_if_absent(key, b"x")

    assert [entry.key for entry in store.list("")] == [key]
    assert (store.get(key), store.size(key)) == (b"x", 1)
    store.delete(key)
    assert list(store.list("")) == []


@pytest.mark.parametrize("key", ["tab\tin", "line\nend", "\x1b[31m"])
def test_a_key_that_the_library_cannot_name_is_refused(store: ObstoreStore, key: str) -> None:
    """In one line, escaped; nothing is sent."""
    with pytest.raises(StoreError, match="cannot be asked for") as caught:
        store.get(key)

    assert str(caught.value).isprintable()


@pytest.fixture
def store() -> ObstoreStore:
    from obstore.store import MemoryStore

    return ObstoreStore(MemoryStore())
