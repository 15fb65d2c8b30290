"""A volume of a few MiB in a real cluster: a file system of its own on the node.

Nodes that are containers of this machine, as kind and k3d have them, can be given one; without such
a node these tests cannot run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.pod import USER_ID
from real_cluster import cannot_run, kubectl

HOW = "a cluster of kind has nodes that are containers of this machine"


class SmallVolume(NamedTuple):
    """A volume that the claims of a storage class get. It is filled and emptied from outside."""

    storage_class: str
    node: str
    path: str  # on the node

    def fill(self) -> None:
        """Leave no room."""
        _on(self.node, f"dd if=/dev/zero of={self.path}/filler bs=64k 2>/dev/null; sync; true")

    def make_room(self) -> None:
        """Give that back."""
        _on(self.node, f"rm {self.path}/filler")


@contextmanager
def small_volume(kube: Kube, mebibytes: int) -> Iterator[SmallVolume]:
    """Have a volume for the claim of a namespace, until the end of the block."""
    name = f"small-{kube.namespace}"
    volume = SmallVolume(name, _node(kube), f"/mnt/{name}")
    owner = f"uid={USER_ID},gid={USER_ID},mode=770"
    _on(volume.node, f"mkdir {volume.path}")
    _on(volume.node, f"mount -t tmpfs -o size={mebibytes}m,{owner} none {volume.path}")
    try:
        kubectl(kube, "apply", "-f", "-", stdin=json.dumps(_objects(kube, volume)))
        yield volume
    finally:
        kubectl(kube, "delete", f"pv/{name}", f"storageclass/{name}", "--wait=false")
        _on(volume.node, f"umount -l {volume.path} && rmdir {volume.path}")


def _objects(kube: Kube, volume: SmallVolume) -> dict[str, object]:
    name = volume.storage_class
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "kubernetes.io/no-provisioner",
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "storageClassName": name,
                    "capacity": {"storage": "1Gi"},  # it says so: the least that `pymr up` asks for
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": kube.namespace, "name": "minio-pvc"},
                    "hostPath": {"path": volume.path, "type": "Directory"},
                },
            },
        ],
    }


def _node(kube: Kube) -> str:
    """Return a node that is a container of this machine."""
    nodes = kubectl(kube, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    docker = shutil.which("docker")
    for node in nodes if docker is not None else ():
        if not subprocess.run(
            ["docker", "inspect", node], capture_output=True, check=False
        ).returncode:
            return node
    return cannot_run(f"no node can be given a small volume: {HOW}")


def _on(node: str, line: str) -> None:
    done = subprocess.run(
        ["docker", "exec", node, "sh", "-c", line], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
