"""Brings an image from a builder to the nodes: kind, minikube, k3d, or a registry.

kind, minikube and k3d have clusters on this machine, whose nodes take images without a registry.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Final

import msgspec

from pymr.errors import ClusterError, ConfigError
from pymr.kubernetes.images.builder import Builder
from pymr.kubernetes.images.nodes import Nodes
from pymr.kubernetes.images.tool import must

LOADERS: Final = ("kind", "minikube", "k3d", "registry", "none")
SHARING: Final = ("docker-desktop", "orbstack")  # their nodes see the images of their Docker


class Loader(msgspec.Struct, frozen=True):
    """How images come to the nodes. `target` is a cluster, a profile or a registry."""

    name: str
    target: str = ""

    def load(self, builder: Builder, image: str) -> str:
        """Bring an image to the nodes and return what a pod names it by: its digest, if it has one.

        Raises:
            ClusterError: it cannot be loaded.
        """
        if self.name == "registry":
            there = f"{self.target}/{image}"
            builder.tag(image, there)
            return builder.push(there)
        if self.name != "none":
            self._load_here(builder, image)
        return image

    def check(self) -> None:
        """Look whether there is what loads images.

        Raises:
            ClusterError: there is not.
        """
        if self.name not in {"registry", "none"}:
            self._program()

    def _program(self) -> str:
        program = shutil.which(self.name)
        if program is None:
            raise ClusterError(
                f"images cannot be loaded into the cluster: `{self.name}` is not on PATH",
                hint="--registry HOST/PATH   or another --load",
            )
        return program

    def _load_here(self, builder: Builder, image: str) -> None:
        program = self._program()
        doing = f"load `{image}` into {self.name} cluster `{self.target}`"
        if builder.name == "docker":
            must([program, *self._command(image, is_archive=False)], doing)
            return
        with tempfile.TemporaryDirectory(prefix="pymr-image-") as folder:
            path = os.path.join(folder, "image.tar")
            builder.save(image, path)
            must([program, *self._command(path, is_archive=True)], doing)

    def _command(self, what: str, *, is_archive: bool) -> list[str]:
        kind = "image-archive" if is_archive else "docker-image"
        how = {
            "kind": ["load", kind, what, "--name", self.target],
            "minikube": ["image", "load", what, "--profile", self.target],
            "k3d": ["image", "import", what, "--cluster", self.target],
        }
        return how[self.name]


def choose_loader(context: str, nodes: Nodes, wanted: str | None, registry: str | None) -> Loader:
    """Return how images come to the nodes of the cluster that `context` names.

    Raises:
        ConfigError: `wanted` says it only in part.
        ClusterError: nothing says it.
    """
    if registry is not None and wanted in (None, "registry"):
        return Loader("registry", registry.rstrip("/"))
    if wanted == "registry":
        raise ConfigError("--load registry needs a registry", hint="--registry HOST/PATH")
    if registry is not None:
        raise ConfigError(f"--registry says where images go, --load {wanted} says another place")
    if wanted is not None:
        return Loader(wanted, _target(wanted, context, nodes))
    for name in ("kind", "k3d"):
        if context.startswith(f"{name}-"):
            return Loader(name, _target(name, context, nodes))
    if nodes.minikube_profile is not None or context == "minikube":
        return Loader("minikube", _target("minikube", context, nodes))
    if context in SHARING:
        return Loader("none")
    raise ClusterError(
        f"context `{context}` is of no cluster of kind, minikube or k3d, so its nodes get images"
        " from a registry, and none is named",
        hint="--registry HOST/PATH   or   --master-image NAME --worker-image NAME",
    )


def _target(name: str, context: str, nodes: Nodes) -> str:
    if name == "minikube":
        return nodes.minikube_profile or context
    return context.removeprefix(f"{name}-")
