"""The project that runs here as a wheel again, so that an image has the same code.

Made of the files of the package, whether it was installed from a wheel or lies in a checkout
(`pip install --editable`). The same files are the same bytes: no times, one order, no compression.
The format is that of the binary distribution format of PyPA (PEP 427).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from typing import Final

import msgspec

import pymr
from pymr.errors import ClusterError

# What a package holds besides caches, editors' copies and modules of other Pythons.
SUFFIXES: Final = (".py", ".pyi", ".typed", ".abi3.so", ".txt", ".master", ".worker", ".minio")
OF_DISTRIBUTION: Final = ("METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE")
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
PLAIN_FILE: Final = 0o100644 << 16
PROGRAM_FILE: Final = 0o100755 << 16
GLIBC_OF_IMAGE: Final = (2, 41)  # Debian trixie, which the images are based on
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}  # as Kubernetes has them


class Wheel(msgspec.Struct, frozen=True):
    """A file to install."""

    name: str
    body: bytes


def own_architecture() -> str:
    """Return this machine's architecture, as Kubernetes names it."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def runs_in_image(architecture: str) -> bool:
    """Return whether the compiled module that is installed here runs in an image of that kind."""
    if platform.system() != "Linux" or own_architecture() != architecture:
        return False
    return platform.libc_ver()[0] == "glibc" and _glibc_needed() <= GLIBC_OF_IMAGE


def project_wheel() -> Wheel:
    """Return the installed project.

    Raises:
        ClusterError: it was not installed, only found.
    """
    try:
        distribution = metadata.distribution("pymr")
    except metadata.PackageNotFoundError as error:
        raise ClusterError(
            "PyMR runs here without being installed, so it cannot go into an image",
            hint="pip install --editable .",
        ) from error
    version = distribution.version
    entries = {f"pymr/{name}": body for name, body in _package_files()}
    folder = f"pymr-{version}.dist-info"
    for name in OF_DISTRIBUTION:
        text = distribution.read_text(name)
        if text is not None:
            entries[f"{folder}/{name}"] = text.encode()
    entries[f"{folder}/RECORD"] = _record(entries, f"{folder}/RECORD")
    tag = _tag(entries[f"{folder}/WHEEL"].decode())
    return Wheel(f"pymr-{version}-{tag}.whl", _packed(entries))


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of what belongs to the package, in order."""
    root = os.path.dirname(pymr.__file__)
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name[:2] != "__")
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    yield os.path.relpath(path, root), file.read()


def _tag(text: str) -> str:
    """Return the tag of the file `WHEEL`: for which Pythons and platforms it is."""
    found = re.search(r"^Tag: (\S+)$", text, re.MULTILINE)
    assert found is not None, "an installed distribution says what it is for"
    return found[1]


def _record(entries: dict[str, bytes], own: str) -> bytes:
    """Return the list of all files with their digests."""
    lines = []
    for name, body in sorted(entries.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(body)}\n")
    return "".join([*lines, f"{own},,\n"]).encode()


def _packed(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, body in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = PROGRAM_FILE if name.endswith(".so") else PLAIN_FILE
            archive.writestr(entry, body)
    return out.getvalue()


def _glibc_needed() -> tuple[int, int]:
    """Return the newest version of glibc that the compiled module asks for."""
    from pymr import _native

    with open(_native.__file__, "rb") as file:
        found = re.findall(rb"GLIBC_(\d+)\.(\d+)", file.read())
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))
