"""A bucket of a real MinIO, and a way to it that can be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fault_proxy import FaultProxy, open_through
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from s3_request import Server
from services import access_to, new_bucket


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
