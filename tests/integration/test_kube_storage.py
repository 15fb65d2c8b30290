"""What is taken for the storage of a namespace: from a server that plays an API server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_samples import CANARY, storage_objects
from played_api_server import Answer, PlayedServer, played_server
from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.storage import StorageWish, ensure_storage, find_storage

CORE = "GET /api/v1/namespaces/default"
WORKLOAD = "GET /apis/apps/v1/namespaces/default/statefulsets/minio"


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    """Give a namespace with storage whose pod is ready."""
    objects = storage_objects()
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "metadata": {}}
    claim = {**objects.claim().to_dict(), "status": {"capacity": {"storage": "50Gi"}}}
    with played_server() as server:
        server.answers = {
            WORKLOAD: Answer(200, objects.stateful_set().to_dict()),
            f"{CORE}/secrets/minio-root": Answer(200, objects.secret().to_dict()),
            f"{CORE}/persistentvolumeclaims/minio-pvc": Answer(200, claim),
            f"{CORE}/pods/minio-0": Answer(200, ready),
        }
        yield server


@pytest.fixture
def kube(server: PlayedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """Open the server's namespace."""
    with server.opened(tmp_path, monkeypatch) as kube:
        yield kube


def no_image() -> str:
    """Fail: an image is wanted only where storage is made."""
    raise AssertionError


def test_storage_that_is_ready_is_used_as_it_is(server: PlayedServer, kube: Kube) -> None:
    """Nothing is written, no image made: a warm start pays four requests."""
    storage = ensure_storage(kube, StorageWish(image=no_image), print)

    assert (storage.password, storage.volume) == (CANARY, "50Gi")
    assert storage.endpoint == "http://minio.default.svc:9000"
    assert CANARY not in repr(storage)
    assert len(server.asked) == 4
    assert all(each.startswith("GET ") for each in server.asked)


def test_storage_of_others_is_none(server: PlayedServer, kube: Kube) -> None:
    """Whatever its name."""
    foreign = storage_objects().stateful_set().to_dict()
    foreign["metadata"]["labels"] = {"app": "minio"}
    server.answers[WORKLOAD] = Answer(200, foreign)

    assert find_storage(kube) is None


@pytest.mark.parametrize(
    "password", ["minioadmin", "MINIOADMIN", "x" * 15, "pymr-0123456789ab", None, b"\xff" * 32]
)
def test_root_keys_that_can_be_guessed_or_read_by_nobody_are_refused(
    server: PlayedServer, kube: Kube, password: Any
) -> None:
    """And not repeated."""
    held = {"user": base64.b64encode(b"pymr-0123456789ab").decode()}
    if password is not None:
        body = password if isinstance(password, bytes) else password.encode()
        held["password"] = base64.b64encode(body).decode()
    secret = {**storage_objects().secret().to_dict(), "data": held}
    server.answers[f"{CORE}/secrets/minio-root"] = Answer(200, secret)

    with pytest.raises(ClusterError, match="Secret `minio-root`") as caught:
        find_storage(kube)

    assert str(password) not in caught.value.message
