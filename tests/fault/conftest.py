"""A bucket of a real store, and a way to it that can be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fault_proxy import FaultProxy, open_through
from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from s3_request import Server
from services import access_to, new_bucket


@pytest.fixture(params=["minio", "ceph"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bucket(server: Server) -> str:
    return new_bucket(server)


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.endpoint) as running:
        yield running


@pytest.fixture
def direct(server: Server, bucket: str) -> ObstoreStore:
    """Give the store without the proxy."""
    return open_objects(Address("s3", bucket, "out"), access_to(server))


@pytest.fixture
def store(server: Server, bucket: str, proxy: FaultProxy) -> ObstoreStore:
    return open_through(proxy, server, bucket)
