"""Why an image could not be built, in words: from what the builder has printed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pymr.errors import ClusterError
from pymr.kubernetes.images.context import Context
from pymr.kubernetes.images.tool import last_lines

_NO_PACKAGE: Final = re.compile(r"No matching distribution found for (.+?)\s*$")
_CONFLICT: Final = re.compile(r"Cannot install (.+?) because these package versions", re.DOTALL)
_HASHES: Final = re.compile(r"DO NOT MATCH THE HASHES|Hashes are required in --require-hashes")
_DISK: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_BASE: Final = re.compile(
    r"pull access denied|manifest unknown|failed to resolve source metadata|"
    r"(?:unable|failed) to (?:pull|copy from source)|"
    r"initializing source|short-name .* did not resolve|no such image|failed to do request",
    re.IGNORECASE,
)
_NETWORK: Final = re.compile(
    r"Temporary failure in name resolution|Could not resolve|Failed to establish a new connection|"
    r"Network is unreachable|dial tcp|NewConnectionError",
)


def no_builder(wanted: str | None) -> ClusterError:
    """Return the error of a machine without what builds images."""
    if wanted is None:
        return ClusterError(
            "images cannot be built: neither docker nor podman nor buildah is on PATH",
            hint="sudo apt install podman   or   --master-image NAME --worker-image NAME",
        )
    return ClusterError(
        f"images cannot be built: `{wanted}` is not on PATH",
        hint=f"sudo apt install {'docker.io' if wanted == 'docker' else wanted}   or another --builder",
    )


def daemon_failure(name: str, words: str, others: Iterable[str]) -> ClusterError:
    """Return the error of a builder that is there, and does not work; `others` are there, too."""
    hint = "sudo systemctl start docker" if name == "docker" else f"{name} info"
    if "permission denied" in words.lower():
        hint = "sudo usermod -aG docker $USER   and log in again"
    more = "".join(f"   or   --builder {other}" for other in others)
    return ClusterError(f"{name} does not answer:\n{words}", hint=hint + more)


def build_failure(builder: str, context: Context, lines: list[str]) -> ClusterError:
    """Return why a build has failed; `lines` is the end of what it printed."""
    text = "\n".join(lines)
    what = f"the image `{context.image}` cannot be built"
    words = last_lines(text)
    if _DISK.search(text):
        return ClusterError(
            f"{what}: the disk of {builder} is full\n{words}",
            hint="docker builder prune" if builder == "docker" else f"{builder} image prune",
        )
    missing = next(
        filter(None, map(_NO_PACKAGE.search, lines)), None
    )
    if missing and not _NETWORK.search(text):
        return ClusterError(
            f"{what}: there is no package `{missing[1]}` for it\n{words}",
            hint=f"pip download --no-deps '{missing[1]}'",
            package=missing[1],
        )
    if _CONFLICT.search(text):
        return ClusterError(
            f"{what}: its packages do not go with those of PyMR, or with each other\n{words}",
            hint="other versions in the worker file or in --requirements",
        )
    if _HASHES.search(text):
        return ClusterError(
            f"{what}: a package is not what its hash says\n{words}",
            hint="uv pip compile --generate-hashes …   makes the requirements anew",
        )
    if _NETWORK.search(text):
        return ClusterError(
            f"{what}: the build does not reach the network\n{words}",
            hint=f"{builder} run --rm python:3.13-slim-trixie pip download click",
        )
    if _BASE.search(text):
        return ClusterError(
            f"{what}: what it is based on cannot be had\n{words}",
            hint=f"{builder} pull {_base_of(context)}",
        )
    return ClusterError(f"{what}: the build failed\n{words}", hint="pymr build --verbose")


def _base_of(context: Context) -> str:
    found = re.search(rb"^ARG (?:PYTHON|GO)=(\S+)", context.files[context.dockerfile], re.MULTILINE)
    return found[1].decode() if found else "IMAGE"
