"""What the nodes of a cluster are, and which images they have.

A node lists its 50 largest images. So one that is not listed may be there all the same, and is
loaded once more; loading what is there changes nothing.
"""

from __future__ import annotations

import msgspec
from lightkube.resources.core_v1 import Node

from pymr.errors import ClusterError
from pymr.kubernetes.images.reference import full_name
from pymr.kubernetes.kube import Kube


class Nodes(msgspec.Struct, frozen=True):
    """The nodes that pods can be put on; none where this user may not see them."""

    images: tuple[frozenset[str], ...] = ()  # of each: full names
    architectures: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()  # another node of the same name has another
    minikube_profile: str | None = None  # if minikube has made them

    def all_have(self, image: str) -> bool:
        """Return whether no node needs to get an image."""
        name = full_name(image)
        return bool(self.images) and all(name in images for images in self.images)


def read_nodes(kube: Kube) -> Nodes:
    """Return the nodes of a cluster.

    Raises:
        ClusterError: the cluster does not answer; it is no error if it does not show its nodes.
    """
    try:
        with kube.asking("list nodes"):
            found = list(kube.client.list(Node))
    except ClusterError as error:
        if error.fields.get("reason") == "Forbidden":
            return Nodes()
        raise
    usable = [node for node in found if not (node.spec and node.spec.unschedulable)] or found
    labels = [(node.metadata and node.metadata.labels) or {} for node in usable]
    profiles = {each["minikube.k8s.io/name"] for each in labels if "minikube.k8s.io/name" in each}
    return Nodes(
        images=tuple(_images(node) for node in usable),
        architectures=frozenset(
            node.status.nodeInfo.architecture
            for node in usable
            if node.status is not None and node.status.nodeInfo is not None
        ),
        ids=frozenset(uid for node in usable if node.metadata and (uid := node.metadata.uid)),
        minikube_profile=min(profiles, default=None),
    )


def _images(node: Node) -> frozenset[str]:
    listed = (node.status and node.status.images) or []
    return frozenset(full_name(name) for image in listed for name in image.names or [])
