"""An S3 that a user has already: MinIO at a port of a node, which this machine and pods reach alike."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Node, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.types import PatchType

from pymr.cluster.certificate import Authority
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.labels import STORAGE_NAME, STORAGE_SECRET
from pymr.kubernetes.objects.pod import SECRETS
from pymr.kubernetes.storage import REGION, StorageWish, ensure_storage
from real_cluster import cannot_run, new_namespace, storage_image, until
from s3_request import Server, send


@contextmanager
def outside_server(authority: Authority | None = None) -> Iterator[Server]:
    """Run it in a namespace of its own, until the end of the block.

    With an `authority` it speaks TLS, and that one vouches for it.
    """
    with new_namespace() as kube:
        storage = ensure_storage(kube, StorageWish(image=lambda: storage_image(kube)), print)
        kube.delete(NetworkPolicy, STORAGE_NAME)  # It lets in pods of its own namespace alone.
        kube.patch(Service, STORAGE_NAME, {"spec": {"type": "NodePort"}})
        address = _address(kube)
        keys = storage.user, storage.password
        server = Server(f"http://{address}", *keys, region=REGION)
        if authority is not None:
            _speak_tls(kube, authority, address.partition(":")[0])
            vouched = authority.certificate.decode()
            server = Server(f"https://{address}", *keys, REGION, root_certificates=vouched)
        until("nobody answers", lambda: _answers(server), 120.0)
        yield server


def _speak_tls(kube: Kube, authority: Authority, host: str) -> None:
    """Give the MinIO a certificate, beside the keys that it reads."""
    identity = authority.for_master([host])
    files = {"public.crt": identity.certificate, "private.key": identity.key}
    coded = {name: base64.b64encode(text).decode() for name, text in files.items()}
    kube.patch(Secret, STORAGE_SECRET, {"data": coded})
    container = "/spec/template/spec/containers/0"
    changes = [
        {"op": "add", "path": f"{container}/command/-", "value": f"--certs-dir={SECRETS}"},
        {"op": "replace", "path": f"{container}/readinessProbe/httpGet/scheme", "value": "HTTPS"},
    ]
    kube.client.patch(
        StatefulSet,
        STORAGE_NAME,
        changes,
        namespace=kube.namespace,
        patch_type=PatchType.JSON,
    )


def _address(kube: Kube) -> str:
    service = kube.get(Service, STORAGE_NAME)
    assert service is not None
    assert service.spec is not None
    port = service.spec.ports[0].nodePort
    node = next(iter(kube.client.list(Node)))
    assert node.status is not None
    host = next(a.address for a in node.status.addresses or () if a.type == "InternalIP")
    try:
        socket.create_connection((host, 22), timeout=5.0).close()
    except ConnectionRefusedError:
        pass
    except OSError as error:
        cannot_run(f"the node {host} cannot be reached from here: {error}")
    return f"{host}:{port}"


def _answers(server: Server) -> bool:
    try:
        send(server, "GET", "/")
    except (OSError, HTTPException, AssertionError):  # The last: it is not ready.
        return False
    return True
