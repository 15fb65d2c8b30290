"""What an image is built from: a few files that are listed here, and nothing else of this machine.

The name of an image has the digest of all that. A later version of a base image is no other
content: it is taken when something else changes.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from importlib import metadata, resources
from typing import Final

import msgspec

import pymr
from pymr.kubernetes.images.packages import Packages
from pymr.kubernetes.images.wheel import project_wheel, runs_in_image
from pymr.store.base import check_key

PINS: Final = "requirements.txt"  # beside this module
IN_CHECKOUT: Final = f"src/pymr/kubernetes/images/{PINS}"  # where the Dockerfiles look for it
DECLARED: Final = "declared.txt"
DIGEST_CHARACTERS: Final = 16
_BASE: Final = re.compile(rb"^ARG (?:PYTHON|BASE)=(\S+)", re.MULTILINE)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one image is built from."""

    role: str  # master, worker or minio
    architecture: str  # as Kubernetes names it
    files: dict[str, bytes]  # path → content; the Dockerfile among them
    arguments: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def dockerfile(self) -> str:
        """The path of its Dockerfile."""
        return f"Dockerfile.{self.role}"

    @property
    def base(self) -> str:
        """The image that it is based on, if its Dockerfile names it at the start."""
        found = _BASE.search(self.files[self.dockerfile])
        return found[1].decode() if found else ""

    @property
    def image(self) -> str:
        """The image's name: the same content has the same."""
        digest = hashlib.sha256()
        texts = {"\0architecture": self.architecture.encode()}
        for kind, values in (("argument", self.arguments), ("label", self.labels)):
            texts |= {f"\0{kind} {name}": value.encode() for name, value in values.items()}
        for name, body in sorted({**self.files, **texts}.items()):
            digest.update(b"%d %d\n%s%s" % (len(name.encode()), len(body), name.encode(), body))
        return f"pymr-{self.role}:{digest.hexdigest()[:DIGEST_CHARACTERS]}"

    def write(self, folder: str) -> None:
        """Write the files below `folder`, which is new and empty.

        Raises:
            StoreError: a path leads out of it.
            OSError: the disk is full, for instance.
        """
        for name, body in self.files.items():
            check_key(name)
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(body)


def master_context(architecture: str) -> Context:
    """Return what a master's image is built from.

    Raises:
        ClusterError: PyMR is not installed here.
    """
    return Context(
        role="master", architecture=architecture, files=_project_files("master", architecture)
    )


def worker_context(architecture: str, packages: Packages) -> Context:
    """Return what an image of workers is built from: no code of the user, which travels otherwise.

    Raises:
        ClusterError: PyMR is not installed here.
    """
    declared = "".join(f"{line}\n" for line in packages.lines).encode()
    return Context(
        role="worker",
        architecture=architecture,
        files={**_project_files("worker", architecture), DECLARED: declared},
        arguments={"WORKER_FILE": DECLARED},
        labels={"dev.pymr.packages": "pinned" if packages.pinned else "unpinned"},
    )


def minio_context(architecture: str) -> Context:
    """Return what the image of MinIO is built from."""
    dockerfile = {"Dockerfile.minio": _beside("Dockerfile.minio")}
    return Context(role="minio", architecture=architecture, files=dockerfile)


def _project_files(role: str, architecture: str) -> dict[str, bytes]:
    return {f"Dockerfile.{role}": _beside(f"Dockerfile.{role}"), **_shared_files(architecture)}


@cache  # Masters and workers have the same, and to pack it takes a twentieth of a second.
def _shared_files(architecture: str) -> dict[str, bytes]:
    files = {
        IN_CHECKOUT: _beside(PINS),
        "LICENSE": (metadata.distribution("pymr").read_text("licenses/LICENSE") or "").encode(),
    }
    if not runs_in_image(architecture):  # The index has a wheel that does.
        return {**files, "wheel/install.txt": f"pymr=={pymr.__version__}\n".encode()}
    wheel = project_wheel()
    install = f"./{wheel.name}\n".encode()
    return {**files, "wheel/install.txt": install, f"wheel/{wheel.name}": wheel.body}


def _beside(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()
