"""How full the storage of a namespace is, as a real MinIO on a small disk says it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_run import until
from played_api_server import PlayedServer, played_server
from private_mounts import needs_mounts
from pymr.errors import StoreFullError, TaskMemoryError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.volume import read_volume, tell_full_volume
from pymr.store.access import Access
from services import Minio, access_to, small_minio

pytestmark = [pytest.mark.services, needs_mounts]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Minio]:
    """Give a MinIO on a small disk of its own."""
    with small_minio(tmp_path) as running:
        yield running


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """Open the namespace of a server that is not asked."""
    server: PlayedServer
    with played_server() as server, server.opened(tmp_path, monkeypatch) as kube:
        yield kube


def full() -> StoreFullError:
    """Return what a store without room is to whoever writes."""
    return StoreFullError("no room left", hint="pymr gc", key="k")


def fill(small: Minio) -> None:
    """Leave no room, and wait until that is known: it looks at its disk now and then."""
    small.fill()
    owner = access_to(small.server)

    def is_known() -> bool:
        volume = read_volume(owner)
        return volume is not None and volume.is_full

    until("it is not known to be full", is_known)


def test_f115_a_volume_that_is_full_is_told_with_its_size(small: Minio, kube: Kube) -> None:
    """And with the claim that is to be made larger."""
    error, owner = full(), access_to(small.server)
    fill(small)

    tell_full_volume(error, kube, owner)

    assert error.message == (
        "claim `minio-pvc` of namespace `default` is full, 100 % of 64M: no room left"
    )
    assert error.hint == "pymr gc --yes   removes what no run needs"
    assert error.fields["claim"] == "minio-pvc"


def test_f115_what_has_room_is_not_what_is_full(small: Minio, kube: Kube) -> None:
    """Nor is the memory of a task the store's."""
    error, memory = full(), TaskMemoryError("too much")
    tell_full_volume(error, kube, access_to(small.server))
    fill(small)
    tell_full_volume(memory, kube, access_to(small.server))

    assert (error.message, memory.message) == ("no room left", "too much")


def test_a_store_that_does_not_say_is_no_error() -> None:
    """It is another kind of store, or away."""
    keys = {"access_key_id": "a", "secret_access_key": "b"}

    with played_server() as server:
        assert read_volume(Access(endpoint=server.url, **keys)) is None
    assert read_volume(Access(endpoint="http://127.0.0.1:9", **keys)) is None
