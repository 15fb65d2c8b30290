"""What must be so before anything is made in a cluster: version, namespace, permissions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.labels import common_labels
from pymr.kubernetes.permission import Need, require
from pymr.kubernetes.version import require_version

POD_SECURITY: Final = "restricted"
_MODES: Final = ("enforce", "audit", "warn")

Say = Callable[[str], None]


def make_ready(kube: Kube, needs: Iterable[Need], what: str, say: Say) -> None:
    """Have a namespace in which this user may do `what`; one that is missing is made.

    Raises:
        ClusterError: the cluster is too old, or a right is missing.
    """
    require_version(kube)
    if not _has_namespace(kube):
        with kube.asking(f"create namespace `{kube.namespace}`, which is not there"):
            kube.client.apply(namespace_of(kube.namespace), force=True)
        say(f"namespace {kube.namespace} was not there: it is made")
    require(kube, needs, what)


def namespace_of(name: str) -> Namespace:
    """Return a namespace that lets in no pod that is not hardened."""
    security = {f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in _MODES}
    return Namespace(metadata=ObjectMeta(name=name, labels={**common_labels(), **security}))


def _has_namespace(kube: Kube) -> bool:
    """Say whether the namespace is there; who may not ask is told by whatever comes next."""
    try:
        with kube.asking(f"get namespace `{kube.namespace}`"):
            kube.client.get(Namespace, kube.namespace)
    except ClusterError as error:
        if error.fields.get("code") == 404:  # noqa: PLR2004 - HTTP
            return False
        if error.fields.get("verb") is None:
            raise
    return True
