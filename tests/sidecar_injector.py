"""A service mesh as far as a run meets it: a webhook that adds a sidecar to each pod of a run.

It runs in the cluster, as those of meshes do. The sidecar never ends by itself, and is a native
one: an init container that is always restarted.

Run as a program it is the webhook.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymr.cluster.certificate import Authority
    from pymr.kubernetes.kube import Kube

NAME = "injector"
SIDECAR = "mesh"
PORT = 8443
CERTIFICATES = "/certificates"
DOCKERFILE = b"FROM python:3.13-slim\nCOPY sidecar_injector.py /sidecar_injector.py\n"
HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
SMALL = {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "16Mi"}


class Webhook(BaseHTTPRequestHandler):
    """Answers the API server."""

    def do_POST(self) -> None:
        """Return what is added to a pod."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        sidecar = {
            "name": SIDECAR,
            "image": asked["object"]["spec"]["containers"][0]["image"],
            "command": ["sleep", "infinity"],
            "restartPolicy": "Always",
            "securityContext": HARDENED,
            "resources": {"requests": SMALL, "limits": SMALL},
        }
        patch = [{"op": "add", "path": "/spec/initContainers", "value": [sidecar]}]
        answer = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {
                "uid": asked["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
            },
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve for ever."""
    server = ThreadingHTTPServer(("", PORT), Webhook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{CERTIFICATES}/tls.crt", f"{CERTIFICATES}/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


@contextmanager
def injected(kube: Kube) -> Iterator[None]:
    """Have each pod of a run in the namespace get a sidecar, until the end of the block."""
    from pymr.cluster.certificate import new_authority
    from real_cluster import kubectl

    authority = new_authority(NAME)
    server = _server(kube, _image(kube), authority)
    kubectl(kube, "apply", "-f", "-", stdin=json.dumps(_list(server)))
    try:
        kubectl(kube, "wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=180s")
        kubectl(kube, "apply", "-f", "-", stdin=json.dumps(_webhook(kube, authority)))
        yield
    finally:
        webhook = f"mutatingwebhookconfiguration/{_webhook_name(kube)}"
        kubectl(kube, "delete", webhook, "--ignore-not-found")
        kubectl(kube, "delete", f"pod/{NAME}", "--wait=false")


def _image(kube: Kube) -> str:
    from pymr.kubernetes.images.context import Context
    from pymr.kubernetes.images.ensure import ImageRequest, Supply
    from pymr.kubernetes.images.nodes import read_nodes

    nodes = read_nodes(kube)
    program = Path(__file__).read_bytes()
    files = {f"Dockerfile.{NAME}": DOCKERFILE, "sidecar_injector.py": program}
    context = Context(role=NAME, architecture=min(nodes.architectures), files=files)
    return Supply(kube.context, nodes, ImageRequest(), lambda _: None).bring(context)


def _server(kube: Kube, image: str, authority: Authority) -> list[dict[str, Any]]:
    identity = authority.for_master([f"{NAME}.{kube.namespace}.svc"])
    pem = {"tls.crt": identity.certificate.decode(), "tls.key": identity.key.decode()}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "/sidecar_injector.py"],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": HARDENED,
        "resources": {"requests": SMALL, "limits": {**SMALL, "memory": "64Mi"}},
        "volumeMounts": [{"name": "certificates", "mountPath": CERTIFICATES}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "certificates", "secret": {"secretName": NAME}}],
    }
    ports = [{"port": 443, "targetPort": PORT}]
    return [
        {"kind": "Secret", "metadata": {"name": NAME}, "stringData": pem},
        {"kind": "Pod", "metadata": {"name": NAME, "labels": {"app": NAME}}, "spec": spec},
        {
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": ports},
        },
    ]


def _list(objects: list[dict[str, Any]]) -> dict[str, Any]:
    items = [{"apiVersion": "v1", **each} for each in objects]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _webhook_name(kube: Kube) -> str:
    return f"{NAME}-{kube.namespace}"


def _webhook(kube: Kube, authority: Authority) -> dict[str, Any]:
    namespace = {"kubernetes.io/metadata.name": kube.namespace}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": _webhook_name(kube)},
        "webhooks": [
            {
                "name": "injector.pymr.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 10,
                "clientConfig": {
                    "service": {"name": NAME, "namespace": kube.namespace},
                    "caBundle": base64.b64encode(authority.certificate).decode(),
                },
                "namespaceSelector": {"matchLabels": namespace},
                "objectSelector": {
                    "matchExpressions": [{"key": "pymr.dev/run", "operator": "Exists"}]
                },
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
            }
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
