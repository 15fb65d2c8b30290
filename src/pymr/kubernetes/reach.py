"""How a machine outside of a cluster reaches the storage inside: a port, and the root's keys."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from lightkube.resources.core_v1 import Secret

from pymr.errors import ClusterError
from pymr.kubernetes.forward import Forward, Target
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.policy import STORAGE_PORT
from pymr.kubernetes.objects.storage import PASSWORD_KEY, USER_KEY
from pymr.store.access import Access

REGION: Final = "us-east-1"  # MinIO's own name for where it is


class RootKeys(NamedTuple):
    """Who owns the storage of a namespace; in no repr."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "RootKeys(…)"


def root_keys(kube: Kube) -> RootKeys:
    """Return the keys of the storage of a namespace.

    Raises:
        ClusterError: there is no storage, or this user may not read its Secret.
    """
    secret = kube.get(Secret, labels.STORAGE_SECRET)
    if secret is None:
        raise ClusterError(
            f"no storage in namespace `{kube.namespace}` of context `{kube.context}`",
            hint=f"pymr up --context {kube.context} --namespace {kube.namespace}",
        )
    data = secret.data or {}
    try:
        return RootKeys(*(base64.b64decode(data[key]).decode() for key in (USER_KEY, PASSWORD_KEY)))
    except (KeyError, UnicodeDecodeError, binascii.Error) as error:
        raise ClusterError(
            f"the Secret `{labels.STORAGE_SECRET}` of namespace `{kube.namespace}` has no"
            f" `{USER_KEY}` and `{PASSWORD_KEY}`",
            hint=kube.told.kubectl(f"get secret {labels.STORAGE_SECRET}"),
        ) from error


def forward_to_store(kube: Kube) -> Forward:
    """Return a port of this machine, not open yet, that leads to the storage of a namespace."""
    service = f"service/{labels.STORAGE_NAME}"
    return Forward(Target(kube.context, kube.namespace, service, STORAGE_PORT))


def access_by(forward: Forward, keys: RootKeys, *, wait_s: float) -> Access:
    """Return how the storage behind an open port is reached by its owner."""
    return Access(
        endpoint=forward.endpoint,
        region=REGION,
        access_key_id=keys.user,
        secret_access_key=keys.password,
        storage_wait_s=wait_s,
    )
